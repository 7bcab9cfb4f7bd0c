"""Where the pixels of an example go: scale, crop, turn, tilt, mirror; all truth goes along.

Coordinates run along pixel edges: the pixel in column x covers x .. x + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from maskwright.core.pixels import RGB
from maskwright.core.resize import Border, Resize, mirrored
from maskwright.data.derived import DERIVED
from maskwright.data.example import Example
from maskwright.losses.targets import Need

FILL = RGB.grey
"""Of 0..255: the grey beyond the image's edges, as in the letterbox of `core.resize`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Where an example's pixels go, drawn once for all that must go together.

    Attributes:
        scaled: (height, width) that the image is scaled to.
        window: (top, left) of what is cut out of it; negative where it begins before the image.
        size: (height, width) of what is cut out.
        warp: float64 [3, 3], a homography from what is cut out to the scaled image, along pixel
            edges, in the place of a plain window; None leaves it out.
        border: what an image shows beyond its edges: see `core.Resize.border`. Ids are void there.
        mirror: whether left and right change places, after that.
        upside_down: whether top and bottom do.
    """

    scaled: tuple[int, int]
    window: tuple[int, int]
    size: tuple[int, int]
    warp: np.ndarray | None = None
    border: Border = "fill"
    mirror: bool = False
    upside_down: bool = False


def place(example: Example, placement: Placement) -> Example:
    """Scale, cut out, mirror."""
    if placement.warp is None:
        found = crop(example, placement.window, placement.size, placement.scaled, placement.border)
    else:
        found = warp(example, placement.warp, placement.size, placement.scaled, placement.border)
    if placement.mirror:
        found = flip(found)
    return flip(found, upside_down=True) if placement.upside_down else found


def crop(
    example: Example,
    window: tuple[int, int],
    size: tuple[int, int],
    scaled: tuple[int, int] | None = None,
    border: Border = "fill",
) -> Example:
    """Scale an example and cut a window out; beyond the image there is grey, void and no mask.

    The image is scaled by area or bilinear, ids by nearest neighbour, as `core.resize` does. The
    box of an object that is cut is that of what is left of its mask; where there is no mask, what
    is left of the box.

    Args:
        example: the source.
        window: (top, left) in the scaled image; negative where it begins before it.
        size: (height, width) of the window.
        scaled: (height, width) that the image is scaled to; None leaves it as it is.
        border: "mirror" for the image turned over at its edges in the place of grey.
    """
    (top, left), scaled = window, scaled or example.size
    y, x = max(top, 0), max(left, 0)
    rows, columns = (
        np.arange(max(start, 0), max(0, min(start + length, end)))
        for start, length, end in zip(window, size, scaled)
    )
    inner = slice(y - top, y - top + len(rows)), slice(x - left, x - left + len(columns))
    own_rows = nearest_pixels(rows, example.size[0], scaled[0])
    own_columns = nearest_pixels(columns, example.size[1], scaled[1])

    def cut(pixels: np.ndarray, fill: int) -> np.ndarray:
        result = np.full((*size, *pixels.shape[2:]), fill, pixels.dtype)
        result[inner] = pixels
        return result

    def ids(pixels: np.ndarray, fill: int) -> np.ndarray:
        return cut(_gather(pixels, own_rows, own_columns), fill)

    image = _scaled_image(example, scaled)
    if border == "mirror" and (len(rows), len(columns)) != size:
        shown = [mirrored(np.arange(*span), end) for span, end in
                 zip(((top, top + size[0]), (left, left + size[1])), scaled)]  # fmt: skip
        image = image.take(shown[0], axis=0).take(shown[1], axis=1)
    else:
        image = cut(image[y : y + len(rows), x : x + len(columns)], example.pixels.grey)
    factor = np.array([scaled[1] / example.size[1], scaled[0] / example.size[0]] * 2)
    whole = example.boxes * factor.astype(np.float32) - np.array([left, top] * 2, np.float32)
    boxes = np.clip(whole, 0, np.array(size[::-1] * 2, np.float32))
    masks = example.map_masks(lambda mask: ids(mask, 0))
    _take_boxes(boxes, masks, (boxes != whole).any(axis=1))
    return replace(
        example,
        image=image,
        class_map=None if example.class_map is None else ids(example.class_map, example.void),
        boxes=boxes,
        masks=masks,
        made=_move_made(example, _to_source(example, scaled) @ _shift(left, top), size),
    )


def warp(
    example: Example,
    matrix: np.ndarray,
    size: tuple[int, int],
    scaled: tuple[int, int] | None = None,
    border: Border = "fill",
) -> Example:
    """Scale an example and cut out by a homography; beyond the image there is grey, void, no mask.

    The box of an object is that of what is left of its mask; where there is no mask, that around
    what is left of its box, as it comes to lie.

    Args:
        example: the source.
        matrix: float64 [3, 3], from the result to the scaled image, along pixel edges.
        size: (height, width) of the result.
        scaled: (height, width) that the image is scaled to; None leaves it as it is.
        border: as of `crop`.
    """
    scaled = scaled or example.size
    to_source = _to_source(example, scaled) @ matrix

    def ids(pixels: np.ndarray, fill: int) -> np.ndarray:
        return _warp(pixels, to_source, size, cv2.INTER_NEAREST, fill)

    image, fill = _scaled_image(example, scaled), example.pixels.grey
    if image.shape[2] <= 4:
        image = _warp(image, matrix, size, cv2.INTER_LINEAR, fill, border)
    else:  # more than OpenCV takes
        planes = [np.ascontiguousarray(image[..., i]) for i in range(image.shape[2])]
        planes = [_warp(plane, matrix, size, cv2.INTER_LINEAR, fill, border) for plane in planes]
        image = np.stack(planes, axis=2)
    boxes = example.boxes.copy()
    for number in np.flatnonzero(~example.has_mask):
        boxes[number] = _moved_box(example.boxes[number], np.linalg.inv(to_source), size)
    masks = example.map_masks(lambda mask: ids(mask, 0))
    _take_boxes(boxes, masks, np.ones(len(boxes), bool))
    return replace(
        example,
        image=image.reshape(*size, -1),
        class_map=None if example.class_map is None else ids(example.class_map, example.void),
        boxes=boxes,
        masks=masks,
        made=_move_made(example, to_source, size),
    )


def flip(example: Example, upside_down: bool = False) -> Example:
    """Mirror left-right, or up-down."""
    height, width = example.size

    def mirrored(pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(pixels[::-1] if upside_down else pixels[:, ::-1])

    x1, y1, x2, y2 = example.boxes.T
    sides = (x1, height - y2, x2, height - y1) if upside_down else (width - x2, y1, width - x1, y2)
    return replace(
        example,
        image=mirrored(example.image),
        class_map=None if example.class_map is None else mirrored(example.class_map),
        boxes=np.stack(sides, axis=1),
        masks=example.map_masks(mirrored),
        made={
            need: np.stack([mirrored(plane) for plane in array])
            for need, array in example.made.items()
            if DERIVED[need.name].when == "sample"
        },
    )


def turned(
    window: tuple[int, int], size: tuple[int, int], angle: float, tilt: Mapping[str, float]
) -> np.ndarray:
    """The homography from a crop to the scaled image, turned and tilted about the crop's middle.

    Args:
        window: (top, left) of the crop in the scaled image.
        size: (height, width) of the crop.
        angle: degrees by which the image is turned, clockwise as one sees it.
        tilt: "x", "y": how much nearer the crop's right (bottom) side comes than its left (top)
            one, as a share of the distance; -1 < tilt < 1.
    """
    height, width = size
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    # Tilted as it will be seen, before it is turned back: so the horizon stays out of the crop.
    tilted = np.eye(3)
    tilted[2, :2] = tilt["x"] / width, tilt["y"] / height
    back = _shift(width / 2 + window[1], height / 2 + window[0])
    return back @ turn @ tilted @ _shift(-width / 2, -height / 2)


def nearest_pixels(numbers: np.ndarray, source: int, scaled: int) -> np.ndarray:
    """Which of `source` pixels in a line each of these of `scaled` shows; as `resize_nearest`."""
    return (2 * numbers + 1) * source // (2 * scaled)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of the pixels that are set; zeros where none is."""
    left, top, width, height = cv2.boundingRect(mask)
    return left, top, left + width, top + height


def _take_boxes(
    boxes: np.ndarray, masks: tuple[np.ndarray | None, ...] | None, wanted: np.ndarray
) -> None:
    """Write the boxes of the masks that are known over those that are wanted."""
    for number, mask in enumerate(masks or ()):
        if wanted[number] and mask is not None:
            boxes[number] = box_of(mask)


def _gather(ids: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    if not len(rows) or not len(columns):
        return np.zeros((len(rows), len(columns)), ids.dtype)
    # Whole rows are read, twice: several times faster than single pixels.
    turned_ids = cv2.transpose(ids.take(rows, axis=0))
    return cv2.transpose(turned_ids.take(columns, axis=0))


def _scaled_image(example: Example, scaled: tuple[int, int]) -> np.ndarray:
    return Resize(size=scaled).apply(example.image)[0].reshape(*scaled, -1)


def _to_source(example: Example, scaled: tuple[int, int]) -> np.ndarray:
    """From the scaled image's pixels to the example's own, along pixel edges."""
    return np.diag([example.size[1] / scaled[1], example.size[0] / scaled[0], 1.0])


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _warp(
    pixels: np.ndarray,
    matrix: np.ndarray,
    size: tuple[int, int],
    how: int,
    fill: int | None,
    border: Border = "fill",
) -> np.ndarray:
    """Cut out by a homography along pixel edges; without a fill, edges go on beyond."""
    beyond = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    if border == "mirror":
        beyond = cv2.BORDER_REFLECT_101
    centres = _shift(-0.5, -0.5) @ matrix @ _shift(0.5, 0.5)  # OpenCV counts from pixels' middles
    return cv2.warpPerspective(
        pixels,
        centres,
        size[::-1],
        flags=how | cv2.WARP_INVERSE_MAP,
        borderMode=beyond,
        borderValue=(fill or 0,) * 4,
    )


def _move_made(
    example: Example, to_source: np.ndarray, size: tuple[int, int]
) -> dict[Need, np.ndarray]:
    """What was made of the whole image, where it comes to lie; distances grow as the image does.

    What is made of each crop is left out: to be made anew.
    """
    growth = np.float32(_growth(to_source, size))
    return {
        need: growth
        * np.stack([_warp(plane, to_source, size, cv2.INTER_LINEAR, None) for plane in array])
        for need, array in example.made.items()
        if DERIVED[need.name].when == "sample"
    }


def _growth(to_source: np.ndarray, size: tuple[int, int]) -> float:
    """How many times as long a line is in the result as in the source, at its middle."""
    x, y = size[1] / 2, size[0] / 2
    near = np.array([[x, y], [x + 1, y], [x, y + 1]], np.float64).reshape(1, -1, 2)
    middle, right, below = cv2.perspectiveTransform(near, to_source)[0]
    area = abs(np.linalg.det(np.stack([right - middle, below - middle])))
    return float(1 / np.sqrt(max(area, 1e-12)))


def _moved_box(
    box: np.ndarray, from_source: np.ndarray, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The box around what is left of a box, within the result; zeros where nothing is.

    The four corners are cut in homogeneous coordinates, by one side of the result after another:
    what lies beyond the horizon has no place.
    """
    x1, y1, x2, y2 = box.astype(np.float64)
    corners = from_source @ np.array([[x1, x2, x2, x1], [y1, y1, y2, y2], [1, 1, 1, 1]])
    points = list(corners.T)
    for side in ((1, 0, 0), (0, 1, 0), (-1, 0, size[1]), (0, -1, size[0])):
        points = _cut_polygon(points, np.array(side, np.float64))
    points = [point for point in points if point[2] > 0]
    if not points:
        return 0.0, 0.0, 0.0, 0.0
    xs, ys = zip(*(point[:2] / point[2] for point in points))
    return min(xs), min(ys), max(xs), max(ys)


def _cut_polygon(points: list[np.ndarray], side: np.ndarray) -> list[np.ndarray]:
    """What of a polygon lies on the inner side, where the product is not negative."""
    left: list[np.ndarray] = []
    for one, other in zip(points, points[1:] + points[:1]):
        here, there = float(side @ one), float(side @ other)
        if here >= 0:
            left.append(one)
        if (here >= 0) != (there >= 0):
            left.append(one + (other - one) * (here / (here - there)))
    return left
