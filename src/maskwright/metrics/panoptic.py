"""Panoptic quality: Kirillov et al., "Panoptic Segmentation", CVPR 2019, sections 4.1 and 4.2.

* A segment of the prediction and one of the truth, of the same class, match where their IoU is
  above 0.5; no segment can then match twice. Pixels of void in the truth count for no union.
* SQ is the mean IoU of the matches (TP), RQ = TP / (TP + FP / 2 + FN / 2), PQ = SQ * RQ.
* A predicted segment without a match is no FP where more than half of it lies in void or in crowds
  of its class. Crowds are never matched and are no FN. (Where an image has several crowds of one
  class, which COCO doesn't, panopticapi looks at the last only.)
* A class that is neither in the truth nor predicted (TP = FP = FN = 0) has no score (NaN) and is
  left out of means; one that is only predicted, or only true, scores 0 and counts.

All is counted in whole pixels; a segment id of the prediction that has no class is void there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.parts import Panoptic
from maskwright.metrics.overlap import mean_defined, none_for_nan, ratio

VOID = 0
_LARGEST_TABLE = 1 << 24
"""Ids below have a table: COCO's, three bytes of a PNG."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PanopticCounts:
    """What was matched, by class.

    Attributes:
        iou_sum: float64 [K], IoU of all matches.
        true_positives, false_positives, false_negatives: int64 [K], segments.
    """

    iou_sum: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray


def panoptic_counts(truth: Panoptic, prediction: Panoptic, classes: int) -> PanopticCounts:
    """Match the segments of one image.

    Args:
        truth: its segments; id 0 is void; `crowds` are not matched.
        prediction: its segments; what it says of crowds is not read.
        classes: K.

    Raises:
        DataError: sizes differ, a class is out of range, or the truth holds an id without a class.
    """
    if truth.segment_ids.shape != prediction.segment_ids.shape:
        raise DataError(
            f"expected panoptic ids of one size, got {truth.segment_ids.shape} and "
            f"{prediction.segment_ids.shape} (height, width)."
        )
    starts, lengths = _stretches(truth.segment_ids, prediction.segment_ids)
    true_ids, true_class, of_true = _segments(truth, starts, classes, "truth")
    _, found_class, of_found = _segments(prediction, starts, classes, "prediction")
    # Row and column 0 are void. Sums of pixels are exact in float64.
    common = np.bincount(
        of_true * len(found_class) + of_found,
        lengths,
        minlength=len(true_class) * len(found_class),
    ).astype(np.int64)
    common = common.reshape(len(true_class), len(found_class))
    crowd = np.isin(true_ids, list(truth.crowds))
    true_area, found_area = common.sum(axis=1), common.sum(axis=0)
    same = true_class[:, None] == found_class
    able = same & ~crowd[:, None] & (true_class >= 0)[:, None] & (common > 0)
    rows, columns = np.nonzero(able)
    union = true_area[rows] + found_area[columns] - common[rows, columns] - common[0, columns]
    iou = common[rows, columns] / union
    matched = iou > 0.5
    rows, columns, iou = rows[matched], columns[matched], iou[matched]

    missed = (true_class >= 0) & ~crowd
    missed[rows] = False
    forgiven = common[0] + (common * (same & crowd[:, None])).sum(axis=0)
    wrong = (found_class >= 0) & (found_area > 0)
    wrong[columns] = False
    wrong &= forgiven / np.maximum(found_area, 1) <= 0.5
    return PanopticCounts(
        iou_sum=np.bincount(true_class[rows], iou, minlength=classes),
        true_positives=np.bincount(true_class[rows], minlength=classes),
        false_positives=np.bincount(found_class[wrong], minlength=classes),
        false_negatives=np.bincount(true_class[missed], minlength=classes),
    )


def _stretches(first_HW: np.ndarray, second_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where neighbours along the rows differ in either map, and the pixels from each to the next.

    Maps of segments have some hundred times fewer such stretches than pixels, and only those need
    be sorted and counted.
    """
    first, second = first_HW.reshape(-1), second_HW.reshape(-1)
    changes = first[1:] != first[:-1]
    changes |= second[1:] != second[:-1]
    begins = np.flatnonzero(changes) + 1
    starts = np.concatenate([[0], begins]) if len(first) else begins
    return starts, np.diff(starts, append=len(first))


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, rising, and the place of each one among them."""
    ids = np.unique(values)
    if len(ids) and (ids[0] < 0 or ids[-1] >= _LARGEST_TABLE):
        return ids, np.searchsorted(ids, values)
    table = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    table[ids] = np.arange(len(ids), dtype=np.int32)
    return ids, table[values]


def _segments(
    panoptic: Panoptic, starts: np.ndarray, classes: int, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids of the segments and their classes (-1: void; the first one), and each stretch's one."""
    ids, stretch = _numbered(panoptic.segment_ids.reshape(-1)[starts])
    known = [panoptic.class_of.get(int(i), -1) if i != VOID else -1 for i in ids]
    unknown = [int(i) for i, class_id in zip(ids, known) if class_id < 0 and i != VOID]
    if unknown and what == "truth":
        raise DataError(f"segment {unknown[0]} of the {what} has no class; 0 is the id of void.")
    wrong = [class_id for class_id in known if class_id >= classes]
    if wrong:
        raise DataError(f"the {what} has class {wrong[0]}, expected 0..{classes - 1}.")
    is_segment = np.array(known, np.int64) >= 0
    place = np.where(is_segment, np.cumsum(is_segment), 0)
    kept = np.array(known, np.int64)[is_segment]
    return (
        np.concatenate([[VOID], ids[is_segment]]),
        np.concatenate([[-1], kept]),
        place[stretch],
    )


@dataclass(frozen=True, kw_only=True)
class PanopticScores:
    """Scores in 0..1 (NaN: not defined), per class in the order of `names`, and their means.

    Attributes:
        names: of the K classes.
        things: ids of the classes that are things; the others are stuff.
        pq, sq, rq: of each class. SQ is 0 where nothing matched.
        true_positives, false_positives, false_negatives: segments of each class.
        images: how many were scored.
    """

    names: tuple[str, ...]
    things: frozenset[int]
    pq: tuple[float, ...]
    sq: tuple[float, ...]
    rq: tuple[float, ...]
    true_positives: tuple[int, ...]
    false_positives: tuple[int, ...]
    false_negatives: tuple[int, ...]
    images: int

    def mean(self, of: str = "pq", group: str = "all") -> float:
        """The mean of "pq", "sq" or "rq" over the classes that have one; NaN if there are none.

        Args:
            of: "pq", "sq" or "rq".
            group: "all" classes, "things" or "stuff".

        Raises:
            ConfigError: another name.
        """
        if of not in ("pq", "sq", "rq") or group not in ("all", "things", "stuff"):
            raise ConfigError(
                f"expected pq, sq or rq of all, things or stuff, got {of!r} of {group!r}."
            )
        values = [
            value
            for class_id, value in enumerate(getattr(self, of))
            if group == "all" or (class_id in self.things) == (group == "things")
        ]
        defined = [value for value in values if not math.isnan(value)]
        return sum(defined) / len(defined) if defined else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: NaN becomes None, classes a list of rows."""
        counts = ("true_positives", "false_positives", "false_negatives")
        columns = ("pq", "sq", "rq", *counts)
        return {
            "images": self.images,
            **{
                group: {of: none_for_nan(self.mean(of, group)) for of in ("pq", "sq", "rq")}
                for group in ("all", "things", "stuff")
            },
            "classes": [
                {"name": name, "thing": k in self.things}
                | {column: none_for_nan(getattr(self, column)[k]) for column in columns}
                for k, name in enumerate(self.names)
            ],
        }


def panoptic_quality(
    truths: Sequence[Panoptic],
    predictions: Sequence[Panoptic],
    names: Sequence[str],
    things: Collection[int] = (),
) -> PanopticScores:
    """Score the panoptic segments of some images.

    Args:
        truths: of each image.
        predictions: of the same images in the same order.
        names: of the K classes.
        things: ids of those that are things.

    Raises:
        DataError: the lists or images don't fit, or an id or class is unknown.
    """
    if len(truths) != len(predictions):
        raise DataError(
            f"expected truth and prediction of the same images, got {len(truths)} and "
            f"{len(predictions)}."
        )
    quality = PanopticQuality(names, things)
    for truth, prediction in zip(truths, predictions):
        quality.update(truth, prediction)
    return quality.scores()


def mean_pq(counts_K4: np.ndarray) -> np.ndarray:
    """float64 [...] from counts [..., K, 4] (sum of IoUs, TP, FP, FN): mean PQ over the classes.

    A class that is neither there nor predicted is left out; NaN where all are.
    """
    iou_sum, right, wrong, missed = np.moveaxis(counts_K4, -1, 0)
    return mean_defined(ratio(iou_sum, right + wrong / 2 + missed / 2))


class PanopticQuality:
    """Adds up images; a thin layer over `panoptic_counts`.

    Args:
        names: of the K classes.
        things: ids of those that are things.

    Attributes:
        counts: what was matched so far.
        images: how many were added.
    """

    def __init__(self, names: Sequence[str], things: Collection[int] = ()) -> None:
        self.names, self.things = tuple(names), frozenset(things)
        zeros = np.zeros(len(names), np.int64)
        self.counts = PanopticCounts(
            iou_sum=zeros.astype(float),
            true_positives=zeros,
            false_positives=zeros,
            false_negatives=zeros,
        )
        self.images = 0

    def update(self, truth: Panoptic, prediction: Panoptic) -> None:
        """Add one image; on an error nothing is added."""
        self.add(panoptic_counts(truth, prediction, len(self.names)))

    def merge(self, other: PanopticQuality) -> None:
        """Add what another one has counted, such as another process's share of the images.

        Raises:
            ConfigError: it has other classes.
        """
        if (other.names, other.things) != (self.names, self.things):
            raise ConfigError(
                f"can't merge panoptic counts of {len(other.names)} classes into those of "
                f"{len(self.names)}; expected the same names and things."
            )
        self.add(other.counts, other.images)

    def scores(self) -> PanopticScores:
        """Scores so far."""
        counts = self.counts
        hits = counts.true_positives
        weight = hits + counts.false_positives / 2 + counts.false_negatives / 2
        matched = ratio(counts.iou_sum, np.maximum(hits, 1))
        columns = {
            "pq": ratio(counts.iou_sum, weight),
            "sq": np.where(weight > 0, matched, np.nan),
            "rq": ratio(hits, weight),
        }
        return PanopticScores(
            names=self.names,
            things=self.things,
            **{name: tuple(values.tolist()) for name, values in columns.items()},
            true_positives=tuple(counts.true_positives.tolist()),
            false_positives=tuple(counts.false_positives.tolist()),
            false_negatives=tuple(counts.false_negatives.tolist()),
            images=self.images,
        )

    def add(self, more: PanopticCounts, images: int = 1) -> None:
        """Add what `panoptic_counts` returned for one image, or the sum over several."""
        counts = self.counts
        self.counts = PanopticCounts(
            iou_sum=counts.iou_sum + more.iou_sum,
            true_positives=counts.true_positives + more.true_positives,
            false_positives=counts.false_positives + more.false_positives,
            false_negatives=counts.false_negatives + more.false_negatives,
        )
        self.images += images
