"""Scores: a function, and a thin accumulating class over it.

Everything is counted exactly and at the image's original resolution; each file states on top what
it does with void, absent and ignored classes. Torch-free.
"""

from __future__ import annotations

from maskwright.metrics.bootstrap import PairedInterval, paired_interval
from maskwright.metrics.semantic import (
    ConfusionMatrix,
    SemanticScores,
    confusion_matrix,
    semantic_scores,
)

__all__ = [
    "ConfusionMatrix",
    "PairedInterval",
    "SemanticScores",
    "confusion_matrix",
    "paired_interval",
    "semantic_scores",
]
