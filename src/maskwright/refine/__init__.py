"""Classic vision that improves a result: what a network told, and what the image shows.

Each method is a function of class probabilities and the image, and a small dataclass of its
settings. Needs numpy and OpenCV only.
"""

from __future__ import annotations

from maskwright.refine.dense_crf import DenseCRF, dense_crf
from maskwright.refine.guided_filter import GuidedFilter, guided_filter

__all__ = [
    "DenseCRF",
    "GuidedFilter",
    "dense_crf",
    "guided_filter",
]
