"""Boxes in a frame: cut at its edges, and the places that lie inside of them.

Legend: N boxes; xyxy are x1, y1, x2, y2 in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def clip_boxes(boxes_BN4: Tensor, size: Sequence[int]) -> Tensor:
    """xyxy [..., 4] within a frame of (height, width)."""
    height, width = size
    x, y = boxes_BN4[..., 0::2].clamp(0, width), boxes_BN4[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def inside_boxes(boxes_BN4: Tensor, grid: Sequence[int], stride: float) -> Tensor:
    """bool [B, N, h, w]: the places of a grid whose middle lies in each box.

    Args:
        boxes_BN4: xyxy.
        grid: (h, w).
        stride: of the grid's places, in pixels.
    """
    rows_h1 = middles(int(grid[0]), stride, boxes_BN4).view(-1, 1)
    columns_w = middles(int(grid[1]), stride, boxes_BN4)
    left, top, right, bottom = (side.unsqueeze(-1) for side in boxes_BN4.split(1, dim=-1))
    return (columns_w >= left) & (columns_w < right) & (rows_h1 >= top) & (rows_h1 < bottom)


def middles(count: int, stride: float, like: Tensor) -> Tensor:
    """The middles of so many places along a side, of the type and on the device of a tensor."""
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * stride


def share_inside(boxes_N4: Tensor, regions_M4: Tensor) -> Tensor:
    """[N, M]: the share of each box that lies in each region."""
    low = torch.maximum(boxes_N4[:, None, :2], regions_M4[None, :, :2])
    high = torch.minimum(boxes_N4[:, None, 2:], regions_M4[None, :, 2:])
    area_N = (boxes_N4[:, 2:] - boxes_N4[:, :2]).clamp_min(0).prod(dim=1).clamp_min(1e-6)
    return (high - low).clamp_min(0).prod(dim=-1) / area_N[:, None]
