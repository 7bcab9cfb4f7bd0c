"""Where the pixels of an example go: scale, crop, mirror, turn, tilt; all truth goes along.

Coordinates run along pixel edges: the pixel in column x covers x .. x + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from maskwright.core.resize import Resize, resize_nearest
from maskwright.data.derived import move_made
from maskwright.data.example import Example

FILL = 114
"""Of 0..255: the grey beyond the image's edges, as in the letterbox of `core.resize`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Where an example's pixels go, drawn once for all that must go together.

    Attributes:
        scaled: (height, width) that the image is scaled to.
        window: (top, left) of what is cut out of it; negative where it is smaller.
        size: (height, width) of what is cut out.
        warp: float64 [3, 3], a homography from what is cut out to the scaled image, along pixel
            edges, in the place of a plain window; None leaves it out.
        mirror: whether left and right change places.
    """

    scaled: tuple[int, int]
    window: tuple[int, int]
    size: tuple[int, int]
    warp: np.ndarray | None = None
    mirror: bool = False


def place(example: Example, placement: Placement) -> Example:
    """Scale, cut out, mirror."""
    found = rescale(example, placement.scaled)
    if placement.warp is None:
        found = crop(found, placement.window, placement.size)
    else:
        found = warp(found, placement.warp, placement.size)
    return flip(found) if placement.mirror else found


def rescale(example: Example, size: tuple[int, int]) -> Example:
    """Resize an example: the image by area or bilinear, ids by nearest neighbour."""
    resize = Resize(size=size)
    factor = np.array([size[1] / example.size[1], size[0] / example.size[0]] * 2, np.float32)
    scaled = example.map_ids(
        lambda image: resize.apply(image)[0].reshape(*size, -1),
        lambda ids: resize_nearest(ids, size),
    )
    made = move_made(
        example.made,
        lambda plane: cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR),
        lambda ids: resize_nearest(ids, size),
        growth=float(np.sqrt(factor[0] * factor[1])),
    )
    return replace(scaled, boxes=example.boxes * factor, made=made)


def crop(example: Example, window: tuple[int, int], size: tuple[int, int]) -> Example:
    """Cut out (top, left) .. + size; beyond the image there is grey, void and no mask.

    The box of an object that is cut is that of what is left of its mask; where there is no mask,
    what is left of the box.
    """
    (top, left), (height, width) = window, size

    def cut(pixels: np.ndarray, fill: float) -> np.ndarray:
        result = np.full((height, width, *pixels.shape[2:]), fill, pixels.dtype)
        have = pixels[max(top, 0) : top + height, max(left, 0) : left + width]
        y, x = max(-top, 0), max(-left, 0)
        result[y : y + have.shape[0], x : x + have.shape[1]] = have
        return result

    low = np.array([left, top, left, top], np.float32)
    return _with_boxes(
        replace(
            example,
            image=cut(example.image, fill_of(example.image)),
            class_map=None if example.class_map is None else cut(example.class_map, example.void),
            masks=_map_masks(example, lambda mask: cut(mask, 0)),
            made=move_made(
                example.made,
                lambda plane: _cut_values(plane, window, size),
                lambda ids: cut(ids, 0),
            ),
        ),
        example.boxes - low,
    )


def warp(example: Example, matrix: np.ndarray, size: tuple[int, int]) -> Example:
    """Cut out by a homography; beyond the image there is grey, void and no mask.

    The box of an object is that of what is left of its mask; where there is no mask, that of its
    four corners, where they come to lie.

    Args:
        example: the source.
        matrix: float64 [3, 3], from the result to the source, along pixel edges.
        size: (height, width) of the result.
    """
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centres = np.linalg.inv(half) @ matrix @ half  # OpenCV counts from the middle of pixels

    def cut(pixels: np.ndarray, fill: float, how: int) -> np.ndarray:
        return cv2.warpPerspective(
            pixels, centres, size[::-1], flags=how | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(fill,) * 4,
        ).reshape(*size, *pixels.shape[2:])  # fmt: skip

    def ids(pixels: np.ndarray, fill: int) -> np.ndarray:
        return cut(pixels, fill, cv2.INTER_NEAREST)

    def values(plane: np.ndarray) -> np.ndarray:
        return cv2.warpPerspective(
            plane, centres, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip

    image = np.stack(
        [
            cut(np.ascontiguousarray(plane), fill_of(example.image), cv2.INTER_LINEAR)
            for plane in np.moveaxis(example.image, 2, 0)
        ],
        axis=2,
    )
    moved = replace(
        example,
        image=image,
        class_map=None if example.class_map is None else ids(example.class_map, example.void),
        masks=_map_masks(example, lambda mask: ids(mask, 0)),
        made=move_made(
            example.made, values, lambda plane: ids(plane, 0), growth=_growth(matrix, size)
        ),
    )
    return _with_boxes(moved, _moved_boxes(example.boxes, np.linalg.inv(matrix)), exact=False)


def flip(example: Example, upside_down: bool = False) -> Example:
    """Mirror left-right, or up-down."""
    height, width = example.size

    def mirrored(pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(pixels[::-1] if upside_down else pixels[:, ::-1])

    found = example.map_ids(mirrored, mirrored)
    x1, y1, x2, y2 = example.boxes.T
    sides = (x1, height - y2, x2, height - y1) if upside_down else (width - x2, y1, width - x1, y2)
    return replace(
        found,
        boxes=np.stack(sides, axis=1),
        made=move_made(example.made, mirrored, mirrored),
    )


def fill_of(image: np.ndarray) -> int:
    """The value beyond an image's edges: the same grey at every depth."""
    return FILL if image.dtype == np.uint8 else FILL * 257


def _with_boxes(example: Example, whole: np.ndarray, exact: bool = True) -> Example:
    """The example with boxes, cut at its edges, or those of what is left of their masks.

    Args:
        example: with its masks cut already.
        whole: float32 [N, 4], in its pixels, beyond its edges too.
        exact: whether boxes that lie within the edges may stay as they are.
    """
    height, width = example.size
    boxes = np.clip(whole, 0, np.array([width, height, width, height], np.float32))
    changed = (boxes != whole).any(axis=1) | (not exact)
    for number in np.flatnonzero(changed & example.has_mask):
        boxes[number] = box_of((example.masks or ())[number])
    return replace(example, boxes=boxes.astype(np.float32, copy=False))


def box_of(mask: np.ndarray | None) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of the pixels that are set; zeros where none is."""
    if mask is None:
        return 0, 0, 0, 0
    left, top, width, height = cv2.boundingRect(mask)
    return left, top, left + width, top + height


def _map_masks(
    example: Example, change: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray | None, ...] | None:
    if example.masks is None:
        return None
    return tuple(None if mask is None else change(mask) for mask in example.masks)


def _cut_values(plane: np.ndarray, window: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Cut out of a map of values; beyond its edges they go on as at the edge."""
    rows = np.clip(np.arange(window[0], window[0] + size[0]), 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(window[1], window[1] + size[1]), 0, plane.shape[1] - 1)
    return np.ascontiguousarray(plane[rows[:, None], columns])


def _moved_boxes(boxes_N4: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The boxes around four moved corners each."""
    if not len(boxes_N4):
        return boxes_N4
    x1, y1, x2, y2 = boxes_N4.T.astype(np.float64)
    corners_N42 = np.stack([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]).transpose(2, 0, 1)
    moved_N42 = cv2.perspectiveTransform(corners_N42.reshape(1, -1, 2), matrix).reshape(-1, 4, 2)
    return np.concatenate([moved_N42.min(axis=1), moved_N42.max(axis=1)], axis=1).astype(np.float32)


def _growth(matrix: np.ndarray, size: tuple[int, int]) -> float:
    """How many times as long a line is in the result as in the source, at its middle."""
    x, y = size[1] / 2, size[0] / 2
    near = np.array([[x, y], [x + 1, y], [x, y + 1]], np.float64).reshape(1, -1, 2)
    middle, right, below = cv2.perspectiveTransform(near, matrix)[0]
    area = abs(np.linalg.det(np.stack([right - middle, below - middle])))
    return float(1 / np.sqrt(max(area, 1e-12)))


def turned(
    window: tuple[int, int], size: tuple[int, int], angle: float, tilt: Mapping[str, float]
) -> np.ndarray:
    """The homography from a crop to the scaled image, turned and tilted about the crop's middle.

    Args:
        window: (top, left) of the crop in the scaled image.
        size: (height, width) of the crop.
        angle: degrees, clockwise as one sees the image.
        tilt: "x", "y": how much nearer the right (bottom) side comes than the left (top) one, as a
            share of the distance; -1 < tilt < 1.
    """
    height, width = size
    to_middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    tilted = np.eye(3)
    tilted[2, :2] = tilt["x"] / width, tilt["y"] / height
    back = np.array([[1, 0, width / 2 + window[1]], [0, 1, height / 2 + window[0]], [0, 0, 1]])
    return back @ tilted @ turn @ to_middle
