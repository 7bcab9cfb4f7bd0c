"""Anchors: boxes of fixed sizes and aspects at every place of a feature map.

Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015, arXiv 1506.01497, section 3.1.1.

Legend: A anchors at a place, N in all; h w of a feature map; xyxy in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def base_anchors(sizes: Sequence[float], aspects: Sequence[float], like: Tensor) -> Tensor:
    """Anchors around the origin, xyxy [A, 4], the aspects' order first, in whole pixels.

    Args:
        sizes: roots of their areas.
        aspects: height by width.
        like: whose type and device they get.
    """
    sizes_S = torch.tensor(tuple(sizes), dtype=like.dtype, device=like.device)
    roots_R1 = torch.tensor(tuple(aspects), dtype=like.dtype, device=like.device).sqrt()[:, None]
    widths_A, heights_A = (sizes_S / roots_R1).reshape(-1), (sizes_S * roots_R1).reshape(-1)
    return (torch.stack([-widths_A, -heights_A, widths_A, heights_A], dim=1) / 2).round()


def grid_anchors(base_A4: Tensor, grid: Sequence[int], size: Sequence[int]) -> Tensor:
    """Anchors of a whole feature map, xyxy [h w A, 4]: rows, columns, then those of a place.

    Args:
        base_A4: around the origin.
        grid: (h, w) of the map.
        size: (height, width) of the input; a step is a whole number of its pixels.
    """
    height, width = (int(side) for side in grid)
    step_y, step_x = int(size[0]) // height, int(size[1]) // width
    rows_h = torch.arange(height, dtype=base_A4.dtype, device=base_A4.device) * step_y
    columns_w = torch.arange(width, dtype=base_A4.dtype, device=base_A4.device) * step_x
    y_hw, x_hw = torch.meshgrid(rows_h, columns_w, indexing="ij")
    shifts_N14 = torch.stack([x_hw, y_hw, x_hw, y_hw], dim=-1).reshape(-1, 1, 4)
    return (shifts_N14 + base_A4).reshape(-1, 4)


def by_place(map_BChw: Tensor, values: int) -> Tensor:
    """[B, A x values, h, w] -> [B, h w A, values], in the order of `grid_anchors`."""
    batch, channels, height, width = map_BChw.shape
    apart = map_BChw.reshape(batch, channels // values, values, height, width)
    return apart.permute(0, 3, 4, 1, 2).reshape(batch, -1, values)
