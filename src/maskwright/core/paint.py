"""Painting the parts of a segmentation on a picture. `core.draw` is the door to it.

Every picture is uint8 RGB [H, W, 3].
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from maskwright.core.classes import Classes, Colour
from maskwright.core.image import strips
from maskwright.core.parts import Instance, Label, Panoptic
from maskwright.core.text import chip_size, put_chip

_SMALLEST_LABELLED = 120  # pixels; on smaller pictures a label would hide what it names
Rectangle = tuple[int, int, int, int]


def paint(
    image: np.ndarray,
    classes: Classes,
    *,
    semantic: np.ndarray | None = None,
    instances: Sequence[Instance] | None = None,
    panoptic: Panoptic | None = None,
    labels: tuple[Label, ...] | None = None,
    opacity: float = 0.5,
    outline: bool = True,
    named: bool = True,
) -> np.ndarray:
    """Draw what there is of the parts on a copy of `image`; see `draw.overlay` for the rules.

    Args:
        image: uint8 RGB [H, W, 3].
        classes: names and colours that the ids refer to.
        semantic: class ids [H, W].
        instances: the objects.
        panoptic: drawn only where there are neither `semantic` nor `instances`.
        labels: of the image as a whole.
        opacity: of the tint, 0 to 1.
        outline: trace regions, masks and boxes.
        named: write names and scores.

    Returns:
        uint8 RGB [H, W, 3].
    """
    picture = image.copy()
    if semantic is not None:
        _tint(picture, semantic, _class_table(classes), opacity, outline)
    elif instances is None and panoptic is not None:
        _draw_panoptic(picture, panoptic, classes, opacity, outline)
    objects = instances or ()
    colours = _colours_of(objects, classes)
    for index in sorted(range(len(objects)), key=lambda i: -_extent(objects[i])):
        _draw_instance(picture, image, objects[index], colours[index], opacity, outline)
    if named and min(image.shape[:2]) >= _SMALLEST_LABELLED:
        _draw_labels(picture, classes, objects, labels or (), colours)
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


def _class_table(classes: Classes) -> np.ndarray:
    return np.array(classes.colours, np.uint8).reshape(-1, 3)


def _tint(
    picture: np.ndarray, ids: np.ndarray, table: np.ndarray, opacity: float, outline: bool
) -> None:
    # Blend table[id] into the picture; ids beyond the table (void) change nothing.
    if not len(table):
        return
    for rows in strips(ids.shape):
        edge = _edges(ids[rows.start : rows.stop + 1])[: rows.stop - rows.start]
        _tint_strip(picture[rows], ids[rows], table, opacity, edge if outline else None)


def _tint_strip(
    picture: np.ndarray,
    ids: np.ndarray,
    table: np.ndarray,
    opacity: float,
    edge: np.ndarray | None,
) -> None:
    known = ids < len(table)
    colours = table.take(ids, axis=0, mode="clip")
    blended = cv2.addWeighted(picture, 1 - opacity, colours, opacity, 0)
    if edge is not None and 0 < opacity < 1:
        strong = (1 + opacity) / 2
        blended[edge] = (picture[edge] * (1 - strong) + colours[edge] * strong).astype(np.uint8)
    cv2.copyTo(blended, known.view(np.uint8), picture)


def _edges(ids: np.ndarray) -> np.ndarray:
    # Pixels whose right or lower neighbour is of another region: lines one pixel wide.
    edge = np.zeros(ids.shape, np.bool_)
    edge[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    edge[:-1] |= ids[1:] != ids[:-1]
    return edge


def _draw_panoptic(
    picture: np.ndarray, panoptic: Panoptic, classes: Classes, opacity: float, outline: bool
) -> None:
    segments, places = np.unique(panoptic.segment_ids, return_inverse=True)
    ids = places.reshape(panoptic.segment_ids.shape)
    seen: dict[int, int] = {}
    table = np.zeros((len(segments), 3), np.uint8)
    void = []
    for place, segment in enumerate(segments.tolist()):
        class_id = panoptic.class_of.get(segment)
        if segment == 0 or class_id is None:
            void.append(place)
            continue
        number = seen.get(class_id, 0)
        seen[class_id] = number + 1
        table[place] = instance_colour(classes.colours[class_id], number)
    ids = np.where(np.isin(ids, void), len(segments), ids)
    _tint(picture, ids, table, opacity, outline)


def _colours_of(instances: Sequence[Instance], classes: Classes) -> list[Colour]:
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


def _draw_labels(
    picture: np.ndarray,
    classes: Classes,
    instances: Sequence[Instance],
    labels: tuple[Label, ...],
    colours: list[Colour],
) -> None:
    height, width = picture.shape[:2]
    scale = float(np.clip(min(height, width) / 1000, 0.35, 0.9))
    taken: list[Rectangle] = []
    top = 4
    for label in labels:
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
        name += "" if instance.track_id is None else f" #{instance.track_id}"
        text = _label_text(name, instance.score)
        place = _free_place(
            _pixels_of(instance, picture.shape), chip_size(text, scale), taken, (height, width)
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
