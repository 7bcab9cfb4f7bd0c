"""AP on images drawn several times or not at all, for the bootstrap (`bootstrap.py`).

Matches stay within an image, so what became of each detection is found once; a draw repeats the
detections and the truth of its images, ranks them and takes the protocol's curve again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.assignment import FALSE_POSITIVE, TRUE_POSITIVE, judge
from maskwright.metrics.average_precision import AveragePrecision
from maskwright.metrics.curves import CURVES, RECALLS_101, precision_of_hits
from maskwright.metrics.protocols import Kind, Protocol, protocol_of


def ap_of_draws(
    seen: AveragePrecision, protocol: str | Protocol = "coco", *, kind: Kind | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """The macro AP as a function of how often each image was drawn.

    Args:
        seen: N images, added without numbers.
        protocol: a key of `PROTOCOLS`, or one of your own.
        kind: one of `seen.kinds`; the first of them if not given.

    Returns:
        int [R, N] -> float64 [R], NaN where a draw holds nothing that is to be found; what
        `bootstrap` takes. Each image once gives `seen.scores(protocol, kind=kind).ap`.

    Raises:
        ConfigError: an unknown protocol, or a kind that was not compared.
    """
    chosen = seen.kinds[0] if kind is None else kind
    if chosen not in seen.kinds:
        raise ConfigError(f"expected a kind that was compared, {seen.kinds}, got {chosen!r}.")
    rules, overlaps = protocol_of(protocol), seen.overlaps()
    verdicts = judge(overlaps, chosen, rules)
    found = overlaps.detections
    score, image = found.score[verdicts.detection], found.image[verdicts.detection]
    class_id = found.class_id[verdicts.detection]
    ranked = np.argsort(-score, kind="stable")
    truth, counted = overlaps.truth, verdicts.counted[0]
    truths_KN = np.zeros((len(seen.names), seen.images), np.int64)
    np.add.at(truths_KN, (truth.class_id[counted], truth.image[counted]), 1)
    status = verdicts.status(0, len(rules.ious))
    if rules.curve == "points101":
        ranked = ranked[np.argsort(class_id[ranked], kind="stable")]
        draw = _Points101.of(status[:, ranked], class_id[ranked], image[ranked], truths_KN)
        return lambda times_RN: np.array([draw.ap(times_N) for times_N in times_RN])
    ranked_of = [ranked[class_id[ranked] == k] for k in range(len(seen.names))]

    def one(times_N: np.ndarray) -> float:
        scores = []
        for k in np.flatnonzero(truths_KN @ times_N):
            own = np.repeat(ranked_of[k], times_N[image[ranked_of[k]]])
            right, wrong = status[:, own] == TRUE_POSITIVE, status[:, own] == FALSE_POSITIVE
            truths = int(truths_KN[k] @ times_N)
            curve, own_score = CURVES[rules.curve], score[own]
            scores.append(np.mean([curve(r, w, own_score, truths) for r, w in zip(right, wrong)]))
        return float(np.mean(scores)) if scores else float("nan")

    return lambda times_RN: np.array([one(times_N) for times_N in times_RN])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Points101:
    """COCO's curve on any draw: what is not wrong is rare, and all that a draw changes is weights.

    Legend: D detections by class and falling score, H of them and a threshold each where one is
    right or ignored, K classes, T thresholds. A lane is a class at a threshold.

    Attributes:
        image: int64 [D].
        truths_KN: int64, to be found of each class in each image.
        steps: T.
        place: int64 [H], among the D; they rise within a lane, and lanes rise.
        lane: int64 [H].
        right: bool [H].
        first: int64 [K], where each class begins among the D.
        lane_first: int64 [K T], where each lane begins among the H.
    """

    image: np.ndarray
    truths_KN: np.ndarray
    steps: int
    place: np.ndarray
    lane: np.ndarray
    right: np.ndarray
    first: np.ndarray
    lane_first: np.ndarray

    @classmethod
    def of(
        cls, status: np.ndarray, class_id: np.ndarray, image: np.ndarray, truths_KN: np.ndarray
    ) -> _Points101:
        """Of verdicts int8 [T, D], both by class and falling score."""
        steps, classes = len(status), len(truths_KN)
        step, place = np.nonzero(status != FALSE_POSITIVE)
        lane = class_id[place] * steps + step
        order = np.lexsort((place, lane))
        step, place, lane = step[order], place[order], lane[order]
        return cls(
            image=image,
            truths_KN=truths_KN,
            steps=steps,
            place=place,
            lane=lane,
            right=status[step, place] == TRUE_POSITIVE,
            first=np.searchsorted(class_id, np.arange(classes)),
            lane_first=np.searchsorted(lane, np.arange(classes * steps)),
        )

    def ap(self, times_N: np.ndarray) -> float:
        """The macro AP where image n was drawn times_N[n] times; NaN where nothing is there."""
        truths = self.truths_KN @ times_N
        if not truths.any():
            return float("nan")
        lane, number, misses = self._hits(times_N)
        found = (number + 1).astype(float)
        precision = precision_of_hits(found, misses)
        reached = found / np.maximum(truths, 1)[lane // self.steps]
        best = np.zeros((len(truths) * self.steps, len(RECALLS_101)))
        # A hit counts at every recall up to the one that it reaches.
        last = np.searchsorted(RECALLS_101, reached, side="right") - 1
        np.maximum.at(best.reshape(-1), lane * len(RECALLS_101) + last, precision)
        best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
        means = best.reshape(len(truths), -1).mean(axis=1)
        return float(np.mean(means[truths > 0]))

    def _hits(self, times_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each hit, those of an image drawn twice two: its lane, and hits and misses before."""
        weight = times_N[self.image]
        seen = np.concatenate([[0], np.cumsum(weight)])
        own = weight[self.place]
        others = np.concatenate([[0], np.cumsum(own)])
        hits = np.concatenate([[0], np.cumsum(np.where(self.right, own, 0))])
        right = np.flatnonzero(self.right & (own > 0))
        lane = self.lane[right]
        judged = seen[self.place[right] + 1] - seen[self.first[lane // self.steps]]
        misses = judged - (others[right + 1] - others[self.lane_first[lane]])
        before = hits[right] - hits[self.lane_first[lane]]
        times = own[right]
        copy = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        return np.repeat(lane, times), np.repeat(before, times) + copy, np.repeat(misses, times)
