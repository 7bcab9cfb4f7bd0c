"""Classic vision that improves a result: what a network told, and what the image shows.

Each method is a function of class probabilities and the image, and a small dataclass of its
settings; `STEPS` has them by name, and `Refinement` is one that is ready to be applied. Needs numpy
and OpenCV only.
"""

from __future__ import annotations

from maskwright.refine.dense_crf import DenseCRF, dense_crf
from maskwright.refine.guided_filter import GuidedFilter, guided_filter
from maskwright.refine.labels import most_probable, probabilities_from_labels
from maskwright.refine.steps import STEPS, Refinement

__all__ = [
    "STEPS",
    "DenseCRF",
    "GuidedFilter",
    "Refinement",
    "dense_crf",
    "guided_filter",
    "most_probable",
    "probabilities_from_labels",
]
