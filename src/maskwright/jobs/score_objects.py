"""Boxes and masks with confidences scored under a named protocol, boundaries of masks too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.segmentation import Segmentation
from maskwright.metrics import (
    APScores,
    AveragePrecision,
    Interval,
    PRCurve,
    ap_of_draws,
    bootstrap,
)
from maskwright.metrics.protocols import Kind

RESAMPLES = 500
"""Of an interval of AP: each of them ranks all detections anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectTally:
    """One image at the confidence that suits the whole set best, and IoU 0.5.

    Attributes:
        name: the image's.
        right: detections that match a true object.
        wrong: detections that match none.
        missed: true objects that no detection matches.
    """

    name: str
    right: int
    wrong: int
    missed: int

    @property
    def f1(self) -> float:
        """2 right / (2 right + wrong + missed); 1 where nothing was there and nothing was found."""
        mistakes = self.wrong + self.missed
        return 2 * self.right / (2 * self.right + mistakes) if self.right or mistakes else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectScores:
    """Scores of objects over N images.

    Attributes:
        classes: what was told apart.
        kinds: "masks", "boundary", "boxes" -> average precision and recall; the first is the one
            that is told first.
        curves: class name -> precision and recall at IoU 0.5 of the first kind; "" pools all.
        confidence: where F1 at IoU 0.5, all classes pooled, is best.
        images: each one at that confidence.
        seen: what was compared, for intervals.
    """

    classes: Classes
    kinds: Mapping[Kind, APScores]
    curves: Mapping[str, PRCurve]
    confidence: float
    images: tuple[ObjectTally, ...]
    seen: AveragePrecision

    @property
    def first(self) -> APScores:
        """Of masks where there are any, else of boxes."""
        return next(iter(self.kinds.values()))

    def draws(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """ "AP masks" and so on -> its value for images drawn several times."""
        return {
            f"AP {kind}": ap_of_draws(self.seen, scores.protocol, kind=kind)
            for kind, scores in self.kinds.items()
        }

    def intervals(self) -> dict[str, Interval]:
        """Score -> its bootstrap interval over the images."""
        count = len(self.images)
        return {
            name: bootstrap(draw, count, resamples=RESAMPLES) for name, draw in self.draws().items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **{kind: scores.to_dict() for kind, scores in self.kinds.items()},
            "best_confidence": None if np.isnan(self.confidence) else self.confidence,
            "images": [
                {"name": i.name, "right": i.right, "wrong": i.wrong, "missed": i.missed}
                for i in self.images
            ],
        }


class ObjectScorer:
    """Collects one image after the other."""

    def __init__(self, classes: Classes, protocol: str, *, masks: bool) -> None:
        self.classes, self.protocol = classes, protocol
        kinds: tuple[Kind, ...] = ("masks", "boundary", "boxes") if masks else ("boxes",)
        self.kinds = kinds
        self._seen = AveragePrecision(classes.names, kinds=kinds)
        self._names: list[str] = []

    def update(self, name: str, truth: Segmentation, found: Segmentation) -> None:
        """Add one image, both with objects.

        Raises:
            DataError: sizes differ, or an object lacks its mask.
        """
        self._seen.update(truth, found, truth_areas=_areas(truth))
        self._names.append(name)

    def scores(self) -> ObjectScores | None:
        """Of the images so far; None without any."""
        if not self._names:
            return None
        first = self.kinds[0]
        curves = {"": self._seen.curve(None, protocol=self.protocol, kind=first)}
        for class_id, name in enumerate(self.classes.names):
            curves[name] = self._seen.curve(class_id, protocol=self.protocol, kind=first)
        confidence = _best_confidence(curves[""])
        return ObjectScores(
            classes=self.classes,
            kinds={kind: self._seen.scores(self.protocol, kind=kind) for kind in self.kinds},
            curves=curves,
            confidence=confidence,
            images=self._tallies(confidence),
            seen=self._seen,
        )

    def _tallies(self, confidence: float) -> tuple[ObjectTally, ...]:
        verdicts = self._seen.verdicts(self.protocol, kind=self.kinds[0])
        count = len(self._names)
        sure = verdicts.score >= confidence
        status = verdicts.status[0]

        def per_image(image: np.ndarray) -> np.ndarray:
            return np.bincount(image, minlength=count)

        right = per_image(verdicts.image[sure & (status == 1)])
        wrong = per_image(verdicts.image[sure & (status == 0)])
        there = per_image(verdicts.truths.image[verdicts.counted])
        return tuple(
            ObjectTally(name=name, right=int(r), wrong=int(w), missed=int(t - r))
            for name, r, w, t in zip(self._names, right, wrong, there)
        )


def _areas(truth: Segmentation) -> list[float] | None:
    """As the annotation file states them; NaN where it doesn't, None where it never does."""
    stated = [one.area for one in truth.instances or ()]
    if all(area is None for area in stated):
        return None
    return [math.nan if area is None else area for area in stated]


def _best_confidence(curve: PRCurve) -> float:
    """The lowest score whose F1 is the best; NaN without detections."""
    total = curve.precision + curve.recall
    f1 = np.divide(2 * curve.precision * curve.recall, total, out=np.zeros_like(total),
                   where=total > 0)  # fmt: skip
    return float(curve.score[int(np.argmax(f1))]) if len(f1) else float("nan")
