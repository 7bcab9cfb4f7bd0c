"""What masks tell of themselves: the boxes around them, how sure they are.

Legend: B images, N masks, h w of a mask, P = h w; xyxy in the input's pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean_inside(chances_BNhw: Tensor, threshold: float) -> Tensor:
    """Mean probability of the pixels above the threshold, 0 where there are none: [B, N]."""
    chances_BNP = chances_BNhw.flatten(2)
    inside_BNP = (chances_BNP > threshold).to(chances_BNP.dtype)
    return (chances_BNP * inside_BNP).sum(-1) / (inside_BNP.sum(-1) + 1e-6)


def mask_extents(masks_BNhw: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Smallest boxes around bool masks: xyxy [B, N, 4] in the input's pixels, 0 where empty.

    Returns:
        The boxes, and whether there is any pixel, 0 or 1, [B, N].
    """
    pixels = masks_BNhw.float()
    left_BN, right_BN, any_BN = _span(pixels.amax(dim=2), stride)
    top_BN, bottom_BN, _ = _span(pixels.amax(dim=3), stride)
    boxes_BN4 = torch.stack([left_BN, top_BN, right_BN, bottom_BN], dim=-1)
    return boxes_BN4 * any_BN.unsqueeze(-1), any_BN


def _span(filled_BNw: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Start of the first filled cell, end of the last, and whether there is one."""
    cells = filled_BNw.shape[-1]
    number_w = torch.arange(cells, device=filled_BNw.device, dtype=filled_BNw.dtype)
    last_BN = (filled_BNw * (number_w + 1)).amax(dim=-1)
    first_BN = cells - (filled_BNw * (cells - number_w)).amax(dim=-1)
    return first_BN * stride, last_BN * stride, filled_BNw.amax(dim=-1)
