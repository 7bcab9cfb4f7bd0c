"""What annotation tools draw: polygons, boxes, ellipses, stencils; joined to objects.

Corners are pixel edges: (0, 0) is the image's corner, and a pixel is covered where its centre lies
inside, by the rule of the COCO API (`core.polygon`). Shapes are light until their pixels are asked
for, and picklable.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
from PIL import Image

from maskwright.core.errors import DataError
from maskwright.core.image import decode_bytes, open_picture
from maskwright.core.mask import Mask
from maskwright.core.parts import Instance

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixel edges."""

Size = tuple[int, int]
"""(height, width)."""

_FARTHEST = 1e6  # pixels: no image is as wide


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shape:
    """One thing that was drawn.

    Attributes:
        label: the name of its class.
        box_xyxy: around it.
        pixels: (height, width) of the image -> what it covers; None where it is a box only.
        group: shapes of one label and group are one object; None stands alone.
        called: where it stands in the file, for the text of errors.
        score: confidence 0..1, or None.
        crowd: whether it is a group that was not told apart.
        track_id: the object's identity over the frames of a video.
        corners: float64 [N, 2] of a polygon without holes, filled by the COCO API's rule.
        extras: what the file tells of it beside, as `Instance.extras`.
    """

    label: str
    box_xyxy: Box
    pixels: Callable[[Size], Mask] | None = None
    group: object = None
    called: str = "a shape"
    score: float | None = None
    crowd: bool = False
    track_id: int | None = None
    corners: np.ndarray | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


def rectangle(label: str, corners: np.ndarray) -> Shape:
    """A box around corners float64 [N, 2].

    Raises:
        DataError: fewer than two corners, or absurdly far ones.
    """
    return Shape(label=label, box_xyxy=_around(corners, 2))


def polygon(label: str, corners: np.ndarray, holes: Sequence[np.ndarray] = ()) -> Shape:
    """A polygon of corners float64 [N, 2], without its holes.

    Raises:
        DataError: fewer than three corners, or absurdly far ones.
    """
    box = _around(corners, 3)
    plain = None if holes else corners
    pixels = partial(_fill, corners, tuple(holes))
    return Shape(label=label, box_xyxy=box, pixels=pixels, corners=plain)


def ellipse(
    label: str, centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0
) -> Shape:
    """An ellipse (x and y of the centre, the two radii), turned clockwise as seen on the screen.

    Raises:
        DataError: a radius below 0, or one or a centre that is absurdly far.
    """
    if min(radii) < 0 or max(radii) > _FARTHEST:
        raise DataError(f"expected radii of 0 to {_FARTHEST:g} pixels, got {radii}; mend it.")
    turn = math.radians(degrees)
    reach_x = math.hypot(radii[0] * math.cos(turn), radii[1] * math.sin(turn))
    reach_y = math.hypot(radii[0] * math.sin(turn), radii[1] * math.cos(turn))
    corners = np.array(
        [[centre[0] - reach_x, centre[1] - reach_y], [centre[0] + reach_x, centre[1] + reach_y]]
    )
    box = _around(corners, 2)
    return Shape(label=label, box_xyxy=box, pixels=partial(_ellipse, centre, radii, turn, box))


def stencil(label: str, left: int, top: int, size: Size, read: Callable[[], np.ndarray]) -> Shape:
    """Pixels as an image of their own, laid at (left, top).

    Args:
        label: the name of the class.
        left, top: where its first pixel lies.
        size: (height, width) of the stencil.
        read: reads it, late: bool [h, w].
    """
    box = (float(left), float(top), float(left + size[1]), float(top + size[0]))
    return Shape(label=label, box_xyxy=box, pixels=partial(_lay, left, top, size, read))


def turned(box: Box, degrees: float) -> np.ndarray:
    """The corners float64 [4, 2] of a box that is turned clockwise about its centre."""
    left, top, right, bottom = box
    centre = np.array([left + right, top + bottom]) / 2
    turn = math.radians(degrees)
    about = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - centre
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    corners: np.ndarray = about @ matrix + centre
    return corners


def objects_of(
    shapes: Iterable[Shape], class_of: Mapping[str, int], size: Size
) -> tuple[Instance, ...]:
    """The objects of an image: shapes of one label and group are united.

    Where a group has both pixels and plain boxes, the boxes tell the object's box.

    Args:
        shapes: in the order of the file.
        class_of: label -> class id; shapes of other labels are left out.
        size: (height, width) of the image.

    Raises:
        DataError: a shape whose pixels can't be read, naming it.
    """
    groups = _groups(shapes, class_of)
    return tuple(_object(own, class_of[own[0].label], size) for own in groups)


def all_masked(shapes: Iterable[Shape], class_of: Mapping[str, int]) -> bool:
    """Whether every object has pixels; arguments as of `objects_of`."""
    return all(any(shape.pixels is not None for shape in own) for own in _groups(shapes, class_of))


def stencil_of_png(data: bytes, size: Size | None, largest: int) -> np.ndarray:
    """The pixels bool [h, w] that a PNG covers: its alpha where it has one, else all but 0.

    Args:
        data: the file.
        size: (height, width) that it must have, or None.
        largest: the most pixels that it may have; checked before it is decoded.

    Raises:
        DataError: no PNG, or one of another size.
    """
    try:
        with open_picture(io.BytesIO(data)) as picture:
            kind, found = picture.format, (picture.height, picture.width)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        kind, found = None, (0, 0)
    if kind != "PNG":
        raise DataError(f"expected a PNG, got {len(data)} bytes that are none; draw it again.")
    if found[0] * found[1] > largest or (size is not None and found != size):
        wanted = f"{size[0]}x{size[1]}" if size else f"at most {largest} pixels"
        raise DataError(f"expected a PNG of {wanted} (height x width), got {found[0]}x{found[1]}.")
    pixels = decode_bytes(data, cv2.IMREAD_UNCHANGED, "the PNG")
    if pixels.ndim == 3:
        pixels = pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(axis=2)
    covered: np.ndarray = pixels > 0
    return covered


def laid(window: np.ndarray, left: int, top: int, size: Size) -> Mask:
    """The mask of pixels bool [h, w] laid at (left, top); what lies outside is cut off."""
    height, width = window.shape
    pixels = np.zeros(size, np.bool_)
    from_y, from_x = max(0, top), max(0, left)
    to_y, to_x = min(size[0], top + height), min(size[1], left + width)
    if from_y < to_y and from_x < to_x:
        pixels[from_y:to_y, from_x:to_x] = window[
            from_y - top : to_y - top, from_x - left : to_x - left
        ]
    return Mask.encode(pixels)


def _groups(shapes: Iterable[Shape], class_of: Mapping[str, int]) -> list[list[Shape]]:
    groups: dict[object, list[Shape]] = {}
    for number, shape in enumerate(shapes):
        if shape.label in class_of:
            alone = shape.group is None
            key = (number,) if alone else (shape.label, shape.group, shape.track_id)
            groups.setdefault(key, []).append(shape)
    return list(groups.values())


def _around(corners: np.ndarray, least: int) -> Box:
    if len(corners) < least:
        raise DataError(
            f"expected at least {least} corners, got {len(corners)}; draw or remove this shape."
        )
    if np.abs(corners).max() > _FARTHEST:
        raise DataError(
            f"expected corners in pixels of the image, got {np.abs(corners).max():g}; mend it."
        )
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return left, top, right, bottom


def _object(shapes: Sequence[Shape], class_id: int, size: Size) -> Instance:
    masks, boxes = [], []
    for shape in shapes:
        if shape.pixels is None:
            boxes.append(shape.box_xyxy)
            continue
        try:
            masks.append(shape.pixels(size))
        except DataError as error:
            raise DataError(f"{shape.called} ({shape.label}): {error}") from None
    mask = Mask.merge(masks) if masks else None
    if not boxes and mask is not None and mask.area:
        boxes = [mask.box_xyxy]
    edges = np.array(boxes or [shape.box_xyxy for shape in shapes])
    left, top = edges[:, :2].min(axis=0).tolist()
    right, bottom = edges[:, 2:].max(axis=0).tolist()
    return Instance(
        class_id=class_id,
        box_xyxy=(left, top, right, bottom),
        mask=mask,
        score=shapes[0].score,
        crowd=any(shape.crowd for shape in shapes),
        track_id=shapes[0].track_id,
        extras=_extras(shapes),
    )


def _extras(shapes: Sequence[Shape]) -> dict[str, Any]:
    """What is told of the shapes beside, and the polygons that they were drawn as, as COCO's."""
    extras = {key: value for shape in reversed(shapes) for key, value in shape.extras.items()}
    drawn = [shape.corners for shape in shapes if shape.pixels is not None]
    polygons = [corners.ravel().tolist() for corners in drawn if corners is not None]
    if polygons and len(polygons) == len(drawn):
        extras["segmentation"] = polygons
    return extras


def _fill(corners: np.ndarray, holes: tuple[np.ndarray, ...], size: Size) -> Mask:
    outer = Mask.from_polygons([corners], size)
    if not holes:
        return outer
    return Mask.encode(outer.decode() & ~Mask.from_polygons(holes, size).decode())


def _ellipse(
    centre: tuple[float, float], radii: tuple[float, float], turn: float, box: Box, size: Size
) -> Mask:
    pixels = np.zeros(size, np.bool_)
    left, top = (max(0, math.floor(edge)) for edge in box[:2])
    right, bottom = min(size[1], math.ceil(box[2])), min(size[0], math.ceil(box[3]))
    if min(radii) > 0 and left < right and top < bottom:
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        y, x = y - centre[1], x - centre[0]
        along = (x * math.cos(turn) + y * math.sin(turn)) / radii[0]
        across = (y * math.cos(turn) - x * math.sin(turn)) / radii[1]
        pixels[top:bottom, left:right] = along**2 + across**2 <= 1
    return Mask.encode(pixels)


def _lay(left: int, top: int, stated: Size, read: Callable[[], np.ndarray], size: Size) -> Mask:
    if stated[0] > size[0] or stated[1] > size[1]:  # before it takes the memory
        raise DataError(
            f"its pixels are {stated[0]}x{stated[1]} (height x width), more than the image's "
            f"{size[0]}x{size[1]}; draw it again."
        )
    return laid(read(), left, top, size)
