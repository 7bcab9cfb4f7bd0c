"""Whether objects keep their identity over a video: IDF1 and identity switches.

Ergys Ristani, Francesco Solera, Roger Zou, Rita Cucchiara, Carlo Tomasi: Performance Measures and a
Data Set for Multi-Target, Multi-Camera Tracking, ECCV Workshops 2016, arXiv 1609.01775 (IDF1);
Keni Bernardin, Rainer Stiefelhagen: Evaluating Multiple Object Tracking Performance: The CLEAR MOT
Metrics, EURASIP 2008 (switches).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.assignment import best_pairs
from maskwright.core.parts import Instance
from maskwright.metrics.matching import box_overlaps

MIN_IOU = 0.5
"""Overlap from which an object is found."""


@dataclass(frozen=True, kw_only=True)
class IdentityScores:
    """Of a video, or of several.

    Attributes:
        idf1: 2 IDTP / (2 IDTP + IDFP + IDFN), where each true identity is held against the one
            answered identity that shares most of its frames; NaN without any object.
        switches: how often the identity that a true object is answered with changes.
        found: objects that were found, of all frames.
        truths, answers: objects in the truth and in the answers.
    """

    idf1: float
    switches: int
    found: int
    truths: int
    answers: int


class IdentityCounter:
    """Counts a video, frame after frame; `end_video` begins another."""

    def __init__(self, min_iou: float = MIN_IOU) -> None:
        self.min_iou = min_iou
        self._shared: Counter[tuple[int, int]] = Counter()
        self._last: dict[int, int] = {}
        self._hits = self._switches = self._found = self._truths = self._answers = 0

    def update(self, truth: Sequence[Instance], found: Sequence[Instance]) -> None:
        """Count one frame.

        Args:
            truth: objects with `track_id`; crowds are left out.
            found: objects with `track_id`; those without are answers of no identity.
        """
        truth = [one for one in truth if not one.crowd and one.track_id is not None]
        overlap_NM = _overlaps(truth, found)
        self._truths += len(truth)
        self._answers += len(found)
        for row, one in enumerate(truth):
            for column, answer in enumerate(found):
                if overlap_NM[row, column] >= self.min_iou and answer.track_id is not None:
                    self._shared[_number(one), answer.track_id] += 1
        for row, column in self._pairs(truth, found, overlap_NM):
            self._found += 1
            answered, number = found[column].track_id, _number(truth[row])
            if answered is None:
                continue
            self._switches += self._last.get(number, answered) != answered
            self._last[number] = answered

    def _pairs(
        self, truth: Sequence[Instance], found: Sequence[Instance], overlap_NM: np.ndarray
    ) -> list[tuple[int, int]]:
        """Who is whom in this frame: as before where that still holds, else the best overlap."""
        gain_NM = np.where(overlap_NM >= self.min_iou, 1.0 + overlap_NM, 0.0)
        for row, one in enumerate(truth):
            for column, answer in enumerate(found):
                held = self._last.get(_number(one)) == answer.track_id
                if gain_NM[row, column] and held and answer.track_id is not None:
                    gain_NM[row, column] += 2.0 * min(gain_NM.shape)
        return best_pairs(gain_NM)

    def end_video(self) -> None:
        """Identities of the next frames are of another video."""
        self._hits += self._matched()
        self._shared.clear()
        self._last.clear()

    def _matched(self) -> int:
        """IDTP of the video under way."""
        if not self._shared:
            return 0
        ours, theirs = (sorted({pair[side] for pair in self._shared}) for side in (0, 1))
        shared_NM = np.zeros((len(ours), len(theirs)))
        for (one, other), count in self._shared.items():
            shared_NM[ours.index(one), theirs.index(other)] = count
        return round(sum(shared_NM[pair] for pair in best_pairs(shared_NM)))

    def scores(self) -> IdentityScores:
        """Of all frames so far."""
        hits = self._hits + self._matched()
        objects = self._truths + self._answers
        return IdentityScores(
            idf1=2 * hits / objects if objects else float("nan"),
            switches=self._switches,
            found=self._found,
            truths=self._truths,
            answers=self._answers,
        )


def _number(one: Instance) -> int:
    return -1 if one.track_id is None else one.track_id


def _overlaps(truth: Sequence[Instance], found: Sequence[Instance]) -> np.ndarray:
    """IoU of objects of one class, [N, M]: of masks where both have them, else of boxes."""
    boxes_N4, boxes_M4 = (
        np.array([one.box_xyxy for one in own], float).reshape(-1, 4) for own in (truth, found)
    )
    for boxes in (boxes_N4, boxes_M4):
        boxes[:, 2:] -= boxes[:, :2]
    rows, columns = np.indices((len(truth), len(found))).reshape(2, -1)
    iou_P, _ = box_overlaps(boxes_M4[columns], boxes_N4[rows])
    overlap_NM = iou_P.reshape(len(truth), len(found))
    for row, column in np.argwhere(overlap_NM > 0):
        one, other = truth[row], found[column]
        if one.class_id != other.class_id:
            overlap_NM[row, column] = 0.0
        elif one.mask is not None and other.mask is not None:
            overlap_NM[row, column] = one.mask.iou(other.mask)
    return overlap_NM
