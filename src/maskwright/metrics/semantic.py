"""Semantic segmentation scores from one exact confusion matrix over a whole data set.

The policies, stated once:

* A pixel whose truth is void is not counted, whatever was predicted there.
* A labelled pixel whose prediction is void, or no class at all (an id >= K), is counted as a miss:
  in column K of the matrix, "unpredicted". It lowers the recall and IoU of its true class and the
  pixel accuracy; it is no false positive of anything.
* A class that occurs in neither truth nor prediction has no score (NaN) and is left out of means.
* A class that is predicted but never true has IoU and Dice 0 and counts in mIoU and mean Dice (the
  union is not empty: the mistake is real); its recall is NaN and no part of the mean accuracy.
* A class that is true but never predicted has IoU, Dice and recall 0; its precision is NaN.
* An ignored class is treated as void: pixels of its truth are not counted, its scores are NaN. A
  prediction of it on a pixel of another class stays a miss of that class.

Means are over classes of the matrix summed over all images, never means of per-image scores.
Legend: K classes, H W height and width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError

# OpenCV returns counts as float32, which holds every integer up to 2^24 exactly.
_EXACT_PIXELS = 1 << 24


def confusion_matrix(
    truth_HW: np.ndarray, prediction_HW: np.ndarray, classes: int, void: int = 255
) -> np.ndarray:
    """Count the pixels of one image by true and predicted class.

    Args:
        truth_HW: integer class ids 0..K-1, or `void`.
        prediction_HW: integer class ids of the same size; anything outside 0..K-1 is unpredicted.
        classes: K.
        void: the id of unlabelled pixels, outside 0..K-1.

    Returns:
        int64 [K, K + 1]: row = truth, column = prediction, column K = unpredicted. The counts are
        exact. Two uint8 maps take the fast way.

    Raises:
        DataError: sizes differ, the ids aren't integers, or the truth holds an id out of range.
        ConfigError: `void` is the id of a class.
    """
    _check_maps(truth_HW, prediction_HW)
    _check_void(classes, void)
    if truth_HW.dtype == np.uint8 and prediction_HW.dtype == np.uint8 and classes <= 256:
        joint = _joint_histogram(truth_HW, prediction_HW)
        unknown = [i for i in range(classes, 256) if i != void and joint[i].any()]
        if unknown:
            raise _out_of_range(unknown, classes, void)
        counted = joint[:classes]
        unpredicted = counted[:, classes:].sum(axis=1, keepdims=True)
        return np.concatenate([counted[:, :classes], unpredicted], axis=1)
    return _counted_matrix(truth_HW, prediction_HW, classes, void)


def _joint_histogram(truth_HW: np.ndarray, prediction_HW: np.ndarray) -> np.ndarray:
    """int64 [256, 256] counts of every pair of bytes."""
    joint = np.zeros((256, 256), np.int64)
    height, width = truth_HW.shape
    rows = max(1, _EXACT_PIXELS // max(width, 1))
    for top in range(0, height if width else 0, rows):
        bands = [np.ascontiguousarray(m[top : top + rows]) for m in (truth_HW, prediction_HW)]
        counts = cv2.calcHist(bands, [0, 1], None, [256, 256], [0, 256, 0, 256])
        joint += counts.astype(np.int64)
    return joint


def _counted_matrix(
    truth_HW: np.ndarray, prediction_HW: np.ndarray, classes: int, void: int
) -> np.ndarray:
    """The same for ids wider than a byte."""
    labelled = truth_HW != void
    truth = truth_HW[labelled].astype(np.int64)
    prediction = prediction_HW[labelled].astype(np.int64)
    outside = (truth < 0) | (truth >= classes)
    if outside.any():
        raise _out_of_range(np.unique(truth[outside]).tolist(), classes, void)
    prediction[(prediction < 0) | (prediction > classes)] = classes
    codes = truth * (classes + 1) + prediction
    counts = np.bincount(codes, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1).astype(np.int64)


def _check_maps(truth_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
    if truth_HW.shape != prediction_HW.shape or truth_HW.ndim != 2:
        raise DataError(
            "expected truth and prediction of the same size [height, width], got "
            f"{truth_HW.shape} and {prediction_HW.shape}; bring the prediction to the size of "
            "the truth, by nearest neighbour."
        )
    for name, ids in (("truth", truth_HW), ("prediction", prediction_HW)):
        if not np.issubdtype(ids.dtype, np.integer):
            raise DataError(f"expected the {name} as integer class ids, got {ids.dtype}.")


def _check_void(classes: int, void: int) -> None:
    if classes < 1:
        raise ConfigError(f"expected at least one class, got {classes}.")
    if 0 <= void < classes:
        raise ConfigError(
            f"void id {void} is also a class (0..{classes - 1}); take another id for void, or "
            f"score with ignore=({void},)."
        )


def _out_of_range(ids: Sequence[int], classes: int, void: int) -> DataError:
    shown = ", ".join(str(i) for i in ids[:10]) + (", ..." if len(ids) > 10 else "")
    return DataError(
        f"the truth holds class ids {shown}, expected 0..{classes - 1} or void {void}; check the "
        "class list, or map these ids to void."
    )


@dataclass(frozen=True, kw_only=True)
class SemanticScores:
    """Scores in 0..1 (NaN: not defined), per class in the order of `names`, and their means.

    Attributes:
        names: of the K classes.
        iou: TP / (TP + FP + FN), the Jaccard index.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN), the class's accuracy.
        dice: 2 TP / (2 TP + FP + FN), the F1 score.
        truth_pixels: labelled pixels of the class, TP + FN.
        predicted_pixels: labelled pixels predicted as the class, TP + FP.
        unpredicted_pixels: labelled pixels whose prediction was no class.
        miou: mean IoU over classes that occur in truth or prediction.
        fwiou: IoU weighted by the class's share of the labelled pixels.
        pixel_accuracy: share of labelled pixels predicted right.
        mean_accuracy: mean recall over classes that occur in the truth.
        mean_dice: mean Dice over classes that occur in truth or prediction.
    """

    names: tuple[str, ...]
    iou: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    dice: tuple[float, ...]
    truth_pixels: tuple[int, ...]
    predicted_pixels: tuple[int, ...]
    unpredicted_pixels: int
    miou: float
    fwiou: float
    pixel_accuracy: float
    mean_accuracy: float
    mean_dice: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: NaN becomes None, classes a list of rows."""
        columns = ("iou", "precision", "recall", "dice", "truth_pixels", "predicted_pixels")
        means = ("miou", "fwiou", "pixel_accuracy", "mean_accuracy", "mean_dice")
        return {
            **{name: _or_none(getattr(self, name)) for name in means},
            "unpredicted_pixels": self.unpredicted_pixels,
            "classes": [
                {"name": name, **{c: _or_none(getattr(self, c)[index]) for c in columns}}
                for index, name in enumerate(self.names)
            ],
        }


def semantic_scores(
    matrix: np.ndarray, names: Sequence[str], ignore: Collection[int] = ()
) -> SemanticScores:
    """Scores of a confusion matrix; the head of this file states the policies.

    Args:
        matrix: int64 [K, K + 1] as `confusion_matrix` returns, summed over the images.
        names: of the K classes.
        ignore: class ids that are treated as void.

    Raises:
        ConfigError: the matrix doesn't fit the names, or an ignored id is no class.
    """
    classes = len(names)
    if matrix.shape != (classes, classes + 1):
        raise ConfigError(
            f"expected a matrix [{classes}, {classes + 1}] for {classes} names (the last column "
            f"counts unpredicted pixels), got {list(matrix.shape)}."
        )
    wrong = sorted(i for i in ignore if not 0 <= i < classes)
    if wrong:
        raise ConfigError(f"ignored ids must lie in 0..{classes - 1}, got {wrong}.")
    ignored = sorted(ignore)
    counts = matrix.astype(np.int64)
    counts[ignored] = 0
    truth, predicted = counts.sum(axis=1), counts[:, :classes].sum(axis=0)
    predicted[ignored] = 0
    right = np.diagonal(counts)
    iou = _ratio(right, truth + predicted - right)
    recall = _ratio(right, truth)
    dice = _ratio(2 * right, truth + predicted)
    total = int(truth.sum())
    weighted = float((truth * np.nan_to_num(iou)).sum())
    return SemanticScores(
        names=tuple(names),
        iou=tuple(iou.tolist()),
        precision=tuple(_ratio(right, predicted).tolist()),
        recall=tuple(recall.tolist()),
        dice=tuple(dice.tolist()),
        truth_pixels=tuple(truth.tolist()),
        predicted_pixels=tuple(predicted.tolist()),
        unpredicted_pixels=int(counts[:, classes].sum()),
        miou=_mean(iou),
        fwiou=weighted / total if total else math.nan,
        pixel_accuracy=int(right.sum()) / total if total else math.nan,
        mean_accuracy=_mean(recall),
        mean_dice=_mean(dice),
    )


class ConfusionMatrix:
    """Adds up images; a thin layer over `confusion_matrix` and `semantic_scores`.

    Args:
        classes: K.
        void: the id of unlabelled pixels.

    Attributes:
        matrix: int64 [K, K + 1], all images so far.
    """

    def __init__(self, classes: int, void: int = 255) -> None:
        _check_void(classes, void)
        self.classes = classes
        self.void = void
        self.matrix = np.zeros((classes, classes + 1), np.int64)

    def update(self, truth_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
        """Add one image; on an error nothing is added."""
        self.matrix += confusion_matrix(truth_HW, prediction_HW, self.classes, self.void)

    def merge(self, other: ConfusionMatrix) -> None:
        """Add what another one has counted, such as another process's share of the images.

        Raises:
            ConfigError: it counts another number of classes.
        """
        if other.classes != self.classes:
            raise ConfigError(
                f"can't merge counts of {other.classes} classes into counts of {self.classes}."
            )
        self.matrix += other.matrix

    def scores(
        self, names: Sequence[str] | None = None, ignore: Collection[int] = ()
    ) -> SemanticScores:
        """Scores so far; without names the classes are called by their ids."""
        chosen = [str(i) for i in range(self.classes)] if names is None else names
        return semantic_scores(self.matrix, chosen, ignore)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """float64 quotient; NaN where the denominator is 0."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
