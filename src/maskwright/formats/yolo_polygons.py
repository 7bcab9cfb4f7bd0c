"""Masks <-> the polygons of YOLO rows, all objects of an image together.

The conventions of corners are those of `core.outline`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.mask import Mask
from maskwright.core.mask_lists import (
    boxes_of,
    masks_of_windows,
    spans_runs,
    turned_window,
    windows_of_masks,
)
from maskwright.core.outline import Vertices, fill_centres, outline
from maskwright.core.parts import Instance
from maskwright.core.polygon import crossings_of_polygons
from maskwright.formats.yolo_rows import Row

_CENTRE_SHIFT = 0.05  # pixels
_PIXELS_AT_ONCE = 1 << 22


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PolygonRow:
    """A mask as the numbers of a polygon row.

    Attributes:
        shares: of the image's width and height, float64 [N, 2] with N >= 3.
        iou: of the mask with what a reader of the same convention gets back.
        iou_elsewhere: with what one of the other convention makes of the row.
    """

    shares: np.ndarray
    iou: float
    iou_elsewhere: float


def polygon_rows(masks: Sequence[Mask], vertices: Vertices) -> list[PolygonRow]:
    """Masks of one image, each with at least one pixel, as polygon rows.

    Args:
        masks: of one size.
        vertices: what a corner is to mean. On "centre" a twentieth of a pixel is added, so that
            readers that cut decimals off find the same pixels as those that round.
    """
    found: list[tuple[np.ndarray, float, float]] = []
    shift = _CENTRE_SHIFT if vertices == "centre" else 0.0
    places, sides = [], []
    for mask, (window, left, top) in zip(masks, windows_of_masks(masks)):
        height, width = mask.size
        corners = outline(window, vertices)
        iou = 1.0
        if vertices == "centre":
            area = _area(window)
            iou = area / max(1, _area(window | fill_centres(corners, window.shape)))
        while len(corners) < 3:  # a point or a line: fewer corners would be read as a box
            corners = np.concatenate([corners, corners[-1:]])
        shares = (corners + np.array([left + shift, top + shift])) / np.array([width, height])
        read = shares * np.array([width, height]) - np.array([left, top])
        # One more row and column: a centre fills its pixel.
        size = min(window.shape[0] + 1, height - top), min(window.shape[1] + 1, width - left)
        other = _iou_on_centres(window, read, size) if vertices == "edge" else 1.0
        found.append((shares, iou, other))
        if vertices == "centre":
            places.append((left, top, read))
            sides.append(size)
    others = _ious_on_edges(masks, places, sides) if places else [other for _, _, other in found]
    return [
        PolygonRow(shares=shares, iou=iou, iou_elsewhere=other)
        for (shares, iou, _), other in zip(found, others)
    ]


def _iou_on_centres(window: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> float:
    """The IoU of pixels with those of a polygon whose corners are read as centres.

    Args:
        window: bool [h, w].
        corners: float64 [N, 2] in its pixels.
        size: (height, width) of the window that the polygon is drawn into, from the same corner.
    """
    drawn = fill_centres(np.rint(corners).astype(np.int64), size)
    common = _area(drawn[: window.shape[0], : window.shape[1]] & window)
    return common / max(1, _area(window) + _area(drawn) - common)


def _ious_on_edges(
    masks: Sequence[Mask],
    places: Sequence[tuple[int, int, np.ndarray]],
    sides: Sequence[tuple[int, int]],
) -> list[float]:
    """The IoU of each mask with its polygon whose corners are read as edges of pixels.

    Args:
        masks: of one size, none empty.
        places: left and top of a window of each, and the polygon's corners in it.
        sides: (height, width) of the windows.
    """
    height, width = masks[0].size
    corners = [read for _, _, read in places]
    first = np.append(0, np.cumsum([len(one) for one in corners]))
    whose, column, row = crossings_of_polygons(np.concatenate(corners), first, np.array(sides))
    left, top = np.array([(left, top) for left, top, _ in places], np.int64).T
    # All masks and all polygons on one axis; bit 0 is inside a mask, bit 1 inside a polygon.
    stride = height * width + 1
    runs, begins = spans_runs(masks)
    ends = np.cumsum(runs, dtype=np.int64)
    counts = 2 * np.diff(begins)
    before = np.append(0, ends)[2 * begins[:-1]]
    owner = np.repeat(np.arange(len(masks)), counts)
    edges = ends - np.repeat(before, counts) + owner * stride
    toggles = (column + left[whose]) * height + row + top[whose] + whose * stride
    position = np.concatenate([edges, toggles])
    bits = np.repeat(np.array([1, 2], np.uint8), [len(edges), len(toggles)])
    order = np.argsort(position, kind="stable")
    position = position[order]
    inside = np.bitwise_xor.accumulate(bits[order])
    lengths = np.diff(position, append=position[-1:])
    of_object = np.append(owner, whose)[order]
    common, either = (
        np.bincount(of_object, np.where(kept, lengths, 0), len(masks))
        for kept in (inside == 3, inside != 0)
    )
    return (common / np.maximum(1, either)).tolist()


def read_instances(
    rows: Sequence[Row],
    class_ids: Sequence[int],
    size: tuple[int, int],
    vertices: Vertices | None,
) -> tuple[Instance, ...]:
    """Rows of one image as objects in pixels.

    Args:
        rows: of the file.
        class_ids: of the data set, of each.
        size: (height, width) of the image.
        vertices: what a polygon's corner means; None reads the box around the polygon only.

    Raises:
        DataError: a polygon that can't be filled.
    """
    sides = np.array([size[1], size[0]], np.float64)
    drawn = [one.shares * sides for one in rows if one.is_polygon and vertices is not None]
    if vertices == "edge":
        masks = [Mask.from_polygons([corners], size) for corners in drawn]
    else:
        masks = list(_filled_centres(drawn, size))
    found = iter(zip(masks, boxes_of(masks)))
    instances = []
    for row, class_id in zip(rows, class_ids):
        mask, box = None, _box_of(row, sides)
        if row.is_polygon and vertices is not None:
            mask, box = next(found)
        left, top, right, bottom = box.round(4).tolist()
        instances.append(
            Instance(
                class_id=class_id,
                box_xyxy=(left, top, right, bottom),
                mask=mask,
                score=row.score,
                extras=_extras(row, sides),
            )
        )
    return tuple(instances)


def _box_of(row: Row, sides: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom of a box, or around a polygon's corners."""
    if row.is_polygon:
        low, high = row.shares.min(axis=0), row.shares.max(axis=0)
    else:
        low, high = row.shares[:2] - row.shares[2:] / 2, row.shares[:2] + row.shares[2:] / 2
    return np.concatenate([low * sides, high * sides])


def _extras(row: Row, sides: np.ndarray) -> dict[str, Any]:
    """Key points as COCO states them: x, y in pixels and 0, 1 or 2."""
    if row.keypoints is None:
        return {}
    points = np.hstack([row.keypoints[:, :2] * sides, row.keypoints[:, 2:]]).round(3)
    seen = int((row.keypoints[:, 2] > 0).sum())
    return {"keypoints": points.ravel().tolist(), "num_keypoints": seen}


def _filled_centres(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> Iterator[Mask]:
    """Masks of polygons float64 [N, 2] whose corners are pixels, some at a time."""
    windows: list[np.ndarray] = []
    corners: list[tuple[int, int]] = []
    pixels = 0
    for polygon in polygons:
        points = np.rint(polygon).astype(np.int64)
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        if left < 0 or top < 0 or right >= size[1] or bottom >= size[0]:
            left, top, right, bottom = 0, 0, size[1] - 1, size[0] - 1
        box = bottom - top + 1, right - left + 1
        windows.append(turned_window(fill_centres(points - np.array([left, top]), box)))
        corners.append((left, top))
        pixels += box[0] * box[1]
        if pixels > _PIXELS_AT_ONCE:
            yield from masks_of_windows(windows, corners, size)
            windows, corners, pixels = [], [], 0
    yield from masks_of_windows(windows, corners, size)


def _area(pixels: np.ndarray) -> int:
    return int(np.count_nonzero(pixels))
