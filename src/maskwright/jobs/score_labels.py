"""Labels of whole images scored: mAP, and true and false positives at confidence 0.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Label, Segmentation
from maskwright.jobs.score_task import (
    Arrays,
    Draw,
    Headline,
    Images,
    pack,
    require_classes_to_merge,
    unpack,
)
from maskwright.metrics.labels import label_average_precision, mean_label_precision
from maskwright.metrics.overlap import none_for_nan, ratio

CONFIDENCE = 0.5
"""From here on a label counts as given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelScores:
    """Scores of image labels over N images of K classes.

    Attributes:
        classes: what was told apart.
        names: of the images.
        truth_NK: bool, whether the class is true of the image.
        score_NK: float64, its confidence; 0 where the model doesn't name it.
    """

    classes: Classes
    names: tuple[str, ...]
    truth_NK: np.ndarray
    score_NK: np.ndarray

    @property
    def resamples(self) -> int:
        """Of an interval."""
        return 500

    @cached_property
    def average_precision(self) -> np.ndarray:
        """float64 [K]; NaN where the class is true of no image."""
        return label_average_precision(self.truth_NK, self.score_NK)

    def headline(self) -> Headline:
        """mAP: the mean of the classes' average precision."""
        return Headline(name="mAP", value=self.numbers()["mAP"])

    def numbers(self) -> dict[str, float]:
        """mAP, and F1 at confidence 0.5 with all classes pooled."""
        hits, misses = self._pooled(self.truth_NK, self.score_NK >= CONFIDENCE)
        mean = float(mean_label_precision(self.truth_NK, self.score_NK))
        return {"mAP": mean, "label F1": float(ratio(2 * hits, 2 * hits + misses))}

    def class_scores(self) -> tuple[float, ...]:
        """Average precision of each class; NaN where it has none."""
        return tuple(self.average_precision.tolist())

    def row(self) -> dict[str, float]:
        """map."""
        return {"map": self.numbers()["mAP"]}

    def image_scores(self) -> np.ndarray:
        """F1 of each image at confidence 0.5, float64 [N]; 1 where nothing is true or told."""
        given = self.score_NK >= CONFIDENCE
        both = (self.truth_NK & given).sum(axis=1)
        mistakes = (self.truth_NK ^ given).sum(axis=1)
        return np.where(both + mistakes > 0, 2 * both / np.maximum(2 * both + mistakes, 1), 1.0)

    def draws(self) -> dict[str, Draw]:
        """mAP for images drawn several times."""
        if not self.truth_NK.any():
            return {}
        return {"mAP": lambda times: mean_label_precision(self.truth_NK, self.score_NK, times)}

    def arrays(self) -> Arrays:
        """Truth, scores and names."""
        return {"truth": self.truth_NK, "score": self.score_NK, "names": pack(self.names)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], classes: Classes) -> Self:
        """Inverse of `arrays`."""
        return cls(
            classes=classes,
            names=tuple(unpack(arrays["names"])),
            truth_NK=arrays["truth"].astype(bool),
            score_NK=arrays["score"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        given = self.score_NK >= CONFIDENCE
        counts = {
            "true_positives": self.truth_NK & given,
            "false_positives": ~self.truth_NK & given,
            "false_negatives": self.truth_NK & ~given,
        }
        return {
            **{name: none_for_nan(value) for name, value in self.numbers().items()},
            "classes": [
                {"name": name, "ap": none_for_nan(float(self.average_precision[k]))}
                | {kind: int(of_NK[:, k].sum()) for kind, of_NK in counts.items()}
                for k, name in enumerate(self.classes.names)
            ],
            "images": [
                {"name": name} | {kind: int(of_NK[n].sum()) for kind, of_NK in counts.items()}
                for n, name in enumerate(self.names)
            ],
        }

    @staticmethod
    def _pooled(truth_NK: np.ndarray, given_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sum(truth_NK & given_NK), np.sum(truth_NK ^ given_NK)


class LabelScorer:
    """Collects one image after the other."""

    known = ("mAP",)

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self._images = Images()

    def update(
        self, name: str, truth: Segmentation, found: Segmentation, place: int | None = None
    ) -> None:
        """Add one image, both with labels; see `TaskScorer.update`.

        Raises:
            ConfigError: there are no labels.
        """
        if truth.labels is None or found.labels is None:
            raise ConfigError(f"{name}: expected image labels of truth and prediction, got none.")
        true_K = self._column(truth.labels) > 0
        self._images.add(name, place, (true_K, self._column(found.labels)))

    def merge(self, other: LabelScorer) -> None:
        """Add another one's images.

        Raises:
            ConfigError: other classes, or a place that is taken.
        """
        require_classes_to_merge(self.classes, other.classes)
        self._images.merge(other._images)

    def scores(self) -> LabelScores | None:
        """Of the images so far; None without any."""
        if not len(self._images):
            return None
        truth, score = zip(*self._images.counts())
        return LabelScores(
            classes=self.classes,
            names=self._images.names(),
            truth_NK=np.stack(truth),
            score_NK=np.stack(score),
        )

    def _column(self, labels: tuple[Label, ...]) -> np.ndarray:
        """float64 [K]: each class's confidence, 1 where none is told, 0 where it isn't named."""
        found_K = np.zeros(len(self.classes))
        for label in labels:
            score = 1.0 if label.score is None else label.score
            found_K[label.class_id] = max(found_K[label.class_id], score)
        return found_K
