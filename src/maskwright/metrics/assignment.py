"""Who matches whom: each protocol's rule, from the overlaps of all images at once.

The verdict on a detection, for each size range and threshold, is `TRUE_POSITIVE`, `FALSE_POSITIVE`
or `IGNORED`. Most are false positives without a match, so only the others are told one by one.
Detections are judged in the order of their scores, the surest first; equal scores keep the order
in which they were given.

Legend: A size ranges, T thresholds, D detections within the limit, G truths, P pairs, H matches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.metrics.matching import Overlaps
from maskwright.metrics.ordering import codes_of, group_numbers, place_in_group, stable_order
from maskwright.metrics.protocols import Kind, Protocol, Rule

TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = np.int8(1), np.int8(0), np.int8(-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """The detections that match some truth or are forgiven, in any order.

    Attributes:
        size, step: int64 [H], the size range and the threshold at which it is so.
        place: int64 [H], the detection by its place in `Verdicts.detection`.
        truth: int64 [H], what it matches; -1: nothing, but it is ignored.
        right: bool [H]; False: ignored.
    """

    size: np.ndarray
    step: np.ndarray
    place: np.ndarray
    truth: np.ndarray
    right: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdicts:
    """What became of each detection within the limit.

    Attributes:
        detection: int64 [D], which of the overlaps' detections, by image, class and falling score.
        rank: int64 [D], its place among those of its image (and class, if the limit is by class).
        by_score: int64 [D], the places in `detection` by falling score, whatever the class; equal
            scores by image, and as they were given.
        outside: bool [A, D], outside the size range: ignored unless it matches.
        matches: all that is not wrong or merely outside.
        counted: bool [A, G], the truths that are to be found.
    """

    detection: np.ndarray
    rank: np.ndarray
    by_score: np.ndarray
    outside: np.ndarray
    matches: Matches
    counted: np.ndarray

    def status(self, size: int, steps: int) -> np.ndarray:
        """int8 [T, D] of one size range: the verdict at each of T thresholds."""
        status = np.repeat(
            np.where(self.outside[size], IGNORED, FALSE_POSITIVE)[None], steps, axis=0
        )
        own, found = self.matches.size == size, self.matches
        status[found.step[own], found.place[own]] = np.where(
            found.right[own], TRUE_POSITIVE, IGNORED
        )
        return status

    def truth(self, size: int, steps: int) -> np.ndarray:
        """int64 [T, D] of one size range: the truth that each matches; -1: none."""
        truth = np.full((steps, len(self.detection)), -1, np.int64)
        own, found = self.matches.size == size, self.matches
        truth[found.step[own], found.place[own]] = found.truth[own]
        return truth


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """The pairs of detections within the limit, those by their place in the order."""

    place: np.ndarray
    truth: np.ndarray
    iou: np.ndarray
    share: np.ndarray

    def only(self, kept: np.ndarray) -> _Pairs:
        return _Pairs(
            place=self.place[kept],
            truth=self.truth[kept],
            iou=self.iou[kept],
            share=self.share[kept],
        )


def judge(overlaps: Overlaps, kind: Kind, protocol: Protocol) -> Verdicts:
    """Match the detections of all images with their truth by the protocol's rule."""
    detection, rank, by_score = _ranked(overlaps, protocol)
    place = np.full(len(overlaps.detections), -1, np.int64)
    place[detection] = np.arange(len(detection))
    by_score = place[by_score]
    pairs = _Pairs(
        place=place[overlaps.of_detection],
        truth=overlaps.of_truth,
        iou=overlaps.iou[kind],
        share=overlaps.share[kind],
    )
    pairs = pairs.only(pairs.place >= 0)
    area = overlaps.detection_area[kind][detection]
    matches, outside, counted = _RULES[protocol.rule](overlaps, pairs, detection, area, protocol)
    return Verdicts(
        detection=detection,
        rank=rank,
        by_score=by_score[by_score >= 0],
        outside=outside,
        matches=matches,
        counted=counted,
    )


def _ranked(overlaps: Overlaps, protocol: Protocol) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Detections within the limit by image, class and falling score; ranks; all by falling score.
    found = overlaps.detections
    image = codes_of(found.image)
    by_image = stable_order(image)
    by_score = by_image[stable_order(codes_of(-found.score[by_image]))]
    group = image * (int(found.class_id.max(initial=0)) + 1) + found.class_id
    order = by_score[stable_order(group[by_score])]
    if protocol.per_class_limit:
        rank = place_in_group(group[order])
    else:
        within = by_score[stable_order(image[by_score])]
        of_detection = np.empty(len(order), np.int64)
        of_detection[within] = place_in_group(image[within])
        rank = of_detection[order]
    limit = protocol.max_detections[-1]
    if limit is not None:
        order, rank = order[rank < limit], rank[rank < limit]
    return order, rank, by_score


_Judged = tuple[Matches, np.ndarray, np.ndarray]


def _judge_coco(
    overlaps: Overlaps,
    pairs: _Pairs,
    detection: np.ndarray,
    area: np.ndarray,
    protocol: Protocol,
) -> _Judged:
    # Each detection takes, among the truths still free, the one with the largest IoU; of equal ones
    # the last; ignored truth only where no counted one is left. Crowds are never used up.
    ranges = np.array([limits for _, limits in protocol.sizes])
    truth_area = overlaps.truth.area
    crowd = overlaps.truth.crowd
    ignored = crowd | (truth_area < ranges[:, :1]) | (truth_area > ranges[:, 1:])
    outside = (area < ranges[:, :1]) | (area > ranges[:, 1:])
    thresholds = np.minimum(np.array(protocol.ious), 1 - 1e-10)
    value = np.where(crowd[pairs.truth], pairs.share, pairs.iou)
    able = _in_order(pairs, value >= thresholds.min())
    place, truth, value = pairs.place[able], pairs.truth[able], value[able]
    group = _image_and_class(overlaps, detection)
    # Where no detection of an image and class has a choice, the first to come is served.
    choice = np.zeros(len(detection), bool)  # by group
    choice[group[place[1:][place[1:] == place[:-1]]]] = True
    hard = choice[group[place]]
    easy = np.flatnonzero(~hard)
    few = _first_served(place[easy], truth[easy], value[easy], crowd, thresholds, len(ranges))
    many = _greedy(group, place[hard], truth[hard], value[hard], ignored, crowd, thresholds)
    size, step, place, truth = (np.concatenate(columns) for columns in zip(few, many))
    right = ~ignored[size, truth]
    matches = Matches(size=size, step=step, place=place, truth=truth, right=right)
    return matches, outside, ~ignored


def _in_order(pairs: _Pairs, kept: np.ndarray) -> np.ndarray:
    """The places of the pairs that are kept, by their detection."""
    able = np.flatnonzero(kept)
    return able[stable_order(pairs.place[able])]


def _image_and_class(overlaps: Overlaps, detection: np.ndarray) -> np.ndarray:
    """A number for each image and class, by detection: only within one is matched."""
    found = overlaps.detections
    return group_numbers(found.image[detection], found.class_id[detection])


_Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Size, step, place and truth of matches."""


def _first_served(
    place: np.ndarray,
    truth: np.ndarray,
    value: np.ndarray,
    crowd: np.ndarray,
    thresholds: np.ndarray,
    sizes: int,
) -> _Columns:
    """The matches of detections with one candidate each; places rise."""
    of_crowd = crowd[truth]
    rows = []
    for threshold in thresholds:
        enough = value >= threshold
        single = np.flatnonzero(enough & ~of_crowd)[::-1]
        first = np.full(len(crowd), -1, np.int64)
        first[truth[single]] = single  # the last to be written is the first to come
        rows.append(np.append(first[first >= 0], np.flatnonzero(enough & of_crowd)))
    row = np.concatenate(rows)
    step = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    size = np.repeat(np.arange(sizes), len(row))
    return size, np.tile(step, sizes), np.tile(place[row], sizes), np.tile(truth[row], sizes)


def _greedy(
    group: np.ndarray,
    place: np.ndarray,
    truth: np.ndarray,
    value: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
    thresholds: np.ndarray,
    earliest: bool = False,
) -> _Columns:
    """The matches of detections with any number of candidates, of all groups in turns at once.

    First comes the surest detection of each image and class that has any candidate, then the
    second, ... and of each its candidates from the best on, of equal ones the last, or the
    earliest.
    """
    rank = truth if earliest else -truth
    slots, slot = np.unique(place, return_inverse=True)
    sizes, count = len(ignored), len(slots)
    chosen = np.full((sizes, len(thresholds), count), -1, np.int64)
    turn = place_in_group(group[slots])
    orders = np.stack([np.lexsort((rank, -value, one[truth], slot)) for one in ignored])
    slot = slot[orders[0]]  # the same for all: detections stay together
    candidate = place_in_group(slot)
    schedule = np.lexsort((candidate, turn[slot]))
    key = np.stack([turn[slot[schedule]], candidate[schedule]])
    starts = np.flatnonzero(np.diff(key, axis=1).any(axis=0)) + 1
    free = np.ones((sizes, len(thresholds), len(crowd)), bool)
    lanes = np.arange(sizes)[:, None, None]
    steps = np.arange(len(thresholds))[None, :, None]
    for now in np.split(schedule, starts) if count else ():
        pair = orders[:, now]
        wanted, whose = truth[pair][:, None], slot[now]
        taken = value[pair][:, None] >= thresholds[:, None]
        taken &= free[lanes, steps, wanted]
        before = chosen[:, :, whose]
        taken &= before < 0
        chosen[:, :, whose] = np.where(taken, wanted, before)
        free[lanes, steps, wanted] &= ~taken | crowd[wanted]
    size, step, which = np.nonzero(chosen >= 0)
    return size, step, slots[which], chosen[size, step, which]


def _judge_voc(
    overlaps: Overlaps,
    pairs: _Pairs,
    detection: np.ndarray,
    area: np.ndarray,
    protocol: Protocol,
) -> _Judged:
    # A detection's best truth decides: difficult: ignored; taken by a surer one: wrong.
    best = _best_pair(pairs, earliest=True)
    return _first_come(overlaps, pairs, best, len(detection), protocol, overlaps.truth.crowd)


def _judge_best_free(
    overlaps: Overlaps,
    pairs: _Pairs,
    detection: np.ndarray,
    area: np.ndarray,
    protocol: Protocol,
) -> _Judged:
    # Each detection takes, among the truths still free, the one with the largest IoU; of equal ones
    # the earliest. YOLO's label files have no crowds: such truth isn't there.
    crowd, thresholds = overlaps.truth.crowd, np.array(protocol.ious)
    able = _in_order(pairs, ~crowd[pairs.truth] & (pairs.iou >= thresholds.min()))
    group = _image_and_class(overlaps, detection)
    none = np.zeros((1, len(crowd)), bool)
    size, step, place, truth = _greedy(
        group, pairs.place[able], pairs.truth[able], pairs.iou[able], none, none[0], thresholds,
        earliest=True,
    )  # fmt: skip
    right = np.ones(len(size), bool)
    matches = Matches(size=size, step=step, place=place, truth=truth, right=right)
    return matches, np.zeros((1, len(detection)), bool), ~crowd[None]


def _judge_best(
    overlaps: Overlaps,
    pairs: _Pairs,
    detection: np.ndarray,
    area: np.ndarray,
    protocol: Protocol,
) -> _Judged:
    # YOLO's label files have no crowds: such truth isn't there.
    crowd = overlaps.truth.crowd
    pairs = pairs.only(~crowd[pairs.truth])
    best = _best_pair(pairs, earliest=False)
    return _first_come(overlaps, pairs, best, len(detection), protocol, crowd)


def _judge_cityscapes(
    overlaps: Overlaps,
    pairs: _Pairs,
    detection: np.ndarray,
    area: np.ndarray,
    protocol: Protocol,
) -> _Judged:
    group, small = overlaps.truth.crowd, overlaps.truth.area < protocol.smallest_region
    best = _best_pair(pairs, earliest=True)
    matches, outside, counted = _first_come(
        overlaps, pairs, best, len(detection), protocol, group | small, strict=True
    )
    # What lies in void, groups and small regions; a small group counts for both, as in the
    # benchmark's own script.
    weight = group.astype(np.int64) + small
    pixels = pairs.share * area[pairs.place]
    lost = np.bincount(pairs.place, np.rint(pixels) * weight[pairs.truth], minlength=len(detection))
    if overlaps.void_share is not None:
        lost = lost + np.rint(overlaps.void_share[detection] * area)
    part = np.divide(lost, area, out=np.full(len(area), np.inf), where=area > 0)
    touched = np.zeros((len(protocol.ious), len(detection)), bool)
    for number, threshold in enumerate(protocol.ious):
        touched[number, pairs.place[best][pairs.iou[best] > threshold]] = True
    forgiven = ~touched & (part > np.array(protocol.ious)[:, None])
    step, place = np.nonzero(forgiven)
    return (
        _joined([matches, _matches(step, place, np.full(len(place), -1), False)]),
        outside,
        counted,
    )


def _best_pair(pairs: _Pairs, *, earliest: bool) -> np.ndarray:
    """The pair with the largest IoU of each detection, by place; of equal ones one end."""
    order = np.lexsort((pairs.truth if earliest else -pairs.truth, -pairs.iou, pairs.place))
    return order[place_in_group(pairs.place[order]) == 0]


def _first_come(
    overlaps: Overlaps,
    pairs: _Pairs,
    best: np.ndarray,
    detections: int,
    protocol: Protocol,
    ignored: np.ndarray,
    strict: bool = False,
) -> _Judged:
    # Places rise with falling score within an image and class: the first to come keeps its truth.
    place, truth, iou = pairs.place[best], pairs.truth[best], pairs.iou[best]
    parts = []
    for number, threshold in enumerate(protocol.ious):
        enough = np.flatnonzero(iou > threshold if strict else iou >= threshold)
        lost = enough[ignored[truth[enough]]]
        able = enough[~ignored[truth[enough]]]
        first = able[np.unique(truth[able], return_index=True)[1]]
        for rows, right in ((lost, False), (first, True)):
            steps = np.full(len(rows), number)
            parts.append(_matches(steps, place[rows], truth[rows], right))
    return _joined(parts), np.zeros((1, detections), bool), ~ignored[None]


def _matches(step: np.ndarray, place: np.ndarray, truth: np.ndarray, right: bool) -> Matches:
    size, rights = np.zeros(len(place), np.int64), np.full(len(place), right)
    return Matches(size=size, step=step, place=place, truth=truth, right=rights)


def _joined(parts: Sequence[Matches]) -> Matches:
    return Matches(
        size=np.concatenate([part.size for part in parts]),
        step=np.concatenate([part.step for part in parts]),
        place=np.concatenate([part.place for part in parts]),
        truth=np.concatenate([part.truth for part in parts]),
        right=np.concatenate([part.right for part in parts]),
    )


_RULES: dict[Rule, Callable[..., _Judged]] = {
    "coco": _judge_coco,
    "voc": _judge_voc,
    "cityscapes": _judge_cityscapes,
    "best_truth": _judge_best,
    "best_free_truth": _judge_best_free,
}
