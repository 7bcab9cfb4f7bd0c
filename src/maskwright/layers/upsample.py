"""Coarse scores -> fine ones: learned enlargement that starts bilinear, and exact grids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def bilinear_upsampling(
    channels: int, factor: int, *, padding: int = 0, separate: bool = False
) -> nn.ConvTranspose2d:
    """A transposed convolution that enlarges bilinearly until it has learnt something better.

    Kernel 2 x factor, stride factor, no bias (Long et al. 2015, arXiv 1411.4038, section 3.3).

    Args:
        channels: C of input and output.
        factor: of the enlargement, even.
        padding: cells cut off on each side; factor / 2 gives [factor h, factor w].
        separate: whether each channel has its own kernel and sees no other.
    """
    groups = channels if separate else 1
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, factor, padding, groups=groups, bias=False
    )
    taps = 1 - (torch.arange(2 * factor, dtype=torch.float64) - factor + 0.5).abs() / factor
    kernel = torch.outer(taps, taps).to(layer.weight.dtype)
    own = torch.eye(channels)[:, :, None, None] if groups == 1 else torch.ones(channels, 1, 1, 1)
    with torch.no_grad():
        layer.weight.copy_(own.to(kernel.device) * kernel)
    return layer


def enlarge_and_crop(logits_BKhw: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """Cells of stride x stride pixels -> the pixels of the image, bilinear, half-pixel centres.

    Exact where the image is no multiple of the stride: what the last cells have beyond it is cut
    off, where stretching would move everything.

    Args:
        logits_BKhw: cell (i, j) begins at pixel (stride i, stride j).
        stride: side of a cell.
        size: (H, W) of the image, H <= stride h, W <= stride w.
    """
    whole = [stride * side for side in logits_BKhw.shape[-2:]]
    logits_BKHW = F.interpolate(logits_BKhw, size=whole, mode="bilinear", align_corners=False)
    return logits_BKHW[:, :, : size[0], : size[1]]
