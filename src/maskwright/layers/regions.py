"""Regions: features inside boxes at one size, and masks of boxes laid into the whole frame.

He, Gkioxari, Dollar, Girshick: Mask R-CNN, ICCV 2017, arXiv 1703.06870, section 3 (RoIAlign); Lin
et al.: Feature Pyramid Networks, CVPR 2017, arXiv 1612.03144, equation 1 (a box's level).

Legend: B images, P boxes an image, C channels, S side of a region, h w of a map; xyxy in the
input's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

USUAL_SIZE, USUAL_STRIDE = 224.0, 16.0
"""A box of this size belongs to the level of this stride (equation 1)."""

SAMPLES = 2
"""Places a bin and side at which features are read."""


def pool_regions(
    features: Sequence[Tensor], boxes_BP4: Tensor, strides: Sequence[int], side: int
) -> Tensor:
    """Features of each box, from the level of its size, [B P, C, side, side].

    All levels lie in one map, beside each other, so that this is one operation of a fixed shape,
    whatever levels the boxes belong to. Each is followed by its own last row and column, which
    are what RoIAlign reads past an edge, and then by zeros.

    Args:
        features: BChw of each level, finest first.
        boxes_BP4: xyxy within the input.
        strides: of each level.
        side: S.
    """
    packed_BChw, corners_L2 = _pack(features)
    levels_BP = _levels(boxes_BP4, strides)
    scales_L = boxes_BP4.new_tensor([1 / stride for stride in strides])
    shifts_L4 = boxes_BP4.new_tensor([[left, top, left, top] for top, left in corners_L2])
    placed_BP4 = boxes_BP4 * scales_L[levels_BP].unsqueeze(-1) + shifts_L4[levels_BP]
    batch, count = levels_BP.shape
    images_B1 = torch.arange(batch, dtype=boxes_BP4.dtype, device=boxes_BP4.device).view(-1, 1)
    images_BP1 = images_B1.expand(batch, count).unsqueeze(-1)
    regions_N5 = torch.cat([images_BP1, placed_BP4], dim=-1).reshape(-1, 5)
    kind = torch.promote_types(packed_BChw.dtype, regions_N5.dtype)
    return roi_align(packed_BChw.to(kind), regions_N5, side, 1.0, SAMPLES)


def _levels(boxes_BP4: Tensor, strides: Sequence[int]) -> Tensor:
    """int64 [B, P]: which level each box is taken from."""
    sides = (boxes_BP4[..., 2:] - boxes_BP4[..., :2]).clamp_min(0)
    size_BP = sides.prod(dim=-1).sqrt().clamp_min(1e-6)
    usual = math.log2(USUAL_STRIDE / strides[0])
    level_BP = (size_BP / USUAL_SIZE).log2().add(usual + 1e-6).floor()
    return level_BP.clamp(0, len(strides) - 1).to(torch.int64)


def _pack(features: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    """One map that holds every level, and the (top, left) of each in it.

    The finest lies on top; the others stand below, side by side.
    """
    framed = [F.pad(F.pad(one, (0, 1, 0, 1), mode="replicate"), (0, 1, 0, 1)) for one in features]
    finest, *coarser = framed
    if not coarser:
        return finest, [(0, 0)]
    below = max(one.shape[2] for one in coarser)
    lower = torch.cat([F.pad(one, (0, 0, 0, below - one.shape[2])) for one in coarser], dim=3)
    width = max(finest.shape[3], lower.shape[3])
    parts = [F.pad(one, (0, width - one.shape[3])) for one in (finest, lower)]
    corners, left = [(0, 0)], 0
    for one in coarser:
        corners.append((finest.shape[2], left))
        left += one.shape[3]
    return torch.cat(parts, dim=2), corners


def paste_masks(masks_BPSS: Tensor, boxes_BP4: Tensor, size: Sequence[int], stride: int) -> Tensor:
    """Masks of boxes -> the whole frame, bilinear, [B, P, height / stride, width / stride].

    Nothing reaches beyond the box. Two products of matrices: what a row and a column of the frame
    take from a row and a column of the mask; outside of the mask there is 0.

    Args:
        masks_BPSS: values of S x S cells of each box.
        boxes_BP4: xyxy.
        size: (height, width) of the input.
        stride: of the frame; sides are rounded up.
    """
    side = masks_BPSS.shape[-1]
    rows, columns = (
        _weights(boxes_BP4[..., axis], boxes_BP4[..., axis + 2], side, -(-int(length) // stride),
                 stride)
        for axis, length in ((1, size[0]), (0, size[1]))
    )  # fmt: skip
    return rows @ masks_BPSS @ columns.transpose(-1, -2)


def _weights(low_BP: Tensor, high_BP: Tensor, cells: int, count: int, stride: int) -> Tensor:
    """[B, P, count, cells]: the share of each cell at each place of the frame along one side."""
    place_N = (torch.arange(count, dtype=low_BP.dtype, device=low_BP.device) + 0.5) * stride
    cell_S = torch.arange(cells, dtype=low_BP.dtype, device=low_BP.device)
    low, length = low_BP.unsqueeze(-1), (high_BP - low_BP).clamp_min(1e-3).unsqueeze(-1)
    inside_BPN = (place_N >= low) & (place_N <= low + length)
    at_BPN = (place_N - low) / length * cells - 0.5
    share_BPNS = (1 - (at_BPN.unsqueeze(-1) - cell_S).abs()).clamp_min(0)
    return share_BPNS * inside_BPN.unsqueeze(-1)
