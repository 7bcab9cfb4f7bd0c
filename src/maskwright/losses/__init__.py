"""Tensors -> scalar: one file a loss, and `Targets`, the torch form of a batch's truth."""

from __future__ import annotations

from maskwright.losses.choice import PIXEL_LOSSES, SummedLoss, pixel_loss
from maskwright.losses.cross_entropy import at_least_float32, class_map_of, cross_entropy
from maskwright.losses.dice import dice
from maskwright.losses.object_truth import ObjectTruth, object_truths
from maskwright.losses.over_processes import sum_over_processes
from maskwright.losses.pixel_loss import LossConfig, PixelLoss
from maskwright.losses.rmi import rmi
from maskwright.losses.targets import Made, Need, Targets

__all__ = [
    "PIXEL_LOSSES",
    "LossConfig",
    "Made",
    "Need",
    "ObjectTruth",
    "PixelLoss",
    "SummedLoss",
    "Targets",
    "at_least_float32",
    "class_map_of",
    "cross_entropy",
    "dice",
    "object_truths",
    "pixel_loss",
    "rmi",
    "sum_over_processes",
]
