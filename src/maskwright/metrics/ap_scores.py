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
from maskwright.metrics.assignment import RIGHT, WRONG, Verdicts
from maskwright.metrics.curves import CURVES, precision_at_recalls, precision_recall
from maskwright.metrics.matching import Overlaps
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
                "ap": _or_none(self.class_ap[k]),
                "ap50": _or_none(self.average_precision[0, 0, k]),
                "ar": _or_none(self.average_recall[0, -1, :, k].mean()),
                "truths": int(self.truths[0, k]),
                "detections": int(self.detections[k]),
                "sizes": {
                    size: _or_none(self.average_precision[a, :, k].mean())
                    for a, (size, _) in enumerate(self.protocol.sizes)
                },
                "curve": [_or_none(value) for value in self.precision[0, 0, :, k]],
            }
            for k, name in enumerate(self.names)
        ]
        return {
            "protocol": self.protocol.name,
            "kind": self.kind,
            "images": self.images,
            "ious": list(self.protocol.ious),
            "summary": {name: _or_none(value) for name, value in self.summary.items()},
            "pooled": {
                "ap": _or_none(self.ap_pooled),
                "ap50": _or_none(self.pooled_precision[0, 0]),
                "ar": _or_none(self.pooled_recall[0, -1].mean()),
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
    found = overlaps.detections
    class_id, score = found.class_id[verdicts.detection], found.score[verdicts.detection]
    classes, sizes, ious = len(names), len(protocol.sizes), len(protocol.ious)
    limits = len(protocol.max_detections)
    truths = np.stack(
        [np.bincount(overlaps.truth.class_id[one], minlength=classes) for one in verdicts.counted]
    )
    ap = np.full((sizes, ious, classes), np.nan)
    recall = np.full((sizes, limits, ious, classes), np.nan)
    precision = np.full((sizes, ious, 101, classes), np.nan)
    order = np.lexsort((-score, class_id))
    edges = np.searchsorted(class_id[order], np.arange(classes + 1))
    for k in range(classes):
        if truths[:, k].any():
            own = order[edges[k] : edges[k + 1]]
            ap[..., k], recall[..., k], precision[..., k] = _score_list(
                verdicts, own, score, truths[:, k], protocol
            )
    everything = _ranked(overlaps, verdicts, np.arange(len(score)))
    pooled = _score_list(verdicts, everything, score, truths.sum(axis=1), protocol)
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
        pooled_precision=pooled[0],
        pooled_recall=pooled[1],
    )


def _score_list(
    verdicts: Verdicts,
    own: np.ndarray,
    score: np.ndarray,
    truths: np.ndarray,
    protocol: Protocol,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AP [A, T], recall [A, M, T] and precision [A, T, 101] of one ranked list of detections."""
    status, rank, score = verdicts.status[:, :, own], verdicts.rank[own], score[own]
    right, wrong = status == RIGHT, status == WRONG
    sizes, ious = right.shape[:2]
    ap = np.full((sizes, ious), np.nan)
    recall = np.full((sizes, len(protocol.max_detections), ious), np.nan)
    precision = np.full((sizes, ious, 101), np.nan)
    lanes, place = np.nonzero(right.reshape(sizes * ious, len(own)))
    hits = [
        np.bincount(lanes if limit is None else lanes[rank[place] < limit], minlength=sizes * ious)
        for limit in protocol.max_detections
    ]
    found = np.stack(hits, axis=0).reshape(-1, sizes, ious)
    for a in np.flatnonzero(truths).tolist():
        count = int(truths[a])
        precision[a] = precision_at_recalls(right[a], wrong[a], count)
        recall[a] = found[:, a] / count
        if protocol.curve == "points101":
            ap[a] = precision[a].mean(axis=1)
        else:
            curve = CURVES[protocol.curve]
            ap[a] = [curve(right[a, t], wrong[a, t], score, count) for t in range(ious)]
    return ap, recall, precision


def exact_curve(
    overlaps: Overlaps, verdicts: Verdicts, class_id: int | None, threshold: int
) -> PRCurve:
    """The curve of one class (None: of all, pooled) at one threshold, of all sizes."""
    found = overlaps.detections
    own = np.arange(len(verdicts.detection))
    counted = verdicts.counted[0]
    if class_id is not None:
        own = own[found.class_id[verdicts.detection] == class_id]
        counted = counted & (overlaps.truth.class_id == class_id)
    own = own[verdicts.status[0, threshold, own] >= WRONG]
    own = _ranked(overlaps, verdicts, own)
    right = verdicts.status[0, threshold, own] == RIGHT
    truths = int(counted.sum())
    precision, recall = precision_recall(right, ~right, max(truths, 1))
    if not truths:
        recall = np.full_like(recall, np.nan)
    return PRCurve(precision=precision, recall=recall, score=found.score[verdicts.detection[own]])


def _ranked(overlaps: Overlaps, verdicts: Verdicts, own: np.ndarray) -> np.ndarray:
    """By falling score, whatever the class; equal scores by image, and as they were given."""
    given, found = verdicts.detection[own], overlaps.detections
    return own[np.lexsort((given, found.image[given], -found.score[given]))]


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]  # in C order, as pycocotools sums
    return float(np.mean(defined)) if defined.size else math.nan


def _letter(size: str) -> str:
    return size[:1]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
