"""How precision over recall becomes a number: one function a way, in the visible dict `CURVES`.

All take verdicts on detections in the order of falling scores and the number of truths, and give AP
in 0..1. Where no truth is counted they are not called: such a class has no AP (NaN).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maskwright.metrics.protocols import Curve

RECALLS_101 = np.linspace(0.0, 1.0, 101)
"""COCO's recall levels."""

_EPSILON = np.spacing(1)


def precision_recall(
    right: np.ndarray, wrong: np.ndarray, truths: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall float64 [D] after each detection, as counted, not smoothed.

    Args:
        right, wrong: bool [D], in the order of falling scores; neither: ignored.
        truths: how many there are to find, above 0.
    """
    hits, misses = np.cumsum(right).astype(float), np.cumsum(wrong).astype(float)
    judged = hits + misses
    precision = np.divide(hits, judged, out=np.zeros(len(hits)), where=judged > 0)
    return precision, hits / truths


def precision_at_recalls(right: np.ndarray, wrong: np.ndarray, truths: int) -> np.ndarray:
    """COCO's precision float64 [L, 101] of L lanes of verdicts bool [L, D] over one set of truths.

    Every number comes from the operations that pycocotools does.
    """
    lane, place = np.nonzero(right)
    hits = right.sum(axis=1)
    number = np.arange(len(lane)) - np.repeat(np.cumsum(hits) - hits, hits)
    misses = np.cumsum(wrong, axis=1, dtype=np.int32)[lane, place]
    envelope = envelope_of_hits(lane, number, misses, len(right))
    return read_envelope(envelope, truths)


def envelope_of_hits(
    lane: np.ndarray, number: np.ndarray, misses: np.ndarray, lanes: int
) -> np.ndarray:
    """The best precision at this recall or a larger one, float64 [L, most hits of a lane].

    It can only rise where a truth is found, so it is taken there.

    Args:
        lane: int64 [H] of each hit, 0 to `lanes` - 1.
        number: int64 [H], hits before it in its lane.
        misses: int64 [H], before it in its lane.
        lanes: L.
    """
    envelope = np.zeros((lanes, int(number.max(initial=-1)) + 1))
    envelope[lane, number] = precision_of_hits((number + 1).astype(float), misses)
    return np.maximum.accumulate(envelope[:, ::-1], axis=1)[:, ::-1]


def precision_of_hits(found: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Precision float64 [H] at each hit, by the operations that pycocotools does.

    Args:
        found: float64 [H], hits so far, this one included.
        misses: whole numbers [H], before it.
    """
    precision: np.ndarray = found / (misses.astype(float) + found + _EPSILON)
    return precision


def read_envelope(envelope: np.ndarray, truths: int) -> np.ndarray:
    """Precision float64 [L, 101] at COCO's recalls, of lanes over one set of truths."""
    most = envelope.shape[1]
    result = np.zeros((len(envelope), len(RECALLS_101)))
    reached = np.arange(1, most + 1).astype(float) / truths
    first = np.searchsorted(reached, RECALLS_101, side="left")
    inside = int(np.searchsorted(first, most))  # they rise
    result[:, :inside] = envelope[:, first[:inside]]
    return result


def points101(right: np.ndarray, wrong: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """COCO: the mean of the enveloped precision at 101 recalls."""
    return float(precision_at_recalls(right[None], wrong[None], truths).mean())


def points11(right: np.ndarray, wrong: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """VOC until 2009: the mean of the best precision at recall >= 0, 0.1, ... 1."""
    precision, recall = precision_recall(right, wrong, truths)
    best = [precision[recall >= level].max(initial=0.0) for level in np.arange(0.0, 1.1, 0.1)]
    return float(sum(best) / 11)


def every_point(right: np.ndarray, wrong: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """VOC from 2010 on: the area under the enveloped precision, in steps."""
    precision, recall = precision_recall(right, wrong, truths)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def lines101(right: np.ndarray, wrong: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """Ultralytics until 8.4.39: the area under the enveloped precision, from (0, 1) to (1, 0).

    Its points are joined by straight lines, read at 101 recalls and summed by trapezoids.
    """
    return _lines(right, wrong, truths, end=[1.0])


def lines101_cut(right: np.ndarray, wrong: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """Ultralytics from 8.4.40 on: the same, but precision is 0 from the last recall on."""
    return _lines(right, wrong, truths, end=[float(right.sum()) / (truths + 1e-16), 1.0])


def _lines(right: np.ndarray, wrong: np.ndarray, truths: int, end: list[float]) -> float:
    """With points of precision 0 at the recalls `end`."""
    if not len(right):
        return 0.0
    hits, misses = np.cumsum(right), np.cumsum(wrong)
    recall = np.concatenate([[0.0], hits / (truths + 1e-16), end])
    precision = np.concatenate([[1.0], hits / np.maximum(hits + misses, 1), [0.0] * len(end)])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    read = np.interp(RECALLS_101, recall, envelope)
    return float((np.diff(RECALLS_101) * (read[1:] + read[:-1]) / 2).sum())


def steps(right: np.ndarray, wrong: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """Cityscapes: one point for each distinct score, precision as counted.

    Each point weighs half the recall between its two neighbours; a point of precision 1 at recall 0
    is added, as in the benchmark's script.
    """
    judged = right | wrong
    if not judged.any():
        return 0.0
    hits, all_judged = np.cumsum(right[judged]), np.arange(1, int(judged.sum()) + 1)
    last = np.flatnonzero(np.diff(scores[judged], append=np.nan) != 0)
    recall = (hits[last] / truths)[::-1]  # from the lowest score, which finds most, on
    precision = (hits[last] / all_judged[last])[::-1]
    precision = np.append(precision, 1.0)
    around = np.concatenate([recall[:1], recall, [0.0, 0.0]])
    return float(np.dot(precision, (around[:-2] - around[2:]) / 2))


CURVES: dict[Curve, Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]] = {
    "points11": points11,
    "every_point": every_point,
    "points101": points101,
    "steps": steps,
    "lines101": lines101,
    "lines101_cut": lines101_cut,
}
