"""Panoptic segments scored; each image's counts are kept for intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Segmentation
from maskwright.metrics import (
    PanopticQuality,
    PanopticScores,
    interval,
    mean_pq,
    panoptic_counts,
)
from maskwright.metrics.bootstrap import Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentScores:
    """Panoptic quality over N images of K classes.

    Attributes:
        scores: of all images together.
        images: names, in the order of the counts.
        counts_N: float64 [N, K, 4]: sum of IoUs, TP, FP, FN of each image.
    """

    scores: PanopticScores
    images: tuple[str, ...]
    counts_N: np.ndarray

    def intervals(self) -> dict[str, Interval]:
        """Score -> its bootstrap interval over the images."""
        return {"PQ": interval(self.counts_N, mean_pq)} if self.counts_N.any() else {}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return self.scores.to_dict()


class SegmentScorer:
    """Collects one image after the other."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self._quality = PanopticQuality(classes.names, classes.things)
        self._names: list[str] = []
        self._counts: list[np.ndarray] = []

    def update(self, name: str, truth: Segmentation, found: Segmentation) -> None:
        """Add one image, both with panoptic segments.

        Raises:
            DataError: sizes differ, or an id has no class.
        """
        if truth.panoptic is None or found.panoptic is None:
            raise ConfigError(f"{name}: expected panoptic segments of truth and prediction.")
        counts = panoptic_counts(truth.panoptic, found.panoptic, len(self.classes))
        self._quality.add(counts)
        columns = (counts.iou_sum, counts.right, counts.wrong, counts.missed)
        self._counts.append(np.stack(columns, axis=1).astype(np.float64))
        self._names.append(name)

    def scores(self) -> SegmentScores | None:
        """Of the images so far; None without any."""
        if not self._names:
            return None
        return SegmentScores(
            scores=self._quality.scores(),
            images=tuple(self._names),
            counts_N=np.stack(self._counts),
        )
