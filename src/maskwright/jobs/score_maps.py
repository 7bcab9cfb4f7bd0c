"""Class maps scored: areas, boundaries, thin parts; each image's counts are kept for intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.score_task import Arrays, Draw, Headline, Images, gains_of, pack, unpack
from maskwright.metrics import (
    BoundaryFScores,
    OverlapScores,
    PairedInterval,
    SemanticScores,
    boundary_f_scores,
    boundary_matches,
    boundary_overlaps,
    confusion_matrix,
    counted_draws,
    frequency_weighted_iou,
    matrix_overlaps,
    mean_boundary_f,
    mean_iou,
    overlap_scores,
    pixel_accuracy,
    semantic_scores,
    thin_overlaps,
)

DETAILS = ("boundary IoU", "boundary F", "thin IoU")
"""Scores that cost more than all the others together."""

_COUNTS = ("areas", "boundary", "outline", "thin")


@dataclass(frozen=True, kw_only=True, eq=False)
class MapScores:
    """Scores of class maps over N images of K classes.

    Attributes:
        classes: what was told apart.
        names: of the images, in the order of the counts.
        matrix: int64 [K, K + 1], the confusion matrix of all images (`confusion_matrix`).
        areas_N: int64 [N, K, 3], overlaps of the areas in each image (`matrix_overlaps`): a matrix
            an image would take gigabytes where there are many classes.
        boundary_N: int64 [N, K, 3], overlaps of the bands along boundaries (`boundary_overlaps`);
            None, as the next two, where only areas were counted.
        outline_N: int64 [N, K, 4], outline pixels that are met (`boundary_matches`).
        thin_N: int64 [N, K, 3], overlaps inside the thin parts of the truth (`thin_overlaps`).
    """

    classes: Classes
    names: tuple[str, ...]
    matrix: np.ndarray
    areas_N: np.ndarray
    boundary_N: np.ndarray | None = None
    outline_N: np.ndarray | None = None
    thin_N: np.ndarray | None = None

    @property
    def resamples(self) -> int:
        """Of an interval."""
        return 2000

    @cached_property
    def areas(self) -> SemanticScores:
        """IoU, precision, recall, Dice and their means."""
        return semantic_scores(self.matrix, self.classes.names)

    @cached_property
    def boundary(self) -> OverlapScores | None:
        """Boundary IoU."""
        if self.boundary_N is None:
            return None
        return overlap_scores(self.boundary_N.sum(axis=0), self.classes.names)

    @cached_property
    def outline(self) -> BoundaryFScores | None:
        """Boundary F."""
        if self.outline_N is None:
            return None
        return boundary_f_scores(self.outline_N.sum(axis=0), self.classes.names)

    @cached_property
    def thin(self) -> OverlapScores | None:
        """IoU inside the thin parts of the truth."""
        if self.thin_N is None:
            return None
        return overlap_scores(self.thin_N.sum(axis=0), self.classes.names)

    def headline(self) -> Headline:
        """The mean IoU."""
        return Headline(name="mIoU", value=self.areas.miou)

    def numbers(self) -> dict[str, float]:
        """Means over the classes, and the share of pixels whose class was told."""
        found = {
            "mIoU": self.areas.miou,
            "FwIoU": self.areas.fwiou,
            "pixel accuracy": self.areas.pixel_accuracy,
        }
        if self.boundary is not None and self.outline is not None and self.thin is not None:
            found |= {
                "boundary IoU": self.boundary.miou,
                "boundary F": self.outline.mean_f,
                "thin IoU": self.thin.miou,
            }
        return found

    def class_scores(self) -> tuple[float, ...]:
        """IoU of each class; NaN where it has none."""
        return self.areas.iou

    def row(self) -> dict[str, float]:
        """miou and pixel_accuracy."""
        return {"miou": self.areas.miou, "pixel_accuracy": self.areas.pixel_accuracy}

    def image_scores(self) -> np.ndarray:
        """mIoU of each image, float64 [N]; NaN without labels. To rank, not to be averaged."""
        return mean_iou(self.areas_N)

    def draws(self) -> dict[str, Draw]:
        """Score -> its value for images drawn several times; those without any count are out."""
        areas = self.areas_N
        countings: dict[str, tuple[np.ndarray | None, Callable[[np.ndarray], np.ndarray]]] = {
            "mIoU": (areas, mean_iou),
            "FwIoU": (areas, frequency_weighted_iou),
            "pixel accuracy": (areas, pixel_accuracy),
            "boundary IoU": (self.boundary_N, mean_iou),
            "boundary F": (self.outline_N, mean_boundary_f),
            "thin IoU": (self.thin_N, mean_iou),
        }
        return {
            name: counted_draws(counts, score)
            for name, (counts, score) in countings.items()
            if counts is not None and counts.any()
        }

    def against(self, other: MapScores) -> dict[str, PairedInterval]:
        """Score -> how much better these are than the other's, on the same images.

        Raises:
            ConfigError: other images were scored.
        """
        return gains_of(self, other)

    def background(self) -> tuple[str, float] | None:
        """What "background alone" scores on these images: the most frequent class for every pixel.

        Returns:
            Its name and the mIoU, 0..1; None without labels.
        """
        truth_K = self.matrix.sum(axis=1)
        if not truth_K.any():
            return None
        most = int(np.argmax(truth_K))
        share = float(truth_K[most] / truth_K.sum())
        return self.classes.names[most], share / int(np.count_nonzero(truth_K))

    def arrays(self) -> Arrays:
        """Every count and the names."""
        kept = {name: getattr(self, f"{name}_N") for name in _COUNTS}
        counts = {name: array for name, array in kept.items() if array is not None}
        return {**counts, "matrix": self.matrix, "names": pack(self.names)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], classes: Classes) -> Self:
        """Inverse of `arrays`."""
        counts = {f"{name}_N": arrays[name] for name in _COUNTS if name in arrays}
        names = tuple(unpack(arrays["names"]))
        return cls(classes=classes, names=names, matrix=arrays["matrix"], **counts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        details = {
            "boundary_iou": self.boundary,
            "boundary_f": self.outline,
            "thin_iou": self.thin,
        }
        right, pixels, _ = self.areas_N.sum(axis=1).T
        return {
            "areas": self.areas.to_dict(),
            **{name: part.to_dict() for name, part in details.items() if part is not None},
            "confusion": self.matrix.tolist(),
            "images": [
                {
                    "name": name,
                    "miou": None if math.isnan(miou) else miou,
                    "pixel_accuracy": same / total if total else None,
                }
                for name, miou, same, total in zip(
                    self.names, self.image_scores().tolist(), right.tolist(), pixels.tolist()
                )
            ],
        }


class MapScorer:
    """Collects the counts of one image after the other.

    Args:
        classes: what is told apart.
        detail: count boundaries and thin parts too, which costs most of the time.
    """

    def __init__(self, classes: Classes, *, detail: bool = True) -> None:
        self.classes, self.detail = classes, detail
        self.known = ("mIoU", "FwIoU", "pixel accuracy", *(DETAILS if detail else ()))
        self._images = Images()
        self._matrix = np.zeros((len(classes), len(classes) + 1), np.int64)

    def update(
        self, name: str, truth: Segmentation, found: Segmentation, place: int | None = None
    ) -> None:
        """Add one image, both with class maps; see `TaskScorer.update`.

        Raises:
            DataError: their sizes differ, or the truth holds an id that no class has.
            ConfigError: there is no class map.
        """
        truth_HW, found_HW = truth.semantic, found.semantic
        if truth_HW is None or found_HW is None:
            raise ConfigError(f"{name}: expected class maps of truth and prediction, got none.")
        settings = (truth_HW, found_HW, len(self.classes), self.classes.void)
        matrix = confusion_matrix(*settings)
        counts: tuple[np.ndarray, ...] = (matrix_overlaps(matrix),)
        if self.detail:
            others = (boundary_overlaps, boundary_matches, thin_overlaps)
            counts += tuple(count(*settings) for count in others)
        self._images.add(name, place, counts)
        self._matrix += matrix

    def merge(self, other: MapScorer) -> None:
        """Add what another one has counted, such as another process's share of the images.

        Raises:
            ConfigError: other classes or detail, or a place that is taken.
        """
        if (other.classes.names, other.detail) != (self.classes.names, self.detail):
            raise ConfigError(
                f"can't merge scores of {len(other.classes)} classes, detail {other.detail}, into "
                f"those of {len(self.classes)}, detail {self.detail}; expected the same."
            )
        self._images.merge(other._images)
        self._matrix += other._matrix

    def scores(self) -> MapScores | None:
        """Of the images so far; None without any."""
        if not len(self._images):
            return None
        stacks = zip(_COUNTS, zip(*self._images.counts()))
        return MapScores(
            classes=self.classes,
            names=self._images.names(),
            matrix=self._matrix.copy(),
            **{f"{name}_N": np.stack(each) for name, each in stacks},
        )
