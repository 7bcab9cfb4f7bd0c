"""Drawing what is in an image: overlays and palette PNGs.

Every picture is uint8 RGB [H, W, 3]. The panels of `core.panels` can be had from here too.
"""

from __future__ import annotations

import colorsys
import io

import cv2
import numpy as np
from PIL import Image

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.core.image import encode_png
from maskwright.core.panels import contact_sheet, legend, side_by_side
from maskwright.core.segmentation import Instance, Segmentation
from maskwright.core.text import chip_size, put_chip

__all__ = [
    "contact_sheet",
    "index_png",
    "instance_colour",
    "legend",
    "overlay",
    "side_by_side",
    "void_colour",
]

_SMALLEST_LABELLED = 120  # pixels; on smaller pictures a label would hide what it names
Rectangle = tuple[int, int, int, int]


def overlay(
    image: np.ndarray,
    segmentation: Segmentation,
    opacity: float = 0.5,
    outline: bool = True,
    labels: bool = True,
) -> np.ndarray:
    """Draw a segmentation on its image; the image itself is left as it is.

    Class maps tint their pixels (void stays untouched); objects lie above them, the smaller above
    the larger, each in a shade of its class; panoptic segments are drawn where there is no other
    form. Labels that would cover one another are left out, the least confident first.

    Args:
        image: uint8 RGB [H, W, 3] of the segmentation's size.
        segmentation: what to draw.
        opacity: of the tint, 0 (none) to 1 (the image is hidden).
        outline: trace regions and masks, and draw the boxes of objects without a mask.
        labels: name objects and image labels, with their score.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        DataError: the image has another size or type than the segmentation needs.
    """
    if image.shape != (*segmentation.size, 3) or image.dtype != np.uint8:
        raise DataError(
            f"expected an RGB image uint8 {(*segmentation.size, 3)} for this segmentation, got "
            f"{image.dtype} {image.shape}."
        )
    if not 0 <= opacity <= 1:
        raise DataError(f"expected an opacity from 0 to 1, got {opacity}.")
    picture = image.copy()
    classes = segmentation.classes
    instances = segmentation.instances or ()
    if segmentation.semantic is not None:
        _tint(picture, segmentation.semantic, _class_table(classes), opacity, outline)
    elif segmentation.instances is None and segmentation.panoptic is not None:
        _draw_panoptic(picture, segmentation, opacity, outline)
    colours = _colours_of(instances, classes)
    for index in sorted(range(len(instances)), key=lambda i: -_extent(instances[i])):
        _draw_instance(picture, image, instances[index], colours[index], opacity, outline)
    if labels and min(segmentation.size) >= _SMALLEST_LABELLED:
        _draw_labels(picture, segmentation, colours)
    return picture


def instance_colour(colour: Colour, number: int) -> Colour:
    """A shade for object `number` of a class: 0 is the class's own colour, others vary its hue."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    turn = (number * 0.618034 + 0.5) % 1.0 - 0.5
    hue = (hue + 0.16 * turn) % 1.0
    value = (
        value * (1 - 0.25 * (number % 3) / 2) if value > 0.5 else value + 0.25 * (number % 3) / 2
    )
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def void_colour(classes: Classes) -> Colour:
    """Black, or white where a class is nearly black itself."""
    dark = any(max(colour) < 40 for colour in classes.colours)
    return (255, 255, 255) if dark else (0, 0, 0)


def index_png(class_map: np.ndarray, classes: Classes) -> bytes:
    """Encode a class map as PNG: the ids as they are, shown in the classes' colours.

    Args:
        class_map: ids [H, W]; uint8 becomes a palette PNG, uint16 a 16-bit grey one.
        classes: the palette; void is black, or white where a class is nearly black.

    Raises:
        DataError: another shape or type.
    """
    if class_map.ndim != 2 or class_map.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"expected class ids uint8 or uint16 [H, W], got {class_map.dtype} {class_map.shape}."
        )
    if class_map.dtype == np.uint16:
        return encode_png(class_map)
    height, width = class_map.shape
    picture = Image.frombytes("P", (width, height), np.ascontiguousarray(class_map).tobytes())
    palette = np.full((256, 3), 128, np.uint8)
    palette[: len(classes.colours)] = np.reshape(classes.colours, (-1, 3))[:256]
    palette[255] = void_colour(classes) if len(classes) <= 255 else palette[255]
    picture.putpalette(palette.tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def _class_table(classes: Classes) -> np.ndarray:
    return np.array(classes.colours, np.uint8).reshape(-1, 3)


def _tint(
    picture: np.ndarray, ids: np.ndarray, table: np.ndarray, opacity: float, outline: bool
) -> None:
    # Blend table[id] into the picture; ids beyond the table (void) change nothing.
    if not len(table):
        return
    known = ids < len(table)
    colours = table[np.where(known, ids, 0)]
    blended = cv2.addWeighted(picture, 1 - opacity, colours, opacity, 0)
    if outline and 0 < opacity < 1:
        strong = (1 + opacity) / 2
        edge = _edges(ids)
        blended[edge] = (picture[edge] * (1 - strong) + colours[edge] * strong).astype(np.uint8)
    picture[known] = blended[known]


def _edges(ids: np.ndarray) -> np.ndarray:
    # Pixels whose right or lower neighbour is of another region: lines one pixel wide.
    edge = np.zeros(ids.shape, np.bool_)
    edge[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    edge[:-1] |= ids[1:] != ids[:-1]
    return edge


def _draw_panoptic(
    picture: np.ndarray, segmentation: Segmentation, opacity: float, outline: bool
) -> None:
    panoptic, classes = segmentation.panoptic, segmentation.classes
    if panoptic is None:
        return
    segments, places = np.unique(panoptic.segment_ids, return_inverse=True)
    seen: dict[int, int] = {}
    table = []
    void = len(segments)
    for place, segment in enumerate(segments.tolist()):
        class_id = panoptic.class_of.get(segment)
        if segment == 0 or class_id is None:
            places[places == place] = void
            table.append((0, 0, 0))
            continue
        number = seen.get(class_id, 0)
        seen[class_id] = number + 1
        table.append(instance_colour(classes.colours[class_id], number))
    ids = places.reshape(segmentation.size)
    _tint(picture, ids, np.array(table, np.uint8), opacity, outline)


def _colours_of(instances: tuple[Instance, ...], classes: Classes) -> list[Colour]:
    # A track keeps its shade from frame to frame; without tracks, shades go by order in the class.
    seen: dict[int, int] = {}
    colours = []
    for instance in instances:
        number = seen.get(instance.class_id, 0)
        seen[instance.class_id] = number + 1
        if instance.track_id is not None:
            number = instance.track_id
        colours.append(instance_colour(classes.colours[instance.class_id], number))
    return colours


def _extent(instance: Instance) -> float:
    if instance.mask is not None:
        return float(instance.mask.area)
    left, top, right, bottom = instance.box_xyxy
    return (right - left) * (bottom - top)


def _draw_instance(
    picture: np.ndarray,
    image: np.ndarray,
    instance: Instance,
    colour: Colour,
    opacity: float,
    outline: bool,
) -> None:
    thickness = max(1, round(min(image.shape[:2]) / 400))
    if instance.mask is None:
        if outline:
            left, top, right, bottom = _pixels_of(instance, image.shape)
            cv2.rectangle(
                picture,
                (left, top),
                (right - 1, bottom - 1),
                colour,
                thickness + (min(image.shape[:2]) >= 240),
            )
        return
    if not instance.mask.area:
        return
    left, top, right, bottom = (int(edge) for edge in instance.mask.box_xyxy)
    inside = instance.mask.crop((left, top, right, bottom)).decode()
    # A crowd is fainter: its pixels are not those of one object.
    strength = opacity * (0.5 if instance.crowd else 1.0)
    below, above = image[top:bottom, left:right], picture[top:bottom, left:right]
    tint = below[inside] * (1 - strength) + np.array(colour) * strength
    above[inside] = tint.astype(np.uint8)
    if outline:
        shape = cv2.copyMakeBorder(inside.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        contours, _ = cv2.findContours(shape, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        bright = tuple(round(channel * 0.55 + 255 * 0.45) for channel in colour)
        cv2.drawContours(
            picture, contours, -1, bright, thickness, cv2.LINE_8, offset=(left - 1, top - 1)
        )


def _pixels_of(instance: Instance, shape: tuple[int, ...]) -> Rectangle:
    # The box in whole pixels inside the picture, at least one pixel large.
    edges = np.nan_to_num(np.array(instance.box_xyxy, np.float64))
    left, top = np.clip(np.floor(edges[:2]), 0, (shape[1] - 1, shape[0] - 1)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(edges[2:]), 1, (shape[1], shape[0])).astype(int).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _draw_labels(picture: np.ndarray, segmentation: Segmentation, colours: list[Colour]) -> None:
    classes, instances = segmentation.classes, segmentation.instances or ()
    height, width = segmentation.size
    scale = float(np.clip(min(height, width) / 1000, 0.35, 0.9))
    taken: list[Rectangle] = []
    top = 4
    for label in segmentation.labels or ():
        text = _label_text(classes.names[label.class_id], label.score)
        put_chip(picture, text, (4, top), scale, classes.colours[label.class_id])
        chip = chip_size(text, scale)
        taken.append((4, top, 4 + chip[0], top + chip[1]))
        top += chip[1] + 2

    def importance(index: int) -> tuple[float, float]:
        score = instances[index].score
        return (1.0 if score is None else score, _extent(instances[index]))

    for index in sorted(range(len(instances)), key=importance, reverse=True):
        instance = instances[index]
        name = classes.names[instance.class_id] + (" (crowd)" if instance.crowd else "")
        text = _label_text(name, instance.score)
        place = _free_place(
            _pixels_of(instance, picture.shape), chip_size(text, scale), taken, segmentation.size
        )
        if place is not None:
            put_chip(picture, text, place[:2], scale, colours[index])
            taken.append(place)


def _label_text(name: str, score: float | None) -> str:
    return name if score is None else f"{name} {score:.2f}"


def _free_place(
    box: Rectangle, chip: tuple[int, int], taken: list[Rectangle], size: tuple[int, int]
) -> Rectangle | None:
    # Above the box, below it, or in its upper corner; the first that fits and hides no other label.
    left = max(0, min(box[0], size[1] - chip[0]))
    for top in (box[1] - chip[1], box[3], box[1]):
        place = (left, top, left + chip[0], top + chip[1])
        inside = top >= 0 and place[2] <= size[1] and place[3] <= size[0]
        if inside and not any(_meet(place, other) for other in taken):
            return place
    return None


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
