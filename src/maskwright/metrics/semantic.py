"""Semantic segmentation scores from one exact confusion matrix over a whole data set.

The policies, stated once:

* A pixel whose truth is void is not counted, whatever was predicted there.
* A labelled pixel whose prediction is void, or no class at all (an id >= K), is counted as a miss:
  in column K of the matrix, "unpredicted". It lowers the recall and IoU of its true class and the
  pixel accuracy; it is no false positive of anything.
* A class that occurs in neither truth nor prediction has no score (NaN) and is left out of means.
* A class that is predicted but never true has IoU and Dice 0 and counts in mIoU and mean Dice (the
  union is not empty: the mistake is real); its recall is NaN and no part of the mean accuracy.
* A class that is true but never predicted has IoU, Dice and recall 0; its precision is NaN and no
  part of the mean precision. F-beta is treated as Dice is, which is F-beta at beta 1.
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

from maskwright.core.errors import ConfigError
from maskwright.metrics.accumulator import Accumulator
from maskwright.metrics.maps import check_ignored, check_maps, check_void, out_of_range
from maskwright.metrics.overlap import check_beta, mean_defined, ratio, score_rows

# OpenCV returns counts as float32, which holds every integer up to 2^24 exactly.
_EXACT_PIXELS = 1 << 24

_MEANS = (
    "miou",
    "fwiou",
    "pixel_accuracy",
    "mean_accuracy",
    "mean_precision",
    "mean_dice",
    "mean_f_beta",
)


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
    check_maps(truth_HW, prediction_HW)
    check_void(classes, void)
    if truth_HW.dtype == np.uint8 and prediction_HW.dtype == np.uint8 and classes <= 256:
        joint = _joint_histogram(truth_HW, prediction_HW)
        unknown = [i for i in range(classes, 256) if i != void and joint[i].any()]
        if unknown:
            raise out_of_range(unknown, classes, void)
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
        raise out_of_range(np.unique(truth[outside]).tolist(), classes, void)
    prediction[(prediction < 0) | (prediction > classes)] = classes
    codes = truth * (classes + 1) + prediction
    counts = np.bincount(codes, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class SemanticScores:
    """Scores in 0..1 (NaN: not defined), per class in the order of `names`, and their means.

    Attributes:
        names: of the K classes.
        iou: TP / (TP + FP + FN), the Jaccard index.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN), the class's accuracy.
        dice: 2 TP / (2 TP + FP + FN), the F1 score.
        f_beta: (1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP).
        beta: how many times recall weighs as much as precision in it (C. J. van Rijsbergen,
            Information Retrieval, 1979, chapter 7).
        truth_pixels: labelled pixels of the class, TP + FN.
        predicted_pixels: labelled pixels predicted as the class, TP + FP.
        unpredicted_pixels: labelled pixels whose prediction was no class.
        miou: mean IoU over classes that occur in truth or prediction.
        fwiou: IoU weighted by the class's share of the labelled pixels.
        pixel_accuracy: share of labelled pixels predicted right.
        mean_accuracy: mean recall over classes that occur in the truth.
        mean_precision: mean precision over classes that are predicted.
        mean_dice: mean Dice over classes that occur in truth or prediction.
        mean_f_beta: mean F-beta over the same classes.
    """

    names: tuple[str, ...]
    iou: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    dice: tuple[float, ...]
    f_beta: tuple[float, ...]
    beta: float
    truth_pixels: tuple[int, ...]
    predicted_pixels: tuple[int, ...]
    unpredicted_pixels: int
    miou: float
    fwiou: float
    pixel_accuracy: float
    mean_accuracy: float
    mean_precision: float
    mean_dice: float
    mean_f_beta: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: NaN becomes None, classes a list of rows."""
        columns = ("iou", "precision", "recall", "dice", "f_beta", "truth_pixels")
        return {
            **score_rows(self, _MEANS, (*columns, "predicted_pixels")),
            "beta": self.beta,
            "unpredicted_pixels": self.unpredicted_pixels,
        }


def semantic_scores(
    matrix: np.ndarray, names: Sequence[str], ignore: Collection[int] = (), *, beta: float = 1.0
) -> SemanticScores:
    """Scores of a confusion matrix; the head of this file states the policies.

    Args:
        matrix: int64 [K, K + 1] as `confusion_matrix` returns, summed over the images.
        names: of the K classes.
        ignore: class ids that are treated as void.
        beta: of F-beta; above 1 recall weighs more, below 1 precision.

    Raises:
        ConfigError: the matrix doesn't fit the names, an ignored id is no class, or beta isn't
            positive.
    """
    classes = len(names)
    if matrix.shape != (classes, classes + 1):
        raise ConfigError(
            f"expected a matrix [{classes}, {classes + 1}] for {classes} names (the last column "
            f"counts unpredicted pixels), got {list(matrix.shape)}."
        )
    check_ignored(classes, ignore)
    check_beta(beta)
    ignored = sorted(ignore)
    counts = matrix.astype(np.int64)
    counts[ignored] = 0
    truth, predicted = counts.sum(axis=1), counts[:, :classes].sum(axis=0)
    predicted[ignored] = 0
    right = np.diagonal(counts)
    iou, precision = ratio(right, truth + predicted - right), ratio(right, predicted)
    recall, dice = ratio(right, truth), ratio(2 * right, truth + predicted)
    f_beta = ratio((1 + beta**2) * right, beta**2 * truth + predicted)
    total = int(truth.sum())
    weighted = float((truth * np.nan_to_num(iou)).sum())
    return SemanticScores(
        names=tuple(names),
        iou=tuple(iou.tolist()),
        precision=tuple(precision.tolist()),
        recall=tuple(recall.tolist()),
        dice=tuple(dice.tolist()),
        f_beta=tuple(f_beta.tolist()),
        beta=beta,
        truth_pixels=tuple(truth.tolist()),
        predicted_pixels=tuple(predicted.tolist()),
        unpredicted_pixels=int(counts[:, classes].sum()),
        miou=float(mean_defined(iou)),
        fwiou=weighted / total if total else math.nan,
        pixel_accuracy=int(right.sum()) / total if total else math.nan,
        mean_accuracy=float(mean_defined(recall)),
        mean_precision=float(mean_defined(precision)),
        mean_dice=float(mean_defined(dice)),
        mean_f_beta=float(mean_defined(f_beta)),
    )


class ConfusionMatrix(Accumulator):
    """Adds up images; a thin layer over `confusion_matrix` and `semantic_scores`.

    Args:
        classes: K.
        void: the id of unlabelled pixels.

    Attributes:
        counts: int64 [K, K + 1], all images so far.
    """

    def __init__(self, classes: int, void: int = 255) -> None:
        check_void(classes, void)
        super().__init__(np.zeros((classes, classes + 1), np.int64))
        self.classes = classes
        self.void = void

    @property
    def matrix(self) -> np.ndarray:
        """The counts: int64 [K, K + 1], row = truth, column = prediction, column K = no class."""
        return self.counts

    def update(self, truth_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
        """Add one image; on an error nothing is added."""
        self.counts += confusion_matrix(truth_HW, prediction_HW, self.classes, self.void)

    def scores(
        self,
        names: Sequence[str] | None = None,
        ignore: Collection[int] = (),
        *,
        beta: float = 1.0,
    ) -> SemanticScores:
        """Scores so far; without names the classes are called by their ids."""
        chosen = [str(i) for i in range(self.classes)] if names is None else names
        return semantic_scores(self.counts, chosen, ignore, beta=beta)
