"""Samples -> batches: a decoded cache, augmentation, class-balanced sampling, loaders."""

from __future__ import annotations

from maskwright.data.augment import NONE, Augmentation, Frame, augment, augment_clip
from maskwright.data.cache import Cache
from maskwright.data.collate import collate_targets
from maskwright.data.derived import DERIVED, Derived
from maskwright.data.example import Example, read_example
from maskwright.data.loader import Batch, Draws, batches, collate, ended_workers_told
from maskwright.data.sampling import class_weights, draw_order, repeat_factors

__all__ = [
    "DERIVED",
    "NONE",
    "Augmentation",
    "Batch",
    "Cache",
    "Derived",
    "Draws",
    "Example",
    "Frame",
    "augment",
    "augment_clip",
    "batches",
    "class_weights",
    "collate",
    "collate_targets",
    "draw_order",
    "ended_workers_told",
    "read_example",
    "repeat_factors",
]
