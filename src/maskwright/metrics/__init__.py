"""Scores: a function, and a thin accumulating class over it.

Everything is counted exactly and at the image's original resolution; each file states on top what
it does with void, absent and ignored classes. Torch-free.
"""

from __future__ import annotations

from maskwright.metrics.ap_scores import APScores, PRCurve
from maskwright.metrics.average_precision import (
    AveragePrecision,
    DetectionVerdicts,
    average_precision,
)
from maskwright.metrics.bootstrap import PairedInterval, paired_interval
from maskwright.metrics.matching import boundary_band
from maskwright.metrics.objects import Objects, Spans
from maskwright.metrics.panoptic import PanopticQuality, PanopticScores, panoptic_quality
from maskwright.metrics.protocols import PROTOCOLS, Kind, Protocol
from maskwright.metrics.semantic import (
    ConfusionMatrix,
    SemanticScores,
    confusion_matrix,
    semantic_scores,
)

__all__ = [
    "PROTOCOLS",
    "APScores",
    "AveragePrecision",
    "ConfusionMatrix",
    "DetectionVerdicts",
    "Kind",
    "Objects",
    "PRCurve",
    "PairedInterval",
    "PanopticQuality",
    "PanopticScores",
    "Protocol",
    "SemanticScores",
    "Spans",
    "average_precision",
    "boundary_band",
    "confusion_matrix",
    "paired_interval",
    "panoptic_quality",
    "semantic_scores",
]
