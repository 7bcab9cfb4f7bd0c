"""Who matches whom: each protocol's rule, from the overlaps of all images at once.

The verdict on a detection, for each size range and threshold, is `RIGHT`, `WRONG` or `IGNORED`.
Detections are judged in the order of their scores, the surest first; equal scores keep the order
in which they were given.

Legend: A size ranges, T thresholds, D detections within the limit, G truths, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maskwright.metrics.matching import Overlaps
from maskwright.metrics.protocols import Kind, Protocol, Rule

RIGHT, WRONG, IGNORED = np.int8(1), np.int8(0), np.int8(-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdicts:
    """What became of each detection within the limit.

    Attributes:
        detection: int64 [D], which of the overlaps' detections, by image, class and falling score.
        rank: int64 [D], its place among those of its image (and class, if the limit is by class).
        status: int8 [A, T, D], `RIGHT`, `WRONG` or `IGNORED`.
        truth: int64 [T, D], the truth that it matches in the first size range; -1: none.
        counted: bool [A, G], the truths that are to be found.
    """

    detection: np.ndarray
    rank: np.ndarray
    status: np.ndarray
    truth: np.ndarray
    counted: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """The pairs of detections within the limit, those by their place in the order."""

    place: np.ndarray
    truth: np.ndarray
    iou: np.ndarray
    share: np.ndarray


def judge(overlaps: Overlaps, kind: Kind, protocol: Protocol) -> Verdicts:
    """Match the detections of all images with their truth by the protocol's rule."""
    detection, rank = _ranked(overlaps, protocol)
    place = np.full(len(overlaps.detections), -1, np.int64)
    place[detection] = np.arange(len(detection))
    kept = place[overlaps.of_detection] >= 0
    pairs = _Pairs(
        place=place[overlaps.of_detection[kept]],
        truth=overlaps.of_truth[kept],
        iou=overlaps.iou[kind][kept],
        share=overlaps.share[kind][kept],
    )
    area = overlaps.detection_area[kind][detection]
    status, truth, counted = _RULES[protocol.rule](overlaps, pairs, detection, area, protocol)
    return Verdicts(detection=detection, rank=rank, status=status, truth=truth, counted=counted)


def _ranked(overlaps: Overlaps, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    found = overlaps.detections
    keys = (-found.score, found.class_id, found.image)
    order = np.lexsort(keys)  # stable
    rank = np.empty(len(order), np.int64)
    if protocol.per_class_limit:
        rank = place_in_group(found.image[order], found.class_id[order])
    else:
        by_image = np.lexsort((-found.score, found.image))
        of_detection = np.empty(len(order), np.int64)
        of_detection[by_image] = place_in_group(found.image[by_image])
        rank = of_detection[order]
    limit = protocol.max_detections[-1]
    if limit is not None:
        order, rank = order[rank < limit], rank[rank < limit]
    return order, rank


def place_in_group(*keys: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each stretch of equal keys; the keys are sorted already."""
    count = len(keys[0])
    new = np.zeros(count, bool)
    new[:1] = True
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    starts = np.flatnonzero(new)
    return np.arange(count) - np.repeat(starts, np.diff(np.append(starts, count)))


_Judged = tuple[np.ndarray, np.ndarray, np.ndarray]


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
    thresholds = np.minimum(np.array(protocol.ious), 1 - 1e-10)
    value = np.where(crowd[pairs.truth], pairs.share, pairs.iou)
    able = np.flatnonzero(value >= thresholds.min())
    chosen, slots = _greedy(
        overlaps, detection, pairs.place[able], pairs.truth[able], value[able], ignored, thresholds
    )
    outside = (area < ranges[:, :1]) | (area > ranges[:, 1:])
    shape = (len(ranges), len(thresholds), len(detection))
    status = np.repeat(np.where(outside, IGNORED, WRONG)[:, None], shape[1], axis=1)
    lanes = np.arange(len(ranges))[:, None, None]
    of_chosen = np.where(ignored[lanes, np.maximum(chosen, 0)], IGNORED, RIGHT)
    status[:, :, slots] = np.where(chosen >= 0, of_chosen, status[:, :, slots])
    truth = np.full(shape[1:], -1, np.int64)
    truth[:, slots] = chosen[0]
    return status, truth, ~ignored


def _greedy(
    overlaps: Overlaps,
    detection: np.ndarray,
    place: np.ndarray,
    truth: np.ndarray,
    value: np.ndarray,
    ignored: np.ndarray,
    thresholds: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The truth that each detection takes, int64 [A, T, U] (-1: none), and their places [U].

    All images and classes take their turns at once: first the surest detection of each that has any
    candidate, then the second, ... and of each its candidates from the best on.
    """
    slots, slot = np.unique(place, return_inverse=True)
    sizes, count = len(ignored), len(slots)
    chosen = np.full((sizes, len(thresholds), count), -1, np.int64)
    if not count:
        return chosen, slots
    found = overlaps.detections
    turn = place_in_group(found.image[detection[slots]], found.class_id[detection[slots]])
    orders = np.stack([np.lexsort((-truth, -value, one[truth], slot)) for one in ignored])
    slot = slot[orders[0]]  # the same for all: detections stay together
    candidate = place_in_group(slot)
    schedule = np.lexsort((candidate, turn[slot]))
    key = np.stack([turn[slot[schedule]], candidate[schedule]])
    starts = np.flatnonzero(np.diff(key, axis=1).any(axis=0)) + 1
    free = np.ones((sizes, len(thresholds), len(overlaps.truth)), bool)
    lanes = np.arange(sizes)[:, None, None]
    steps = np.arange(len(thresholds))[None, :, None]
    uses_up = ~overlaps.truth.crowd
    for now in np.split(schedule, starts):
        pair = orders[:, now]
        wanted, whose = truth[pair][:, None], slot[now]
        taken = value[pair][:, None] >= thresholds[:, None]
        taken &= free[lanes, steps, wanted]
        before = chosen[:, :, whose]
        taken &= before < 0
        chosen[:, :, whose] = np.where(taken, wanted, before)
        free[lanes, steps, wanted] &= ~(taken & uses_up[wanted])
    return chosen, slots


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


def _judge_ultralytics(
    overlaps: Overlaps,
    pairs: _Pairs,
    detection: np.ndarray,
    area: np.ndarray,
    protocol: Protocol,
) -> _Judged:
    # YOLO's label files have no crowds: such truth isn't there.
    crowd = overlaps.truth.crowd
    kept = ~crowd[pairs.truth]
    columns = (pairs.place, pairs.truth, pairs.iou, pairs.share)
    place, truth, iou, share = (column[kept] for column in columns)
    pairs = _Pairs(place=place, truth=truth, iou=iou, share=share)
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
    status, truth, counted = _first_come(
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
    touched = np.zeros(status.shape[1:], bool)
    for step, threshold in enumerate(protocol.ious):
        touched[step, pairs.place[best][pairs.iou[best] > threshold]] = True
    forgiven = ~touched & (part > np.array(protocol.ious)[:, None])
    status[0][forgiven] = IGNORED
    return status, truth, counted


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
    status = np.full((1, len(protocol.ious), detections), WRONG, np.int8)
    matched = np.full((len(protocol.ious), detections), -1, np.int64)
    for step, threshold in enumerate(protocol.ious):
        enough = np.flatnonzero(iou > threshold if strict else iou >= threshold)
        lost = enough[ignored[truth[enough]]]
        status[0, step, place[lost]] = IGNORED
        matched[step, place[lost]] = truth[lost]
        able = enough[~ignored[truth[enough]]]
        first = able[np.unique(truth[able], return_index=True)[1]]
        status[0, step, place[first]] = RIGHT
        matched[step, place[first]] = truth[first]
    return status, matched, ~ignored[None]


_RULES: dict[Rule, Callable[..., _Judged]] = {
    "coco": _judge_coco,
    "voc": _judge_voc,
    "cityscapes": _judge_cityscapes,
    "ultralytics": _judge_ultralytics,
}
