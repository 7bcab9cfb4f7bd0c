"""Panoptic segments scored; each image's counts are kept for intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.score_task import (
    Arrays,
    Draw,
    Headline,
    Images,
    pack,
    require_classes_to_merge,
    unpack,
)
from maskwright.metrics import (
    PanopticCounts,
    PanopticQuality,
    PanopticScores,
    counted_draws,
    mean_pq,
    panoptic_counts,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentScores:
    """Panoptic quality over N images of K classes.

    Attributes:
        classes: what was told apart.
        names: of the images, in the order of the counts.
        counts_N: float64 [N, K, 4]: sum of IoUs, TP, FP, FN of each image.
    """

    classes: Classes
    names: tuple[str, ...]
    counts_N: np.ndarray

    @property
    def resamples(self) -> int:
        """Of an interval."""
        return 2000

    @cached_property
    def scores(self) -> PanopticScores:
        """Of all images together."""
        quality = PanopticQuality(self.classes.names, self.classes.things)
        for counts_K4 in self.counts_N:
            quality.add(_counts_of(counts_K4))
        return quality.scores()

    def headline(self) -> Headline:
        """PQ, the mean over the classes."""
        return Headline(name="PQ", value=self.scores.mean("pq"))

    def numbers(self) -> dict[str, float]:
        """PQ, SQ and RQ."""
        return {of.upper(): self.scores.mean(of) for of in ("pq", "sq", "rq")}

    def class_scores(self) -> tuple[float, ...]:
        """PQ of each class; NaN where it has none."""
        return self.scores.pq

    def row(self) -> dict[str, float]:
        """pq."""
        return {"pq": self.scores.mean("pq")}

    def image_scores(self) -> np.ndarray:
        """PQ of each image, float64 [N]; NaN where nothing is there or found."""
        return mean_pq(self.counts_N)

    def draws(self) -> dict[str, Draw]:
        """PQ for images drawn several times."""
        return {"PQ": counted_draws(self.counts_N, mean_pq)} if self.counts_N.any() else {}

    def arrays(self) -> Arrays:
        """Every count and the names."""
        return {"counts": self.counts_N, "names": pack(self.names)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], classes: Classes) -> Self:
        """Inverse of `arrays`."""
        names = tuple(unpack(arrays["names"]))
        return cls(classes=classes, names=names, counts_N=arrays["counts"])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return self.scores.to_dict()


class SegmentScorer:
    """Collects one image after the other."""

    known = ("PQ",)

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self._images = Images()

    def update(
        self, name: str, truth: Segmentation, found: Segmentation, place: int | None = None
    ) -> None:
        """Add one image, both with panoptic segments; see `TaskScorer.update`.

        Raises:
            DataError: sizes differ, or an id has no class.
            ConfigError: there are no panoptic segments.
        """
        if truth.panoptic is None or found.panoptic is None:
            raise ConfigError(f"{name}: expected panoptic segments of truth and prediction.")
        counts = panoptic_counts(truth.panoptic, found.panoptic, len(self.classes))
        columns = (
            counts.iou_sum,
            counts.true_positives,
            counts.false_positives,
            counts.false_negatives,
        )
        self._images.add(name, place, np.stack(columns, axis=1).astype(np.float64))

    def merge(self, other: SegmentScorer) -> None:
        """Add another one's images.

        Raises:
            ConfigError: other classes, or a place that is taken.
        """
        require_classes_to_merge(self.classes, other.classes)
        self._images.merge(other._images)

    def scores(self) -> SegmentScores | None:
        """Of the images so far; None without any."""
        if not len(self._images):
            return None
        return SegmentScores(
            classes=self.classes,
            names=self._images.names(),
            counts_N=np.stack(self._images.counts()),
        )


def _counts_of(counts_K4: np.ndarray) -> PanopticCounts:
    iou_sum, *whole = counts_K4.T
    right, wrong, missed = (each.astype(np.int64) for each in whole)
    return PanopticCounts(
        iou_sum=iou_sum, true_positives=right, false_positives=wrong, false_negatives=missed
    )
