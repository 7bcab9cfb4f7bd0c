"""Boxes as offsets from anchors: centres by the anchor's size, sizes as logarithms.

Girshick, Donahue, Darrell, Malik: Rich feature hierarchies, CVPR 2014, appendix C; with the scales
that Faster R-CNN calls weights and SSD variances (one is the other's inverse).

Legend: N boxes; xyxy are x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LARGEST_LOG = math.log(1000 / 16)
"""Of a size by its anchor's: the limit of Fast R-CNN's authors, so that nothing overflows."""


def encode_boxes(boxes_N4: Tensor, anchors_N4: Tensor, weights: Sequence[float]) -> Tensor:
    """xyxy boxes -> offsets [N, 4] from their anchors.

    Args:
        boxes_N4: xyxy of some area.
        anchors_N4: xyxy of some area.
        weights: of dx, dy, dw, dh; the larger, the more a pixel's error costs.
    """
    x, y, width, height = _centre_and_size(boxes_N4)
    anchor_x, anchor_y, anchor_width, anchor_height = _centre_and_size(anchors_N4)
    offsets = (
        (x - anchor_x) / anchor_width,
        (y - anchor_y) / anchor_height,
        (width / anchor_width).log(),
        (height / anchor_height).log(),
    )
    return torch.stack([weight * one for weight, one in zip(weights, offsets)], dim=-1)


def decode_boxes(
    offsets_N4: Tensor,
    anchors_N4: Tensor,
    weights: Sequence[float],
    largest_log: float = LARGEST_LOG,
) -> Tensor:
    """Inverse of `encode_boxes`: offsets -> xyxy [..., N, 4].

    Args:
        offsets_N4: [..., N, 4].
        anchors_N4: xyxy, [..., N, 4] of a shape that fits.
        weights: as there.
        largest_log: bound of the logarithm of a size by its anchor's.
    """
    anchor_x, anchor_y, anchor_width, anchor_height = _centre_and_size(anchors_N4)
    dx, dy, dw, dh = (offsets_N4[..., i] / weight for i, weight in enumerate(weights))
    x, y = anchor_x + dx * anchor_width, anchor_y + dy * anchor_height
    half_width = anchor_width * dw.clamp_max(largest_log).exp() / 2
    half_height = anchor_height * dh.clamp_max(largest_log).exp() / 2
    return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), dim=-1)


def _centre_and_size(boxes_N4: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    left, top, right, bottom = boxes_N4.unbind(dim=-1)
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
