"""How far two ways of running one network agree, on what users see: pixels, objects, labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Instance, Segmentation
from maskwright.metrics.matching import box_overlaps, mask_intersections
from maskwright.metrics.objects import Spans

SAME_OBJECT = 0.99
"""IoU from which on two answers have found one and the same object."""

SAME_LABEL = 0.01
"""Confidences of a label may differ by so much."""


def answer_agreement(left: Segmentation, right: Segmentation) -> float:
    """How far two answers agree, 0..1: of several parts, that which agrees least.

    Class maps: the share of the image's pixels that both give the same class. Objects: the share of
    both answers' objects that match, of the same class at an IoU of 0.99 or more; 1 where neither
    has found any. Labels: the share of the classes whose confidences differ by at most 0.01.

    Raises:
        ConfigError: there is nothing to compare: the answers have no part in common.
    """
    shares = []
    if left.semantic is not None and right.semantic is not None:
        shares.append(float((left.semantic == right.semantic).mean()))
    if left.instances is not None and right.instances is not None:
        shares.append(_object_agreement(left.instances, right.instances))
    if left.labels is not None and right.labels is not None:
        gap_K = np.abs(_confidences(left) - _confidences(right))
        shares.append(float((gap_K <= SAME_LABEL).mean()))
    if not shares:
        raise ConfigError(
            "expected two answers with class maps, objects or labels to compare, got "
            f"{_told(left)} and {_told(right)}."
        )
    return min(shares)


def compared_things(answer: Segmentation) -> str:
    """What is counted where two such answers are compared: "pixels", "objects" ..."""
    parts = {"pixels": answer.semantic, "objects": answer.instances, "labels": answer.labels}
    return " and ".join(name for name, part in parts.items() if part is not None)


def _object_agreement(left: Sequence[Instance], right: Sequence[Instance]) -> float:
    if not left and not right:
        return 1.0
    return 2 * _matches(left, right) / (len(left) + len(right))


def _matches(left: Sequence[Instance], right: Sequence[Instance]) -> int:
    """How many pairs of one class lie on each other; above an IoU of 0.5 no third one can."""
    rows, columns = np.array(
        [
            (i, k)
            for i, one in enumerate(left)
            for k, other in enumerate(right)
            if one.class_id == other.class_id
        ],
        np.int64,
    ).reshape(-1, 2).T  # fmt: skip
    if not len(rows):
        return 0
    masks = [[one.mask for one in side] for side in (left, right)]
    if all(mask is not None for side in masks for mask in side):
        spans = [Spans.of_masks(side) for side in masks]
        common = mask_intersections(spans[0], spans[1], rows, columns)
        union = spans[0].areas()[rows] + spans[1].areas()[columns] - common
        iou = np.where(union > 0, common / np.maximum(union, 1), 1.0)
    else:
        boxes = [np.array([_xywh(one) for one in side]) for side in (left, right)]
        iou, _ = box_overlaps(boxes[0][rows], boxes[1][columns])
    return _one_to_one(rows, columns, iou)


def _one_to_one(rows: np.ndarray, columns: np.ndarray, iou: np.ndarray) -> int:
    """Equal objects may lie on each other several times: each is matched once."""
    taken: tuple[set[int], set[int]] = (set(), set())
    order = np.argsort(-iou, kind="stable")
    for at in order[iou[order] >= SAME_OBJECT].tolist():
        row, column = int(rows[at]), int(columns[at])
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
    return len(taken[0])


def _xywh(one: Instance) -> tuple[float, float, float, float]:
    left, top, right, bottom = one.box_xyxy
    return left, top, right - left, bottom - top


def _confidences(answer: Segmentation) -> np.ndarray:
    found_K = np.zeros(len(answer.classes))
    for label in answer.labels or ():
        found_K[label.class_id] = 1.0 if label.score is None else label.score
    return found_K


def _told(answer: Segmentation) -> str:
    return compared_things(answer) or "nothing"
