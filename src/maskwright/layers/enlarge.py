"""Bilinear enlargement of feature maps, by either rule for the corners."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def enlarge(features_BChw: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """[B, C, h, w] -> [B, C, *size]; a no-op where the size fits already.

    Args:
        features_BChw: what is enlarged.
        size: height and width, or more, of which the last two count, such as a shape.
        align_corners: whether the corner pixels' centres fall on each other; otherwise their outer
            corners do ("half-pixel").
    """
    size = tuple(size[-2:])
    if tuple(features_BChw.shape[-2:]) == size:
        return features_BChw
    return F.interpolate(features_BChw, size=size, mode="bilinear", align_corners=align_corners)
