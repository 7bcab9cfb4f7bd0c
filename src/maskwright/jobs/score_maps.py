"""Class maps scored: areas, boundaries, thin parts; each image's counts are kept for intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Segmentation
from maskwright.metrics import (
    BoundaryFScores,
    Interval,
    OverlapScores,
    PairedInterval,
    SemanticScores,
    boundary_f_scores,
    boundary_matches,
    boundary_overlaps,
    confusion_matrix,
    interval,
    matrix_overlaps,
    mean_boundary_f,
    mean_iou,
    overlap_scores,
    paired_interval,
    semantic_scores,
    thin_overlaps,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class MapScores:
    """Scores of class maps over N images of K classes.

    Attributes:
        classes: what was told apart.
        images: names, in the order of the counts.
        matrices_N: int64 [N, K, K + 1], a confusion matrix an image (`confusion_matrix`).
        boundary_N: int64 [N, K, 3], overlaps of the bands along boundaries (`boundary_overlaps`).
        outline_N: int64 [N, K, 4], outline pixels that are met (`boundary_matches`).
        thin_N: int64 [N, K, 3], overlaps inside the thin parts of the truth (`thin_overlaps`).
    """

    classes: Classes
    images: tuple[str, ...]
    matrices_N: np.ndarray
    boundary_N: np.ndarray
    outline_N: np.ndarray
    thin_N: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """int64 [K, K + 1] over all images."""
        return self.matrices_N.sum(axis=0)

    @cached_property
    def areas(self) -> SemanticScores:
        """IoU, precision, recall, Dice and their means."""
        return semantic_scores(self.matrix, self.classes.names)

    @cached_property
    def boundary(self) -> OverlapScores:
        """Boundary IoU."""
        return overlap_scores(self.boundary_N.sum(axis=0), self.classes.names)

    @cached_property
    def outline(self) -> BoundaryFScores:
        """Boundary F."""
        return boundary_f_scores(self.outline_N.sum(axis=0), self.classes.names)

    @cached_property
    def thin(self) -> OverlapScores:
        """IoU inside the thin parts of the truth."""
        return overlap_scores(self.thin_N.sum(axis=0), self.classes.names)

    def image_scores(self) -> np.ndarray:
        """mIoU of each image, float64 [N]; NaN without labels. To rank, not to be averaged."""
        return mean_iou(matrix_overlaps(self.matrices_N))

    def intervals(self) -> dict[str, Interval]:
        """Score -> its bootstrap interval over the images."""
        return {
            name: interval(counts, score)
            for name, (counts, score) in self._countings().items()
            if counts.any()
        }

    def against(self, other: MapScores) -> dict[str, PairedInterval]:
        """Score -> how much better these are than the other's, on the same images.

        Raises:
            ConfigError: other images were scored.
        """
        if other.images != self.images:
            raise ConfigError(
                f"expected scores of the same images to compare, got {len(self.images)} and "
                f"{len(other.images)} with {len(set(self.images) & set(other.images))} in common; "
                "mend those that were left out."
            )
        theirs = other._countings()
        return {
            name: paired_interval(counts, theirs[name][0], score)
            for name, (counts, score) in self._countings().items()
            if counts.any() and theirs[name][0].any()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ranked = self.image_scores()
        return {
            "areas": self.areas.to_dict(),
            "boundary_iou": self.boundary.to_dict(),
            "boundary_f": self.outline.to_dict(),
            "thin_iou": self.thin.to_dict(),
            "confusion": self.matrix.tolist(),
            "images": [
                {"name": name, "miou": None if np.isnan(miou) else float(miou)}
                for name, miou in zip(self.images, ranked)
            ],
        }

    def _countings(self) -> dict[str, tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]]:
        return {
            "mIoU": (matrix_overlaps(self.matrices_N), mean_iou),
            "boundary IoU": (self.boundary_N, mean_iou),
            "boundary F": (self.outline_N, mean_boundary_f),
            "thin IoU": (self.thin_N, mean_iou),
        }


class MapScorer:
    """Collects the counts of one image after the other."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self._names: list[str] = []
        self._counts: list[tuple[np.ndarray, ...]] = []

    def update(self, name: str, truth: Segmentation, found: Segmentation) -> None:
        """Add one image, both with class maps.

        Raises:
            DataError: their sizes differ, or the truth holds an id that no class has.
        """
        truth_HW, found_HW = truth.semantic, found.semantic
        if truth_HW is None or found_HW is None:
            raise ConfigError(f"{name}: expected class maps of truth and prediction, got none.")
        settings = (truth_HW, found_HW, len(self.classes), self.classes.void)
        self._counts.append(
            (
                confusion_matrix(*settings),
                boundary_overlaps(*settings),
                boundary_matches(*settings),
                thin_overlaps(*settings),
            )
        )
        self._names.append(name)

    def scores(self) -> MapScores | None:
        """Of the images so far; None without any."""
        if not self._counts:
            return None
        stacked: Sequence[np.ndarray] = [np.stack(each) for each in zip(*self._counts)]
        return MapScores(
            classes=self.classes,
            images=tuple(self._names),
            matrices_N=stacked[0],
            boundary_N=stacked[1],
            outline_N=stacked[2],
            thin_N=stacked[3],
        )
