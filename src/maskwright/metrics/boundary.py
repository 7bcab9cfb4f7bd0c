"""Boundary IoU: the IoU of the bands inside two masks' outlines.

Reference: B. Cheng, R. Girshick, P. Dollar, A. C. Berg, A. Kirillov, "Boundary IoU: Improving
Object-Centric Image Segmentation Evaluation", CVPR 2021, section 4, equation 2: the pixels of a
mask within distance d of its contour, d being 2 % of the image's diagonal. As the paper computes
it, the band is the mask minus its erosion by a 3x3 square, d times, after zeros are put around the
image: the image's border is an outline too.

A large mask has most pixels far from its outline, so that IoU forgives a sloppy one; the band
doesn't. A mask thinner than 2 d is its own band: there boundary IoU is IoU.

The policies, beside those of `metrics.overlap`:

* Void pixels of the truth, and pixels of ignored classes, are cut out of both masks before the
  bands are drawn. The edge of the hole is then an outline of both, like the image's border: a
  perfect prediction scores 1, and nothing inside the hole counts.
* A labelled pixel predicted as no class belongs to no mask.
* The semantic score sums each class's counts over the images before it divides.

Legend: K classes, H W height and width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.mask import Mask
from maskwright.core.mask_lists import bounds_of_spans, paint_windows
from maskwright.metrics.accumulator import Accumulator
from maskwright.metrics.boundary_columns import bands_of_columns, lie_in_columns
from maskwright.metrics.maps import check_settings, class_maps
from maskwright.metrics.objects import Spans, ragged
from maskwright.metrics.overlap import OverlapScores, count_overlaps, overlap_scores

RATIO = 0.02
"""Width of the band as a share of the image's diagonal (section 4 of the paper)."""

_WORK_AT_ONCE = 1 << 18  # pixels, or stretches
_SQUARE = np.ones((3, 3), np.uint8)


def boundary_width(size: tuple[int, int], ratio: float = RATIO) -> int:
    """The band's width d in pixels: `ratio` of the diagonal, rounded, at least 1.

    Args:
        size: (height, width) of the image.
        ratio: share of the diagonal, above 0.

    Raises:
        ConfigError: the ratio isn't a positive number.
    """
    if not 0 < ratio < math.inf:
        raise ConfigError(
            f"expected a share of the diagonal above 0, such as {RATIO}, got {ratio}."
        )
    return max(1, round(ratio * math.hypot(*size)))


def boundary_band(ids_HW: np.ndarray, width: int) -> np.ndarray:
    """bool [H, W]: the pixels within `width` of the outline of the region they belong to.

    Distance is the chessboard's: a pixel is in the band if the square of 2 width + 1 pixels around
    it reaches another region, a 0, or leaves the image.

    Args:
        ids_HW: a mask, bool or uint8; or a map of regions, uint8 or uint16. 0 is outside: no band.
        width: d, as `boundary_width` tells; 1 or more.

    Raises:
        ConfigError: a width below 1.
    """
    if width < 1:
        raise ConfigError(f"expected a band of 1 pixel or more, got {width}.")
    if not ids_HW.size:
        return np.zeros(ids_HW.shape, np.bool_)
    ids = np.ascontiguousarray(ids_HW).view(np.uint8) if ids_HW.dtype == np.bool_ else ids_HW
    padded = cv2.copyMakeBorder(ids, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    lowest, highest = (
        each(padded, _SQUARE, iterations=width)[1:-1, 1:-1] for each in (cv2.erode, cv2.dilate)
    )
    return ((lowest != ids) | (highest != ids)) & (ids != 0)


def boundary_mask(mask: Mask, ratio: float = RATIO) -> Mask:
    """The band of an object's mask: what boundary AP matches beside the whole masks.

    Args:
        mask: of the whole image.
        ratio: the band's width as a share of the image's diagonal.

    Raises:
        ConfigError: the ratio isn't positive.
    """
    width = boundary_width(mask.size, ratio)
    left, top, right, bottom = (int(edge) for edge in mask.box_xyxy)
    if left == right:
        return mask
    band = boundary_band(mask.crop((left, top, right, bottom)).decode(), width)
    columns = np.pad(band.T, ((0, 0), (1, 1)))
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    toggles = (left + column) * mask.size[0] + top + row
    runs = np.diff(toggles, prepend=0, append=mask.size[0] * mask.size[1])
    return Mask.from_runs(runs, mask.size)


def boundary_spans(spans: Spans, chosen: np.ndarray, ratio: float = RATIO) -> Spans:
    """The bands of many masks: the pixels of `boundary_mask` of each, found together.

    Most are found by the ends of their stretches (`boundary_columns`), those whose stretches reach
    around the ends of columns or leave columns free by their pixels.

    Args:
        spans: masks.
        chosen: int64 [N], which of them.
        ratio: as of `boundary_mask`.

    Returns:
        N bands; where one stretch ends, the next may begin.
    """
    counts = spans.counts[chosen]
    filled = np.flatnonzero(counts)
    if not len(filled):
        return Spans(
            edges=spans.edges[:0],
            first=np.zeros(len(chosen) + 1, np.int64),
            size=spans.size[chosen],
        )
    sizes = spans.size[chosen[filled]]
    own = spans.edges[ragged(spans.first[chosen[filled]], counts[filled])].astype(np.int64)
    first = np.append(0, np.cumsum(counts[filled]))
    boxes = bounds_of_spans(own, first, sizes[:, 0])
    sides = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]])
    reach = _widths(sizes, ratio)
    thin = sides.min(axis=0) <= 2 * reach  # they are their own bands
    pixels = sides[0] * (sides[1] + 1)
    grown = np.maximum(0, counts[filled] - sides[0]) * (4 * reach + 1)  # of gaps, at most
    fitting = lie_in_columns(own, first, sizes[:, 0]) & (grown <= pixels)
    ways = ((fitting, counts[filled] + grown, bands_of_columns), (~fitting, pixels, _painted_bands))
    found, parts = counts.copy(), [(filled[thin], own[np.repeat(thin, counts[filled])])]
    for which, work, bands_of in ways:
        for some in _batches(np.flatnonzero(which & ~thin), work):
            of_each = counts[filled[some]]
            stretches = own[ragged(first[some], of_each)]
            bands, found[filled[some]] = bands_of(stretches, of_each, sizes[some, 0], reach[some])
            parts.append((filled[some], bands))
    edges = np.empty((found.sum(), 2), spans.edges.dtype)
    begins = np.append(0, np.cumsum(found))
    for places, bands in parts:
        edges[ragged(begins[places], found[places])] = bands
    return Spans(edges=edges, first=begins, size=spans.size[chosen])


def _widths(sizes: np.ndarray, ratio: float) -> np.ndarray:
    """int64 [N]: `boundary_width` of images of these sizes [N, 2]."""
    codes, inverse = np.unique(sizes[:, 0] << 32 | sizes[:, 1], return_inverse=True)
    known = [boundary_width((code >> 32, code & 0xFFFFFFFF), ratio) for code in codes.tolist()]
    return np.array(known, np.int64)[inverse]


def _batches(which: np.ndarray, work: np.ndarray) -> list[np.ndarray]:
    """Some of N masks in parts, none empty, whose work stays bounded."""
    part = (np.cumsum(work[which]) - 1) // _WORK_AT_ONCE
    return np.split(which, np.flatnonzero(np.diff(part)) + 1) if len(which) else []


def _painted_bands(
    edges: np.ndarray, counts: np.ndarray, heights: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As `bands_of_columns`, of any masks, by their pixels."""
    boxes = bounds_of_spans(edges, np.append(0, np.cumsum(counts)), heights)
    painted, begins = paint_windows(edges, counts, boxes, heights)
    widths, steps = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1] + 1
    squares = {one: np.ones((2 * one + 1, 2 * one + 1), np.uint8) for one in set(reach.tolist())}
    windows = zip(begins.tolist(), begins[1:].tolist(), widths.tolist(), steps.tolist())
    for (low, high, width, height), one in zip(windows, reach.tolist()):
        window, square = painted[low:high].reshape(width, height), squares[one]
        window[:, -1] = 0
        inner = cv2.erode(window, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        cv2.subtract(window, inner, window)
    changes = np.flatnonzero(painted[1:] != painted[:-1]) + 1
    if painted[0]:
        changes = np.append(0, changes)
    of_each = np.diff(np.searchsorted(changes, begins))
    whose = np.repeat(np.arange(len(widths)), of_each)
    column, row = np.divmod(changes - begins[whose], steps[whose])
    moved = (column + boxes[whose, 0]) * heights[whose] + row + boxes[whose, 1]
    return moved.reshape(-1, 2), of_each // 2


def boundary_iou(first_HW: np.ndarray, second_HW: np.ndarray, ratio: float = RATIO) -> float:
    """Boundary IoU of two masks of one image, 0..1; 0 where both are empty.

    Boundary AP uses the smaller one of this and the IoU of the whole masks (section 5 of the
    paper), so that a band can't match where the masks don't.

    Args:
        first_HW: bool or uint8 [H, W], the whole image.
        second_HW: the same size.
        ratio: the band's width as a share of the diagonal.

    Raises:
        DataError: sizes that differ.
        ConfigError: the ratio isn't positive.
    """
    if first_HW.shape != second_HW.shape or first_HW.ndim != 2:
        raise DataError(
            "expected two masks [height, width] of one image, got "
            f"{first_HW.shape} and {second_HW.shape}."
        )
    width = boundary_width((first_HW.shape[0], first_HW.shape[1]), ratio)
    bands = [boundary_band(mask != 0, width) for mask in (first_HW, second_HW)]
    either = int(np.count_nonzero(bands[0] | bands[1]))
    return int(np.count_nonzero(bands[0] & bands[1])) / max(1, either)


def boundary_overlaps(
    truth_HW: np.ndarray,
    prediction_HW: np.ndarray,
    classes: int,
    void: int = 255,
    *,
    ratio: float = RATIO,
    ignore: Collection[int] = (),
) -> np.ndarray:
    """Count one image's band pixels by class.

    Args:
        truth_HW: integer class ids 0..K-1, or `void`.
        prediction_HW: integer class ids of the same size; anything outside 0..K-1 is no class.
        classes: K.
        void: the id of unlabelled pixels, outside 0..K-1.
        ratio: the band's width as a share of the diagonal.
        ignore: class ids that are treated as void.

    Returns:
        int64 [K, 3]: band pixels in both, in the truth, in the prediction.

    Raises:
        DataError: sizes differ, the ids aren't integers, or the truth holds an id out of range.
        ConfigError: `void` is the id of a class, an ignored id is none, or the ratio isn't
            positive.
    """
    truth, prediction = class_maps(truth_HW, prediction_HW, classes, void, ignore)
    width = boundary_width((truth.shape[0], truth.shape[1]), ratio)
    bands = [np.where(boundary_band(ids, width), ids, 0) for ids in (truth, prediction)]
    return count_overlaps(bands[0], bands[1], classes)


class BoundaryIou(Accumulator):
    """Adds up images; a thin layer over `boundary_overlaps` and `overlap_scores`.

    Args:
        classes: K.
        void: the id of unlabelled pixels.
        ratio: the band's width as a share of each image's diagonal.
        ignore: class ids that are treated as void.

    Attributes:
        counts: int64 [K, 3], all images so far.
    """

    def __init__(
        self,
        classes: int,
        void: int = 255,
        *,
        ratio: float = RATIO,
        ignore: Collection[int] = (),
    ) -> None:
        check_settings(classes, void, ignore)
        boundary_width((1, 1), ratio)
        super().__init__(np.zeros((classes, 3), np.int64))
        self.classes = classes
        self.void = void
        self.ratio = ratio
        self.ignore = frozenset(ignore)

    def update(self, truth_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
        """Add one image; on an error nothing is added."""
        self.counts += boundary_overlaps(
            truth_HW,
            prediction_HW,
            self.classes,
            self.void,
            ratio=self.ratio,
            ignore=self.ignore,
        )

    def scores(self, names: Sequence[str] | None = None) -> OverlapScores:
        """Scores so far; without names the classes are called by their ids."""
        chosen = [str(i) for i in range(self.classes)] if names is None else names
        return overlap_scores(self.counts, chosen, self.ignore)
