"""Pixel-wise cross entropy, plain and weighted by class.

Legend: B batch, K classes, H W the size of the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.losses.over_processes import sum_over_processes
from maskwright.losses.pixel_loss import LossConfig
from maskwright.losses.targets import Targets


def cross_entropy(logits_BKHW: Tensor, targets: Targets, weights_K: Tensor | None = None) -> Tensor:
    """Mean of -w_y log softmax(logits)_y over the labelled pixels, divided by their summed weight.

    Both sums go over the batches of all processes, where many train together.

    Args:
        logits_BKHW: of the truth's size.
        targets: `class_map_BHW`, int64; `void` pixels count nothing.
        weights_K: a non-negative weight a class; None weighs all alike.

    Returns:
        A scalar, float32 for half precision; 0, with a gradient of 0, where no pixel is labelled.
    """
    truth_BHW = class_map_of(logits_BKHW, targets)
    logits_BKHW = at_least_float32(logits_BKHW)
    weights_K = None if weights_K is None else weights_K.to(logits_BKHW)
    total = F.cross_entropy(
        logits_BKHW, truth_BHW, weight=weights_K, ignore_index=targets.void, reduction="sum"
    )
    labelled_BHW = truth_BHW != targets.void
    if weights_K is None:
        weight = labelled_BHW.sum().to(total.dtype)
    else:
        weight = weights_K[truth_BHW[labelled_BHW]].sum()
    total, weight = sum_over_processes(total, weight)
    return total / weight.clamp_min(torch.finfo(total.dtype).tiny)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(LossConfig):
    """Plain cross entropy; it has no settings."""

    def __call__(
        self, logits_BKHW: Tensor, targets: Targets, weights_K: Tensor | None = None
    ) -> Tensor:
        """As `cross_entropy` without weights."""
        return cross_entropy(logits_BKHW, targets)


@dataclass(frozen=True, kw_only=True)
class WeightedCrossEntropy(LossConfig):
    """Cross entropy with the weights of the data's classes (`data.class_weights`)."""

    def __call__(
        self, logits_BKHW: Tensor, targets: Targets, weights_K: Tensor | None = None
    ) -> Tensor:
        """As `cross_entropy`."""
        return cross_entropy(logits_BKHW, targets, weights_K)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision becomes float32: a sum over a million pixels needs its digits."""
    return tensor.float() if tensor.dtype in {torch.bfloat16, torch.float16} else tensor


def class_map_of(logits_BKHW: Tensor, targets: Targets) -> Tensor:
    """The class map of the targets; void all over where no image of the batch has one.

    So every process of many comes to the same sums, whatever its images are labelled for, and the
    loss of an unlabelled batch is a zero that is connected to the network.
    """
    if targets.class_map_BHW is not None:
        return targets.class_map_BHW
    batch, _, height, width = logits_BKHW.shape
    return torch.full(
        (batch, height, width), targets.void, dtype=torch.int64, device=logits_BKHW.device
    )
