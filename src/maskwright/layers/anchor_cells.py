"""Anchors of YOLO's kind: boxes told from a cell of a map and the sides of an anchor.

Joseph Redmon, Ali Farhadi: YOLO9000, CVPR 2017, arXiv 1612.08242, section 2 (direct location
prediction); Alexey Bochkovskiy, Chien-Yao Wang, Hong-Yuan Mark Liao: YOLOv4, 2020, arXiv
2004.10934, section 3.4 (grid sensitivity).

Legend: B images, N anchors of all cells, h w of a map, A anchors of a cell; xyxy in the input's
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from maskwright.layers.box_offsets import LARGEST_LOG


def anchor_cells(
    grid: Sequence[int], stride: float, anchors: Sequence[Sequence[float]], like: Tensor
) -> Tensor:
    """Column, row, stride, anchor's width and height of each anchor: [h w A, 5], rows first.

    Args:
        grid: (h, w) of the map.
        stride: of its cells, in pixels.
        anchors: (width, height) of each, in pixels.
        like: whose type and device they get.
    """
    height, width = (int(side) for side in grid)
    rows_h = torch.arange(height, dtype=like.dtype, device=like.device)
    columns_w = torch.arange(width, dtype=like.dtype, device=like.device)
    y_hw, x_hw = torch.meshgrid(rows_h, columns_w, indexing="ij")
    count = len(anchors)
    cells_N2 = torch.stack([x_hw, y_hw], dim=-1).reshape(-1, 1, 2).expand(-1, count, -1)
    sides_A3 = like.new_tensor([(stride, *sides) for sides in anchors])
    sides_NA3 = sides_A3.expand(len(cells_N2), -1, -1)
    return torch.cat([cells_N2, sides_NA3], dim=-1).reshape(-1, 5)


def decode_cells(told_BN4: Tensor, cells_N5: Tensor, sensitivity: float = 1.0) -> Tensor:
    """What a network tells of its anchors -> boxes, xyxy [..., N, 4].

    Args:
        told_BN4: x, y before the sigmoid, logarithms of width and height by the anchor's.
        cells_N5: of `anchor_cells`.
        sensitivity: what the sigmoid is stretched by around its middle, so that an edge of the cell
            is within reach.
    """
    inside_BN2 = told_BN4[..., :2].sigmoid() * sensitivity - (sensitivity - 1) / 2
    middles_BN2 = (inside_BN2 + cells_N5[:, :2]) * cells_N5[:, 2:3]
    halves_BN2 = told_BN4[..., 2:].clamp(max=LARGEST_LOG).exp() * cells_N5[:, 3:] / 2
    return torch.cat([middles_BN2 - halves_BN2, middles_BN2 + halves_BN2], dim=-1)
