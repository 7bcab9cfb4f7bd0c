"""Padding by reflection that may be wider than the image, as gathers of rows and columns."""

from __future__ import annotations

import torch
from torch import Tensor


def reflected(positions: Tensor, size: int) -> Tensor:
    """Positions on an endless line -> those in 0..size-1 that mirrors at both ends show.

    The mirrors stand on the first and the last pixel, which appear once: 2 1 0 1 2 3 2 1 0.

    Args:
        positions: int64, any values.
        size: of the image along one side.
    """
    period = max(1, 2 * (size - 1))
    folded = positions.remainder(period)
    return torch.minimum(folded, period - folded) if size > 1 else folded


def reflect_pad(
    images_BCHW: Tensor, top_bottom: tuple[int, int], left_right: tuple[int, int]
) -> Tensor:
    """Pad by reflection; unlike torch's own, by any width, several reflections deep.

    Args:
        images_BCHW: images or features.
        top_bottom: rows to add above and below, 0 or more.
        left_right: columns to add on the left and the right, 0 or more.
    """
    for axis, (before, after) in ((2, top_bottom), (3, left_right)):
        size = images_BCHW.shape[axis]
        places = torch.arange(-before, size + after, device=images_BCHW.device)
        images_BCHW = images_BCHW.index_select(axis, reflected(places, size))
    return images_BCHW
