"""Scores: a function, and a thin accumulating class over it.

Everything is counted exactly and at the image's original resolution; each file states on top what
it does with void, absent and ignored classes. Accumulators add up over processes without a digit's
difference (`merge`, `+`, `sum`). Torch-free.
"""

from __future__ import annotations

from maskwright.metrics.accumulator import Accumulator
from maskwright.metrics.ap_interval import ap_of_draws
from maskwright.metrics.ap_scores import APScores, PRCurve
from maskwright.metrics.average_precision import (
    AveragePrecision,
    DetectionVerdicts,
    average_precision,
)
from maskwright.metrics.bootstrap import (
    Interval,
    PairedInterval,
    bootstrap,
    counted_draws,
    interval,
    paired_interval,
)
from maskwright.metrics.boundary import (
    BoundaryIou,
    boundary_band,
    boundary_iou,
    boundary_mask,
    boundary_overlaps,
    boundary_width,
)
from maskwright.metrics.boundary_f import (
    BoundaryF,
    BoundaryFScores,
    boundary_f,
    boundary_f_scores,
    boundary_matches,
    mean_boundary_f,
)
from maskwright.metrics.davis import davis_f
from maskwright.metrics.labels import label_average_precision, mean_label_precision
from maskwright.metrics.objects import Objects, Spans
from maskwright.metrics.overlap import (
    OverlapScores,
    frequency_weighted_iou,
    iou,
    matrix_overlaps,
    mean_iou,
    overlap_scores,
    pixel_accuracy,
)
from maskwright.metrics.panoptic import (
    PanopticCounts,
    PanopticQuality,
    PanopticScores,
    mean_pq,
    panoptic_counts,
    panoptic_quality,
)
from maskwright.metrics.protocols import PROTOCOLS, Kind, Protocol, protocol_of
from maskwright.metrics.semantic import (
    ConfusionMatrix,
    SemanticScores,
    confusion_matrix,
    semantic_scores,
)
from maskwright.metrics.stability import (
    Flips,
    Stability,
    StabilityScores,
    frame_flips,
    map_flips,
    noise_flips,
    shift_flips,
)
from maskwright.metrics.thin import ThinIou, thin_overlaps, thin_region, white_top_hat

__all__ = [
    "PROTOCOLS",
    "APScores",
    "Accumulator",
    "AveragePrecision",
    "BoundaryF",
    "BoundaryFScores",
    "BoundaryIou",
    "ConfusionMatrix",
    "DetectionVerdicts",
    "Flips",
    "Interval",
    "Kind",
    "Objects",
    "OverlapScores",
    "PRCurve",
    "PairedInterval",
    "PanopticCounts",
    "PanopticQuality",
    "PanopticScores",
    "Protocol",
    "SemanticScores",
    "Spans",
    "Stability",
    "StabilityScores",
    "ThinIou",
    "ap_of_draws",
    "average_precision",
    "bootstrap",
    "boundary_band",
    "boundary_f",
    "boundary_f_scores",
    "boundary_iou",
    "boundary_mask",
    "boundary_matches",
    "boundary_overlaps",
    "boundary_width",
    "confusion_matrix",
    "counted_draws",
    "davis_f",
    "frame_flips",
    "frequency_weighted_iou",
    "interval",
    "iou",
    "label_average_precision",
    "map_flips",
    "matrix_overlaps",
    "mean_boundary_f",
    "mean_iou",
    "mean_label_precision",
    "mean_pq",
    "noise_flips",
    "overlap_scores",
    "paired_interval",
    "panoptic_counts",
    "panoptic_quality",
    "pixel_accuracy",
    "protocol_of",
    "semantic_scores",
    "shift_flips",
    "thin_overlaps",
    "thin_region",
    "white_top_hat",
]
