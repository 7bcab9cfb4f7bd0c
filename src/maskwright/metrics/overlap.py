"""Overlap of two class maps as counts [K, 3], and the scores that follow from them.

A row is a class; the columns are the pixels in both maps, in the truth, in the prediction. Whole
masks (the confusion matrix), their boundaries and their thin parts are counted in this one form,
so that one function scores them all and one bootstrap resamples them all.

The policies:

* Scores are of the counts summed over all images, never means of per-image scores.
* A class in neither truth nor prediction has no score (NaN) and is left out of the mean.
* A class that is only predicted has IoU 0 and no recall (NaN); one that is only true has IoU and
  recall 0 and no precision (NaN). Both count in the mean IoU.

Legend: K classes, `...` any leading axes, such as images or resamples.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.maps import check_ignored


@dataclass(frozen=True, kw_only=True)
class OverlapScores:
    """Scores in 0..1 (NaN: not defined), per class in the order of `names`.

    Attributes:
        names: of the K classes.
        iou: pixels in both over pixels in either.
        precision: pixels in both over predicted pixels.
        recall: pixels in both over true pixels.
        truth_pixels: of the class, where the score looks.
        predicted_pixels: of the class, where the score looks.
        miou: mean IoU over the classes that occur.
    """

    names: tuple[str, ...]
    iou: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    truth_pixels: tuple[int, ...]
    predicted_pixels: tuple[int, ...]
    miou: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: NaN becomes None, classes a list of rows."""
        columns = ("iou", "precision", "recall", "truth_pixels", "predicted_pixels")
        return score_rows(self, ("miou",), columns)


def score_rows(scores: Any, means: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """Plain data of a dataclass with `names`: the means, and "classes" as a list of rows."""
    return {
        **{name: none_for_nan(getattr(scores, name)) for name in means},
        "classes": [
            {"name": name, **{c: none_for_nan(getattr(scores, c)[index]) for c in columns}}
            for index, name in enumerate(scores.names)
        ],
    }


def overlap_scores(
    overlaps_K3: np.ndarray, names: Sequence[str], ignore: Collection[int] = ()
) -> OverlapScores:
    """Scores of summed overlap counts; the head of this file states the policies.

    Args:
        overlaps_K3: int64 [K, 3], as `boundary_overlaps` and `thin_overlaps` count them.
        names: of the K classes.
        ignore: class ids whose scores are NaN and no part of the mean.

    Raises:
        ConfigError: the counts don't fit the names, or an ignored id is no class.
    """
    counts = checked_counts(overlaps_K3, names, 3, ignore)
    both, truth, predicted = counts.T
    return OverlapScores(
        names=tuple(names),
        iou=tuple(iou(counts).tolist()),
        precision=tuple(ratio(both, predicted).tolist()),
        recall=tuple(ratio(both, truth).tolist()),
        truth_pixels=tuple(truth.tolist()),
        predicted_pixels=tuple(predicted.tolist()),
        miou=float(mean_iou(counts)),
    )


def count_overlaps(truth_HW: np.ndarray, prediction_HW: np.ndarray, classes: int) -> np.ndarray:
    """int64 [K, 3] of two maps in which class k is k + 1, and 0 is not counted."""
    both = truth_HW[truth_HW == prediction_HW]
    return np.stack(
        [np.bincount(ids.ravel(), minlength=classes + 1)[1:] for ids in (both, truth_HW,
                                                                         prediction_HW)],
        axis=1,
    ).astype(np.int64)  # fmt: skip


def matrix_overlaps(matrices_KL: np.ndarray) -> np.ndarray:
    """int64 [..., K, 3]: the overlap counts of confusion matrices [..., K, K + 1]."""
    classes = matrices_KL.shape[-2]
    right = np.diagonal(matrices_KL, axis1=-2, axis2=-1)
    predicted = matrices_KL[..., :classes].sum(axis=-2)
    return np.stack([right, matrices_KL.sum(axis=-1), predicted], axis=-1)


def iou(overlaps_K3: np.ndarray) -> np.ndarray:
    """float64 [..., K] from counts [..., K, 3]: IoU of each class, NaN where it doesn't occur.

    Raises:
        ConfigError: other columns.
    """
    if np.shape(overlaps_K3)[-1:] != (3,):
        raise ConfigError(
            f"expected overlap counts [..., K, 3], got {list(np.shape(overlaps_K3))}; those of "
            "confusion matrices are `matrix_overlaps(matrices)`."
        )
    both, truth, predicted = np.moveaxis(np.asarray(overlaps_K3), -1, 0)
    return ratio(both, truth + predicted - both)


def mean_iou(overlaps_K3: np.ndarray) -> np.ndarray:
    """float64 [...] from counts [..., K, 3]: mean over the classes that occur; NaN: none does."""
    return mean_defined(iou(overlaps_K3))


def frequency_weighted_iou(overlaps_K3: np.ndarray) -> np.ndarray:
    """float64 [...] from counts [..., K, 3] of areas: IoU weighted by the classes' true pixels."""
    truth = np.asarray(overlaps_K3)[..., 1]
    return ratio((truth * np.nan_to_num(iou(overlaps_K3))).sum(axis=-1), truth.sum(axis=-1))


def pixel_accuracy(overlaps_K3: np.ndarray) -> np.ndarray:
    """float64 [...] from counts [..., K, 3] of areas: the share of true pixels in both."""
    both, truth, _ = np.moveaxis(np.asarray(overlaps_K3), -1, 0)
    return ratio(both.sum(axis=-1), truth.sum(axis=-1))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """float64 quotient; NaN where the denominator is 0."""
    result = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def mean_defined(values_K: np.ndarray) -> np.ndarray:
    """float64 [...]: mean over the last axis without its NaNs; NaN where all are."""
    defined = ~np.isnan(values_K)
    return ratio(np.where(defined, values_K, 0.0).sum(axis=-1), defined.sum(axis=-1))


def none_for_nan(value: float) -> float | None:
    """What JSON can hold: None for NaN."""
    return None if math.isnan(value) else value


def checked_counts(
    counts: np.ndarray, names: Sequence[str], columns: int, ignore: Collection[int]
) -> np.ndarray:
    """A copy with the rows of ignored classes 0.

    Raises:
        ConfigError: not [K, columns], or an ignored id is no class.
    """
    if counts.shape != (len(names), columns):
        raise ConfigError(
            f"expected counts [{len(names)}, {columns}] for {len(names)} names, got "
            f"{list(counts.shape)}."
        )
    check_ignored(len(names), ignore)
    kept = counts.astype(np.int64)
    kept[sorted(ignore)] = 0
    return kept


def check_beta(beta: float) -> None:
    """Refuse a weight that makes no F.

    Raises:
        ConfigError: not a positive number.
    """
    if not 0 < beta < math.inf:
        raise ConfigError(f"expected a beta above 0, such as 1 or 2, got {beta}.")
