"""`APScores`: average precision and recall from the verdicts on all detections.

Classes without truth, under every protocol: a class of which nothing is to be found (none in the
truth, or all of it ignored) has no AP and no recall (NaN) and is left out of means over classes.
Its detections are still wrong ones where all classes are pooled.

*Macro* is the mean over classes. *Pooled* (micro) ranks the detections of all classes together by
their scores, against the truth of all classes; matches stay within a class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.assignment import FALSE_POSITIVE, TRUE_POSITIVE, Verdicts
from maskwright.metrics.curves import CURVES, envelope_of_hits, precision_recall, read_envelope
from maskwright.metrics.matching import Overlaps
from maskwright.metrics.ordering import place_in_group, stable_order
from maskwright.metrics.overlap import none_for_nan, ratio
from maskwright.metrics.protocols import Kind, Protocol


@dataclass(frozen=True, kw_only=True, eq=False)
class PRCurve:
    """Precision and recall after each detection, by falling score; ignored ones are left out.

    Attributes:
        precision, recall, score: float64 [D]; recall is NaN where nothing is to be found.
    """

    precision: np.ndarray
    recall: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class APScores:
    """Average precision and recall in 0..1, NaN where not defined (head of `ap_scores.py`).

    Legend: A sizes, T thresholds, M limits of detections, K classes.

    Attributes:
        protocol: the rules; its `sizes`, `ious` and `max_detections` are the axes here.
        kind: "boxes", "masks" or "boundary".
        names: of the K classes.
        images: how many were scored.
        truths: int64 [A, K], what was to be found.
        detections: int64 [K], within the limit.
        average_precision: float64 [A, T, K].
        average_recall: float64 [A, M, T, K], the share of the truths that were found.
        precision: float64 [A, T, 101, K], the best precision at each recall of 0, 0.01, ... 1 or a
            larger one.
        pooled_precision: float64 [A, T], AP of all classes ranked together.
        pooled_recall: float64 [A, M, T].
    """

    protocol: Protocol
    kind: Kind
    names: tuple[str, ...]
    images: int
    truths: np.ndarray
    detections: np.ndarray
    average_precision: np.ndarray
    average_recall: np.ndarray
    precision: np.ndarray
    pooled_precision: np.ndarray
    pooled_recall: np.ndarray

    @property
    def ap(self) -> float:
        """The protocol's number: the mean over thresholds and classes, all sizes."""
        return self.ap_of()

    @property
    def ap_pooled(self) -> float:
        """The mean over thresholds of the pooled AP, all sizes."""
        return _mean(self.pooled_precision[0])

    @property
    def class_ap(self) -> np.ndarray:
        """float64 [K], the mean over thresholds, all sizes."""
        return self.average_precision[0].mean(axis=0)

    def ap_of(self, *, iou: float | None = None, size: str | None = None) -> float:
        """Macro AP at one threshold or all, of one size ("small", ...) or all.

        Raises:
            ConfigError: the protocol has no such threshold or size.
        """
        chosen = slice(None) if iou is None else slice(at := self._threshold(iou), at + 1)
        source = self.precision if self._is_coco else self.average_precision
        return _mean(source[self._size(size), chosen])

    def ar_of(self, *, limit: int | None = None, size: str | None = None) -> float:
        """Macro average recall with at most `limit` detections (the largest limit if not given).

        Raises:
            ConfigError: the protocol has no such limit or size.
        """
        limits = self.protocol.max_detections
        wanted = limits[-1] if limit is None else limit
        if wanted not in limits:
            raise ConfigError(
                f"expected one of the limits {limits} of {self.protocol.name}, got {limit}."
            )
        return _mean(self.average_recall[self._size(size), limits.index(wanted)])

    @property
    def summary(self) -> dict[str, float]:
        """The numbers by their usual names.

        "AP", "AP50" and "AP75" (where they are thresholds); "APs", "APm", "APl" where the protocol
        has sizes; "AR1", "AR10", "AR100" (its limits; "AR" if there is none); "ARs", "ARm", "ARl".
        For `coco` these are the 12 numbers of pycocotools, in its order.
        """
        sizes = [name for name, _ in self.protocol.sizes][1:]
        found = {"AP": self.ap}
        found |= {
            f"AP{round(100 * iou)}": self.ap_of(iou=iou)
            for iou in (0.5, 0.75)
            if iou in self.protocol.ious
        }
        found |= {f"AP{_letter(size)}": self.ap_of(size=size) for size in sizes}
        for limit in self.protocol.max_detections:
            found[f"AR{'' if limit is None else limit}"] = self.ar_of(limit=limit)
        return found | {f"AR{_letter(size)}": self.ar_of(size=size) for size in sizes}

    @property
    def coco_stats(self) -> np.ndarray:
        """The summary as pycocotools tells it: float64, with -1 for what is not defined."""
        return np.array([-1.0 if math.isnan(value) else value for value in self.summary.values()])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: NaN becomes None, classes a list of rows, curves of one IoU."""
        rows = [
            {
                "name": name,
                "ap": none_for_nan(self.class_ap[k]),
                "ap50": none_for_nan(self.average_precision[0, 0, k]),
                "ar": none_for_nan(self.average_recall[0, -1, :, k].mean()),
                "truths": int(self.truths[0, k]),
                "detections": int(self.detections[k]),
                "sizes": {
                    size: none_for_nan(self.average_precision[a, :, k].mean())
                    for a, (size, _) in enumerate(self.protocol.sizes)
                },
                "curve": [none_for_nan(value) for value in self.precision[0, 0, :, k]],
            }
            for k, name in enumerate(self.names)
        ]
        return {
            "protocol": self.protocol.name,
            "kind": self.kind,
            "images": self.images,
            "ious": list(self.protocol.ious),
            "summary": {name: none_for_nan(value) for name, value in self.summary.items()},
            "pooled": {
                "ap": none_for_nan(self.ap_pooled),
                "ap50": none_for_nan(self.pooled_precision[0, 0]),
                "ar": none_for_nan(self.pooled_recall[0, -1].mean()),
            },
            "classes": rows,
        }

    @property
    def _is_coco(self) -> bool:
        return self.protocol.curve == "points101"

    def _threshold(self, iou: float) -> int:
        near = np.flatnonzero(np.isclose(self.protocol.ious, iou, rtol=0, atol=1e-9))
        if not len(near):
            raise ConfigError(
                f"expected a threshold of {self.protocol.name}, {self.protocol.ious}, got {iou}."
            )
        return int(near[0])

    def _size(self, size: str | None) -> int:
        names = [name for name, _ in self.protocol.sizes]
        if size is not None and size not in names:
            raise ConfigError(
                f"expected one of the sizes {names} of {self.protocol.name}, got {size!r}."
            )
        return 0 if size is None else names.index(size)


def score_verdicts(
    overlaps: Overlaps,
    verdicts: Verdicts,
    kind: Kind,
    protocol: Protocol,
    names: tuple[str, ...],
    images: int,
) -> APScores:
    """Average precision and recall of every class and of all together."""
    class_id = overlaps.detections.class_id[verdicts.detection]
    classes = len(names)
    truths = np.stack(
        [np.bincount(overlaps.truth.class_id[one], minlength=classes) for one in verdicts.counted]
    )
    by_class = verdicts.by_score[stable_order(class_id[verdicts.by_score])]
    edges = np.searchsorted(class_id[by_class], np.arange(classes + 1))
    score = overlaps.detections.score[verdicts.detection]
    ap, recall, precision = _score_lists(verdicts, by_class, edges, score, truths, protocol)
    whole, all_truths = np.array([0, len(score)]), truths.sum(axis=1, keepdims=True)
    pooled = _score_lists(verdicts, verdicts.by_score, whole, score, all_truths, protocol)
    return APScores(
        protocol=protocol,
        kind=kind,
        names=names,
        images=images,
        truths=truths,
        detections=np.diff(edges),
        average_precision=ap,
        average_recall=recall,
        precision=precision,
        pooled_precision=pooled[0][..., 0],
        pooled_recall=pooled[1][..., 0],
    )


def _score_lists(
    verdicts: Verdicts,
    order: np.ndarray,
    edges: np.ndarray,
    score: np.ndarray,
    truths: np.ndarray,
    protocol: Protocol,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AP [A, T, L], recall [A, M, T, L] and precision [A, T, 101, L] of L ranked lists.

    List l holds the detections order[edges[l] : edges[l + 1]], against truths[:, l].
    """
    sizes, steps, lists = len(truths), len(protocol.ious), len(edges) - 1
    lanes = sizes * steps
    lane, number, misses, place = _hits(verdicts, order, edges, steps)
    limits = protocol.max_detections
    ranks = verdicts.rank[place]
    hits = [lane if limit is None else lane[ranks < limit] for limit in limits]
    counts = np.stack([np.bincount(one, minlength=lanes * lists) for one in hits])
    recall = ratio(
        counts.reshape(len(limits), lists, sizes, steps).transpose(2, 0, 3, 1),
        truths[:, None, None, :],
    )
    ap = np.full((sizes, steps, lists), np.nan)
    precision = np.full((sizes, steps, 101, lists), np.nan)
    starts = np.searchsorted(lane, np.arange(lists + 1) * lanes)
    for one in np.flatnonzero(truths.any(axis=0)).tolist():
        own = slice(starts[one], starts[one + 1])
        envelope = envelope_of_hits(lane[own] - one * lanes, number[own], misses[own], lanes)
        for a in np.flatnonzero(truths[:, one]).tolist():
            read = read_envelope(envelope[a * steps : (a + 1) * steps], int(truths[a, one]))
            precision[a, :, :, one] = read
            ap[a, :, one] = read.mean(axis=1)
    if protocol.curve != "points101":
        _read_curves(verdicts, order, edges, score, truths, protocol, ap)
    return ap, recall, precision


def _hits(
    verdicts: Verdicts, order: np.ndarray, edges: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lane, hits and misses before it, and place of each right detection, by lane and score.

    A lane is one list at one size range and threshold: (list * A + size) * T + step. What misses
    before a match is all that is inside the size range, without what matches there.
    """
    found, count = verdicts.matches, len(order)
    inside = ~verdicts.outside
    position = np.empty(count, np.int64)
    position[order] = np.arange(count)
    list_of = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    before = np.zeros((len(inside), count + 1), np.int32)
    np.cumsum(inside[:, order], axis=1, out=before[:, 1:])
    at = position[found.place]
    lane = (list_of[at] * len(inside) + found.size) * steps + found.step
    by_lane = stable_order(lane * count + at)
    lane, at, size, place = (one[by_lane] for one in (lane, at, found.size, found.place))
    right = found.right[by_lane]
    missed = before[size, at + 1] - before[size, edges[list_of[at]]]
    misses = missed - _running(inside[size, place], lane)
    number = _running(right, lane) - 1
    return lane[right], number[right], misses[right], place[right]


def _running(flags: np.ndarray, group: np.ndarray) -> np.ndarray:
    """How many are True up to here, this one included, within each stretch of equal groups."""
    total = np.cumsum(flags)
    begins = np.arange(len(group)) - place_in_group(group)
    return total - (total - flags)[begins]


def _read_curves(
    verdicts: Verdicts,
    order: np.ndarray,
    edges: np.ndarray,
    score: np.ndarray,
    truths: np.ndarray,
    protocol: Protocol,
    ap: np.ndarray,
) -> None:
    """Write AP [A, T, L] as the protocol's own curve tells it."""
    curve = CURVES[protocol.curve]
    for a in range(len(truths)):
        status = verdicts.status(a, len(protocol.ious))
        for one in np.flatnonzero(truths[a]).tolist():
            own = order[edges[one] : edges[one + 1]]
            for t, verdict in enumerate(status[:, own]):
                right, wrong = verdict == TRUE_POSITIVE, verdict == FALSE_POSITIVE
                ap[a, t, one] = curve(right, wrong, score[own], int(truths[a, one]))


def exact_curve(
    overlaps: Overlaps, verdicts: Verdicts, class_id: int | None, threshold: int
) -> PRCurve:
    """The curve of one class (None: of all, pooled) at one threshold, of all sizes."""
    found, own = overlaps.detections, verdicts.by_score
    counted = verdicts.counted[0]
    if class_id is not None:
        own = own[found.class_id[verdicts.detection[own]] == class_id]
        counted = counted & (overlaps.truth.class_id == class_id)
    status = verdicts.status(0, threshold + 1)[threshold]
    own = own[status[own] >= FALSE_POSITIVE]
    right = status[own] == TRUE_POSITIVE
    truths = int(counted.sum())
    precision, recall = precision_recall(right, ~right, max(truths, 1))
    if not truths:
        recall = np.full_like(recall, np.nan)
    return PRCurve(precision=precision, recall=recall, score=found.score[verdicts.detection[own]])


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]  # in C order, as pycocotools sums
    return float(np.mean(defined)) if defined.size else math.nan


def _letter(size: str) -> str:
    return size[:1]
