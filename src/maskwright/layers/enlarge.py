"""Bilinear resizing of maps, by the corner convention that a paper's authors chose."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def enlarge(features_BChw: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """Bilinear, to a size; a no-op where it fits already.

    Args:
        features_BChw: of any size.
        size: (height, width) wanted.
        align_corners: whether the centres of corner pixels stay on each other, or their corners.

    Returns:
        [B, C, height, width].
    """
    if tuple(features_BChw.shape[-2:]) == tuple(size):
        return features_BChw
    return F.interpolate(
        features_BChw, size=tuple(size), mode="bilinear", align_corners=align_corners
    )
