"""Boundary F: how well the outlines of two class maps meet, as precision and recall of pixels.

References: G. Csurka, D. Larlus, F. Perronnin, "What is a good evaluation measure for semantic
segmentation?", BMVC 2013, section 3 (tolerance 0.75 % of the image's diagonal); F. Perazzi et al.,
"A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016, section 4
(the contour measure F of DAVIS).

An outline pixel is a pixel of a class with one of its 4 neighbours in the image in no or another
class. Precision is the share of predicted outline pixels within the tolerance of a true one of the
same class, recall the share of true ones near a predicted one; distances are Euclidean, exact, and
the tolerance itself still counts as near. F-beta is their weighted harmonic mean.

The policies:

* The counts are summed over the images before anything is divided. Csurka and DAVIS average F over
  images; for that, score each image's counts and average. DAVIS draws its contours otherwise, too,
  and its numbers differ: `davis_f` has its definition.
* The image's border is no outline, and neither is the edge of void: where void begins, nobody
  knows. Void pixels, and those of ignored classes, hold no outlines of either map.
* A labelled pixel predicted as no class belongs to no class; its neighbours' masks end there.
* A class without outlines in both maps (absent, or filling the image) has no score (NaN) and is
  left out of the mean. With outlines in only one of them its F is 0 and counts in the mean.

Legend: K classes, H W height and width, `...` any leading axes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.accumulator import Accumulator
from maskwright.metrics.boundary import boundary_width
from maskwright.metrics.maps import check_settings, class_maps
from maskwright.metrics.overlap import (
    check_beta,
    checked_counts,
    mean_defined,
    ratio,
    score_rows,
)

TOLERANCE = 0.0075
"""As a share of the image's diagonal (Csurka et al., section 3)."""


@dataclass(frozen=True, kw_only=True)
class BoundaryFScores:
    """Scores in 0..1 (NaN: not defined), per class in the order of `names`.

    Attributes:
        names: of the K classes.
        beta: the weight of recall against precision in F.
        f: F-beta of the two below.
        precision: share of the predicted outline that is near a true one.
        recall: share of the true outline that is near a predicted one.
        truth_pixels: of the class's outline.
        predicted_pixels: of the class's outline.
        mean_f: over the classes with an outline in truth or prediction.
    """

    names: tuple[str, ...]
    beta: float
    f: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    truth_pixels: tuple[int, ...]
    predicted_pixels: tuple[int, ...]
    mean_f: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: NaN becomes None, classes a list of rows."""
        columns = ("f", "precision", "recall", "truth_pixels", "predicted_pixels")
        return score_rows(self, ("mean_f", "beta"), columns)


def boundary_matches(
    truth_HW: np.ndarray,
    prediction_HW: np.ndarray,
    classes: int,
    void: int = 255,
    *,
    tolerance: float = TOLERANCE,
    pixels: float | None = None,
    ignore: Collection[int] = (),
) -> np.ndarray:
    """Count one image's outline pixels, and those that are met, by class.

    Args:
        truth_HW: integer class ids 0..K-1, or `void`.
        prediction_HW: integer class ids of the same size; anything outside 0..K-1 is no class.
        classes: K.
        void: the id of unlabelled pixels, outside 0..K-1.
        tolerance: share of the image's diagonal, rounded to whole pixels, at least 1.
        pixels: the tolerance in pixels instead, 0 or more, not rounded.
        ignore: class ids that are treated as void.

    Returns:
        int64 [K, 4]: true outline pixels, those of them that are met, predicted outline pixels,
        those of them that are met.

    Raises:
        DataError: sizes differ, the ids aren't integers, or the truth holds an id out of range.
        ConfigError: `void` is the id of a class, an ignored id is none, or the tolerance makes no
            sense.
    """
    truth, prediction = class_maps(truth_HW, prediction_HW, classes, void, ignore)
    reach = _reach((truth.shape[0], truth.shape[1]), tolerance, pixels)
    labelled = truth != 0
    edges = [np.where(outline(ids, labelled), ids, 0) for ids in (truth, prediction)]
    counts = np.zeros((classes, 4), np.int64)
    for column, (ours, theirs) in enumerate((edges, edges[::-1])):
        total = np.bincount(ours.ravel(), minlength=classes + 1)[1:]
        counts[:, 2 * column] = total
        counts[:, 2 * column + 1] = total - _unmet(ours, theirs, reach, classes)
    return counts


def outline(ids_HW: np.ndarray, labelled_HW: np.ndarray) -> np.ndarray:
    """bool [H, W]: pixels of a region with a labelled 4-neighbour outside it.

    Args:
        ids_HW: regions by their id; 0 is none.
        labelled_HW: bool, false where nobody knows what is there.
    """
    edge = np.zeros(ids_HW.shape, np.bool_)
    for here, there in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        differ = ids_HW[here] != ids_HW[there]
        edge[here] |= differ & labelled_HW[there]
        edge[there] |= differ & labelled_HW[here]
    return edge & (ids_HW != 0)


def boundary_f_scores(
    matches_K4: np.ndarray,
    names: Sequence[str],
    ignore: Collection[int] = (),
    *,
    beta: float = 1.0,
) -> BoundaryFScores:
    """Scores of summed counts; the head of this file states the policies.

    Args:
        matches_K4: int64 [K, 4], as `boundary_matches` counts them.
        names: of the K classes.
        ignore: class ids whose scores are NaN and no part of the mean.
        beta: above 1 recall weighs more, below 1 precision.

    Raises:
        ConfigError: the counts don't fit the names, an ignored id is no class, or beta isn't
            positive.
    """
    counts = checked_counts(matches_K4, names, 4, ignore)
    truth, met_truth, predicted, met_predicted = counts.T
    f = boundary_f(counts, beta)
    return BoundaryFScores(
        names=tuple(names),
        beta=beta,
        f=tuple(f.tolist()),
        precision=tuple(ratio(met_predicted, predicted).tolist()),
        recall=tuple(ratio(met_truth, truth).tolist()),
        truth_pixels=tuple(truth.tolist()),
        predicted_pixels=tuple(predicted.tolist()),
        mean_f=float(mean_defined(f)),
    )


def boundary_f(matches_K4: np.ndarray, beta: float = 1.0) -> np.ndarray:
    """float64 [..., K] from counts [..., K, 4]: F-beta, NaN where a class has no outline.

    Raises:
        ConfigError: beta isn't a positive number.
    """
    check_beta(beta)
    truth, met_truth, predicted, met_predicted = np.moveaxis(np.asarray(matches_K4), -1, 0)
    precision = np.nan_to_num(ratio(met_predicted, predicted))
    recall = np.nan_to_num(ratio(met_truth, truth))
    weighted = beta**2 * precision + recall
    f = np.nan_to_num(ratio((1 + beta**2) * precision * recall, weighted))
    return np.where(truth + predicted > 0, f, np.nan)


def mean_boundary_f(matches_K4: np.ndarray) -> np.ndarray:
    """float64 [...] from counts [..., K, 4]: mean F1 over the classes with an outline."""
    return mean_defined(boundary_f(matches_K4))


class BoundaryF(Accumulator):
    """Adds up images; a thin layer over `boundary_matches` and `boundary_f_scores`.

    Args:
        classes: K.
        void: the id of unlabelled pixels.
        tolerance: share of each image's diagonal, rounded to whole pixels, at least 1.
        pixels: the tolerance in pixels instead.
        ignore: class ids that are treated as void.

    Attributes:
        counts: int64 [K, 4], all images so far.
    """

    def __init__(
        self,
        classes: int,
        void: int = 255,
        *,
        tolerance: float = TOLERANCE,
        pixels: float | None = None,
        ignore: Collection[int] = (),
    ) -> None:
        check_settings(classes, void, ignore)
        _reach((1, 1), tolerance, pixels)
        super().__init__(np.zeros((classes, 4), np.int64))
        self.classes = classes
        self.void = void
        self.tolerance = tolerance
        self.pixels = pixels
        self.ignore = frozenset(ignore)

    def update(self, truth_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
        """Add one image; on an error nothing is added."""
        self.counts += boundary_matches(
            truth_HW,
            prediction_HW,
            self.classes,
            self.void,
            tolerance=self.tolerance,
            pixels=self.pixels,
            ignore=self.ignore,
        )

    def scores(self, names: Sequence[str] | None = None, *, beta: float = 1.0) -> BoundaryFScores:
        """Scores so far; without names the classes are called by their ids."""
        chosen = [str(i) for i in range(self.classes)] if names is None else names
        return boundary_f_scores(self.counts, chosen, self.ignore, beta=beta)


def _reach(size: tuple[int, int], tolerance: float, pixels: float | None) -> float:
    if pixels is None:
        return boundary_width(size, tolerance)
    if not 0 <= pixels < math.inf:
        raise ConfigError(f"expected a tolerance of 0 pixels or more, got {pixels}.")
    return pixels


def _unmet(ours_HW: np.ndarray, theirs_HW: np.ndarray, reach: float, classes: int) -> np.ndarray:
    """int64 [K]: outline pixels without one of theirs of the same class within reach.

    Outlines are sparse and mostly near each other: going through the offsets from the nearest to
    the farthest, and on only with what isn't met yet, is exact and several times faster than a
    distance transform a class.
    """
    padded = np.pad(theirs_HW, math.floor(reach))
    rows, columns = np.nonzero(ours_HW)
    wanted = ours_HW[rows, columns]
    margin, stride = math.floor(reach), padded.shape[1]
    places = (rows + margin) * stride + columns + margin
    flat = padded.ravel()
    for dy, dx in _offsets(reach):
        unmet = flat[places + (dy * stride + dx)] != wanted
        places, wanted = places[unmet], wanted[unmet]
        if not len(places):
            break
    return np.bincount(wanted, minlength=classes + 1)[1:]


def _offsets(reach: float) -> list[tuple[int, int]]:
    """Every (dy, dx) within reach, the nearest first."""
    whole = math.floor(reach)
    span = range(-whole, whole + 1)
    near = [(y, x) for y in span for x in span if y * y + x * x <= reach * reach]
    return sorted(near, key=lambda each: (each[0] ** 2 + each[1] ** 2, each))
