"""Where a pixel is, told to convolutions: CoordConv (Liu et al., NeurIPS 2018, arXiv 1807.03247).

Legend: B images, C channels, h w of a feature map.
"""

from __future__ import annotations

import torch
from torch import Tensor


def with_places(features_BChw: Tensor) -> Tensor:
    """Two channels, x and y from -1 to 1, in front of the features."""
    batch, _, height, width = features_BChw.shape
    x_w, y_h = (
        torch.linspace(-1, 1, side, dtype=features_BChw.dtype, device=features_BChw.device)
        for side in (width, height)
    )
    x_B1hw = x_w.view(1, 1, 1, -1).expand(batch, 1, height, width)
    y_B1hw = y_h.view(1, 1, -1, 1).expand(batch, 1, height, width)
    return torch.cat([x_B1hw, y_B1hw, features_BChw], dim=1)
