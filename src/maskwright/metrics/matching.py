"""How much detections and truth overlap: boxes, masks and boundaries, for whole batches of images.

Only pairs of one image and class are compared, and only those that can matter: an IoU below 0.5
matches under no protocol, so a pair whose boxes or areas rule 0.5 out is left out before its masks
are looked at. Pairs with truth that may have to be ignored (crowds, small regions) are all kept.

* IoU = intersection / union, in whole pixels for masks, divided once: pycocotools' numbers.
* *share* = intersection / area of the detection: what counts against crowds.
* Boundaries: Cheng et al., "Boundary IoU", CVPR 2021, section 4: the pixels of a mask that lie
  within 2 % of the image's diagonal of its edge (the image's border is an edge); IoU = the smaller
  of mask and boundary IoU. Against crowds it is the mask's share.

Legend: D detections, G truths, P pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.mask import Mask
from maskwright.metrics.boundary import boundary_spans
from maskwright.metrics.objects import Objects, Spans, ragged, reduce_segments
from maskwright.metrics.protocols import Kind

LEAST_IOU = 0.5
"""Overlaps below this match under no protocol."""

SMALL_REGION = 100.0
"""Pixels below which Cityscapes ignores truth: all overlaps with those are kept."""

_EDGES_AT_ONCE = 1 << 18


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlaps:
    """All that protocols need to know of some images; the masks are gone.

    Attributes:
        truth, detections: the objects, without masks.
        detection_area: kind -> float64 [D], by which detections are sorted into sizes; truth has
            its own in `truth.area`, whatever is compared.
        of_detection, of_truth: int64 [P], the pairs.
        iou, share: kind -> float64 [P].
        void_share: float64 [D], the share of each detection that lies in void; None: no void.
    """

    truth: Objects
    detections: Objects
    detection_area: dict[Kind, np.ndarray]
    of_detection: np.ndarray
    of_truth: np.ndarray
    iou: dict[Kind, np.ndarray]
    share: dict[Kind, np.ndarray]
    void_share: np.ndarray | None = None


def box_overlaps(
    detections_xywh: np.ndarray, truths_xywh: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """IoU and share, float64 [P], of boxes [P, 4] with boxes [P, 4], pair by pair.

    The order of operations is pycocotools', so that the last bit agrees.
    """
    d, g = detections_xywh, truths_xywh
    width = np.minimum(d[:, 2] + d[:, 0], g[:, 2] + g[:, 0]) - np.maximum(d[:, 0], g[:, 0])
    height = np.minimum(d[:, 3] + d[:, 1], g[:, 3] + g[:, 1]) - np.maximum(d[:, 1], g[:, 1])
    common = np.where((width > 0) & (height > 0), width * height, 0.0)
    area = d[:, 2] * d[:, 3]
    union = area + g[:, 2] * g[:, 3] - common
    return _quotient(common, union), _quotient(common, area)


def mask_intersections(
    detections: Spans, truths: Spans, of_detection: np.ndarray, of_truth: np.ndarray
) -> np.ndarray:
    """Pixels that the masks of each pair share, int64 [P].

    The ones of a mask before a position are a function made of straight pieces; the spans of the
    other mask ask for it at both their ends. All truths stand side by side on one axis, and one
    interpolation (exact: slopes are 0 and 1, values whole) answers for a batch of pairs.
    """
    common = np.zeros(len(of_detection), np.int64)
    order = np.argsort(of_truth, kind="stable")
    work = detections.counts[of_detection[order]] + 1
    batch = (np.cumsum(work) - 1) // _EDGES_AT_ONCE if len(work) else work
    for piece in np.split(order, np.flatnonzero(np.diff(batch)) + 1):
        if len(piece):
            common[piece] = _intersections(detections, truths, of_detection[piece], of_truth[piece])
    return common


def _intersections(
    detections: Spans, truths: Spans, of_detection: np.ndarray, of_truth: np.ndarray
) -> np.ndarray:
    used, slot = np.unique(of_truth, return_inverse=True)
    stride = int(np.prod(truths.size[used], axis=1).max()) + 1
    spans = ragged(truths.first[used], truths.counts[used])
    if not len(spans):
        return np.zeros(len(of_truth), np.int64)
    base = np.repeat(np.arange(len(used)) * stride, truths.counts[used])
    edges = truths.edges[spans] + base[:, None].astype(float)
    ones = np.zeros_like(edges)
    ones[:, 1] = np.cumsum(truths.lengths()[spans])
    ones[1:, 0] = ones[:-1, 1]
    counts = detections.counts[of_detection]
    asking = ragged(detections.first[of_detection], counts)
    asked = np.take(detections.edges, asking, axis=0).reshape(-1)
    asked = asked + np.repeat(slot * float(stride), 2 * counts)
    before = np.interp(asked, edges.reshape(-1), ones.reshape(-1)).reshape(-1, 2)
    inside = (before[:, 1] - before[:, 0]).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])
    return reduce_segments(np.add, inside, first, 0)


def find_overlaps(
    truth: Objects,
    detections: Objects,
    kinds: Sequence[Kind],
    void: Sequence[tuple[int, Mask]] = (),
) -> Overlaps:
    """Compare detections with the truth of the same image and class.

    Args:
        truth, detections: of any images, in any order; ties keep it.
        kinds: what to compare.
        void: image number and the pixels there that are nobody's; detections are then also
            compared with those (masks and boundaries only).

    Raises:
        DataError: masks are to be compared and an object has none, or sizes differ.
    """
    pairs = _Pairs(truth, detections)
    iou: dict[Kind, np.ndarray] = {}
    share: dict[Kind, np.ndarray] = {}
    masked = any(kind != "boxes" for kind in kinds)
    if masked:
        iou["masks"], share["masks"] = pairs.compare_masks()
    if "boxes" in kinds:
        iou["boxes"], share["boxes"] = pairs.compare_boxes()
    least = np.stack([one >= LEAST_IOU for one in iou.values()]).any(axis=0)
    kept = least | (pairs.always & np.stack([one > 0 for one in share.values()]).any(axis=0))
    of_detection, of_truth = pairs.of_detection[kept], pairs.of_truth[kept]
    iou = {kind: values[kept] for kind, values in iou.items()}
    share = {kind: values[kept] for kind, values in share.items()}
    if "boundary" in kinds:
        plain = (iou["masks"] >= LEAST_IOU) & ~truth.crowd[of_truth]
        iou["boundary"] = iou["masks"].copy()
        share["boundary"] = share["masks"]
        iou["boundary"][plain] = np.minimum(
            iou["masks"][plain],
            _band_iou(truth, detections, of_detection[plain], of_truth[plain]),
        )
    areas = {kind: pairs.found_area["boxes" if kind == "boxes" else "masks"] for kind in kinds}
    return Overlaps(
        truth=replace(truth, spans=None, area=pairs.told_area),
        detections=replace(detections, spans=None),
        detection_area=areas,
        void_share=_void_share(detections, void, pairs.found_area) if masked else None,
        of_detection=of_detection,
        of_truth=of_truth,
        iou={kind: iou[kind] for kind in kinds},
        share={kind: share[kind] for kind in kinds},
    )


class _Pairs:
    """Every detection with every truth of its image and class."""

    def __init__(self, truth: Objects, detections: Objects) -> None:
        self.truth, self.detections = truth, detections
        self.of_detection, self.of_truth = _same_image_and_class(truth, detections)
        self.truth_area, self.found_area = truth.measured(), detections.measured()
        measured = self.truth_area.get("masks", self.truth_area["boxes"])
        self.told_area = np.where(np.isnan(truth.area), measured, truth.area)
        can_be_ignored = truth.crowd | (np.minimum(measured, self.told_area) < SMALL_REGION)
        self.always = can_be_ignored[self.of_truth]

    def compare_boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """IoU and share of the boxes of each pair."""
        return box_overlaps(
            self.detections.box_xywh[self.of_detection], self.truth.box_xywh[self.of_truth]
        )

    def compare_masks(self) -> tuple[np.ndarray, np.ndarray]:
        """IoU and share of the masks of each pair; 0 where bounds rule the least IoU out."""
        ours = _spans_of(self.detections, "detection")
        theirs = _spans_of(self.truth, "truth")
        self._check_sizes(ours, theirs)
        d, g = self.of_detection, self.of_truth
        area, truth_area = self.found_area["masks"][d], self.truth_area["masks"][g]
        possible = np.minimum(area, truth_area)
        near = np.flatnonzero((3 * possible >= area + truth_area) | self.always)
        a, b = ours.reach(), theirs.reach()
        window = np.minimum(a[1][d[near]], b[1][g[near]]) - np.maximum(a[0][d[near]], b[0][g[near]])
        most = np.minimum(possible[near], window)
        near = near[(3 * most >= area[near] + truth_area[near]) | (self.always[near] & (most > 0))]
        common = np.zeros(len(d))
        common[near] = mask_intersections(ours, theirs, d[near], g[near])
        return _quotient(common, area + truth_area - common), _quotient(common, area)

    def _check_sizes(self, ours: Spans, theirs: Spans) -> None:
        wrong = (ours.size[self.of_detection] != theirs.size[self.of_truth]).any(axis=1)
        if wrong.any():
            pair = int(np.argmax(wrong))
            d, g = self.of_detection[pair], self.of_truth[pair]
            raise DataError(
                f"image {self.truth.image[g]}: expected masks of one size, got a detection of "
                f"{ours.size[d].tolist()} and truth of {theirs.size[g].tolist()} (height, width); "
                "bring the detection to the size of the truth."
            )


def _same_image_and_class(truth: Objects, detections: Objects) -> tuple[np.ndarray, np.ndarray]:
    # Truths sorted by image and class; each detection finds where its own begin and end.
    both = np.stack(
        [
            np.concatenate([truth.image, detections.image]),
            np.concatenate([truth.class_id, detections.class_id]),
        ]
    )
    _, image = np.unique(both[0], return_inverse=True)
    classes, class_id = np.unique(both[1], return_inverse=True)
    group = image.astype(np.int64) * max(1, len(classes)) + class_id
    of_truths, wanted = group[: len(truth)], group[len(truth) :]
    order = np.argsort(of_truths, kind="stable")
    first = np.searchsorted(of_truths[order], wanted, side="left")
    counts = np.searchsorted(of_truths[order], wanted, side="right") - first
    return np.repeat(np.arange(len(detections)), counts), order[ragged(first, counts)]


def _spans_of(objects: Objects, what: str) -> Spans:
    spans = objects.spans
    if spans is None:
        if len(objects):
            raise DataError(
                f"expected {what}s with masks, got {len(objects)} without any; score boxes instead."
            )
        return Spans.of_masks([])
    lacking = np.flatnonzero(spans.size[:, 0] == 0)
    if len(lacking):
        raise DataError(
            f"expected {what}s with masks, but {len(lacking)} of {len(objects)} have only a box, "
            f"the first in image {objects.image[lacking[0]]}; score boxes instead."
        )
    return spans


def _band_iou(
    truth: Objects, detections: Objects, of_detection: np.ndarray, of_truth: np.ndarray
) -> np.ndarray:
    sides, areas, slots = [], [], []
    for objects, used in ((detections, of_detection), (truth, of_truth)):
        chosen, slot = np.unique(used, return_inverse=True)
        spans = Spans.of_masks([]) if objects.spans is None else objects.spans
        sides.append(boundary_spans(spans, chosen))
        areas.append(sides[-1].areas()[slot])
        slots.append(slot)
    common = mask_intersections(sides[0], sides[1], slots[0], slots[1])
    return _quotient(common, areas[0] + areas[1] - common)


def _void_share(
    detections: Objects, void: Sequence[tuple[int, Mask]], areas: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    if not void or detections.spans is None:
        return None
    numbers = np.array([number for number, _ in void], np.int64)
    order = np.argsort(numbers)
    place = np.minimum(np.searchsorted(numbers[order], detections.image), len(void) - 1)
    found = np.flatnonzero(numbers[order[place]] == detections.image)
    spans = Spans.of_masks([mask for _, mask in void])
    share = np.zeros(len(detections))
    common = mask_intersections(detections.spans, spans, found, order[place[found]])
    share[found] = _quotient(common, areas["masks"][found])
    return share


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    result = np.zeros(len(numerator))
    return np.divide(numerator, denominator, out=result, where=numerator > 0)
