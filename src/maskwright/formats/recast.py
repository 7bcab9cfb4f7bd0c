"""One form of truth made from another, for formats that hold another form; losses are told.

class map     <- panoptic segments, or objects laid above each other (`core.flatten`)
objects       <- panoptic segments, or the 8-connected regions of the class map
panoptic      <- the class map with the objects above it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.flatten import count_ids, flatten, looked_up, masks_of
from maskwright.core.mask import Mask
from maskwright.core.parts import Instance, Panoptic
from maskwright.core.segmentation import Segmentation
from maskwright.formats.writing import Loss, lost, unheld

OVERLAPS = "the overlaps of {} objects"
_APART = "that {} objects are told apart"
_BOXES = "{} objects that are boxes without a mask"
_VOID = "the void of {} pixels"


def renumbered(truth: Segmentation, classes: Classes) -> Segmentation:
    """The same truth with more classes, or the same in another order; they go by their names."""
    if classes == truth.classes:
        return truth
    return recast(truth, [classes.index(name) for name in truth.classes.names], classes)


def recast(found: Segmentation, ids: Sequence[int], classes: Classes) -> Segmentation:
    """A truth or an answer under other classes.

    Args:
        found: under the old ones.
        ids: the new class id of each old one; the new void's id leaves it out.
        classes: the new ones.
    """
    table = np.full(found.classes.void + 1, classes.void)
    table[: len(ids)] = ids
    changes: dict[str, Any] = {"classes": classes}
    if found.semantic is not None:
        dtype = np.uint8 if classes.void == 255 else np.uint16
        changes["semantic"] = table.astype(dtype)[found.semantic]
    for form in ("instances", "labels"):
        own = getattr(found, form)
        if own is not None:
            moved = (replace(one, class_id=int(table[one.class_id])) for one in own)
            changes[form] = tuple(one for one in moved if one.class_id != classes.void)
    if found.panoptic is not None:
        moved_ids = {number: int(table[i]) for number, i in found.panoptic.class_of.items()}
        class_of = {number: i for number, i in moved_ids.items() if i != classes.void}
        segment_ids = found.panoptic.segment_ids
        if len(class_of) < len(moved_ids):
            kept = np.isin(segment_ids, list(class_of))
            segment_ids = np.where(kept, segment_ids, 0).astype(segment_ids.dtype)
        changes["panoptic"] = replace(
            found.panoptic,
            segment_ids=segment_ids,
            class_of=class_of,
            crowds=frozenset(found.panoptic.crowds & class_of.keys()),
        )
    return replace(found, **changes)


def with_class_map(
    truth: Segmentation, name: str, uncovered: int
) -> tuple[Segmentation, tuple[Loss, ...]]:
    """Truth with a class map; where it was made from objects, they are gone.

    Args:
        truth: with any form.
        name: of the image, for the error's text.
        uncovered: the class id of pixels that no object covers; void's leaves them void.

    Raises:
        DataError: objects, but no mask of any.
    """
    if truth.semantic is not None:
        return truth, ()
    if truth.panoptic is not None:
        return replace(truth, semantic=class_map_of(truth.panoptic, truth.classes)), ()
    objects = _objects_of(truth, name)
    boxes = sum(one.mask is None for one in objects)
    if objects and boxes == len(objects):
        raise DataError(
            f"{name} has boxes only ({boxes}); expected masks, or a class map. Write this set as "
            "coco or yolo_boxes."
        )
    flat = flatten(objects, truth.size)
    dtype = np.uint8 if truth.classes.void == 255 else np.uint16
    ids = looked_up(flat.numbers, [one.class_id for one in objects], uncovered, dtype)
    told = lost({_APART: len(objects) - boxes, _BOXES: boxes}) + overlaps(flat.ious)
    of_objects = unheld(frozenset(), None, truth)  # the format won't see them any more
    return replace(truth, semantic=ids, instances=None), told + of_objects


def with_objects(truth: Segmentation, name: str) -> tuple[Segmentation, tuple[Loss, ...]]:
    """Truth with objects; where they were made from the class map, that is gone, and void is lost.

    Every panoptic segment, of stuff too, or every 8-connected region of a class is an object.

    Args:
        truth: with any form.
        name: of the image, for the error's text.

    Raises:
        DataError: neither objects nor anything they could be made of.
    """
    if truth.panoptic is not None:
        every = segments_of(truth.panoptic)
        return replace(truth, instances=every, panoptic=None, semantic=None), ()
    if truth.instances is not None:
        return truth, ()
    if truth.semantic is None:
        return replace(truth, instances=_objects_of(truth, name)), ()
    found = regions_of(truth.semantic, truth.classes)
    void = int(np.count_nonzero(truth.semantic == truth.classes.void))
    return replace(truth, instances=found, semantic=None), lost({_VOID: void})


def with_panoptic(truth: Segmentation, name: str) -> tuple[Segmentation, tuple[Loss, ...]]:
    """Truth with panoptic segments: the file's own, or the class map with the objects above it.

    A class map's things that no object tells apart become a crowd.

    Args:
        truth: with any form.
        name: of the image, for the error's text.

    Raises:
        DataError: neither a class map nor objects.
    """
    if truth.panoptic is not None:
        return truth, ()
    objects = _objects_of(truth, name) if truth.semantic is None else truth.instances or ()
    flat = flatten(objects, truth.size)
    segments = np.zeros(truth.size, np.int32)
    class_of: dict[int, int] = {}
    crowds: set[int] = set()
    if truth.semantic is not None:
        seen = np.where(flat.numbers > 0, truth.classes.void, truth.semantic)
        for class_id in np.unique(seen[seen != truth.classes.void]).tolist():
            number = len(class_of) + 1
            segments[seen == class_id] = number
            class_of[number] = class_id
            if class_id in truth.classes.things:
                crowds.add(number)
    for i in np.unique(flat.numbers[flat.numbers > 0]).tolist():
        number = len(class_of) + 1
        segments[flat.numbers == i] = number
        class_of[number] = objects[i - 1].class_id
        if objects[i - 1].crowd:
            crowds.add(number)
    panoptic = Panoptic(segment_ids=segments, class_of=class_of, crowds=frozenset(crowds))
    boxes = sum(one.mask is None for one in objects)
    empty = sum(one.mask is not None and not one.mask.area for one in objects)
    told = lost({_BOXES: boxes, "the empty masks of {} objects": empty}) + overlaps(flat.ious)
    return replace(truth, panoptic=panoptic), told + changed_map(truth, panoptic)


def _objects_of(truth: Segmentation, name: str) -> Sequence[Instance]:
    """The objects, where they are all that there is."""
    if truth.instances is None:
        only = "image labels only" if truth.labels is not None else "nothing labelled"
        raise DataError(
            f"{name} has {only}; expected a class map or objects. Write this set as folders or "
            "voc, or label it."
        )
    return truth.instances


def changed_map(truth: Segmentation, panoptic: Panoptic) -> tuple[Loss, ...]:
    """Whether the class map differs from that of the segments made of it."""
    if truth.semantic is None:
        return ()
    same = float((class_map_of(panoptic, truth.classes) == truth.semantic).mean())
    what = "the class maps of {} images under objects of another class"
    return () if same == 1 else (Loss(what=what, ious=(same,)),)


def overlaps(ious: dict[int, float]) -> tuple[Loss, ...]:
    """The loss where objects cover each other."""
    return (Loss(what=OVERLAPS, count=len(ious), ious=tuple(ious.values())),) if ious else ()


def class_map_of(panoptic: Panoptic, classes: Classes) -> np.ndarray:
    """The class map of panoptic segments; their void is void."""
    numbers, positions = np.unique(panoptic.segment_ids, return_inverse=True)
    dtype = np.uint8 if classes.void == 255 else np.uint16
    ids = np.array([panoptic.class_of.get(number, classes.void) for number in numbers.tolist()])
    class_map: np.ndarray = ids.astype(dtype)[positions].reshape(panoptic.segment_ids.shape)
    return class_map


def segments_of(panoptic: Panoptic, things: frozenset[int] | None = None) -> tuple[Instance, ...]:
    """Panoptic segments as objects, in the order of their ids.

    Args:
        panoptic: the segments.
        things: classes to take; None takes all.
    """
    masks = masks_of(panoptic.segment_ids)
    return tuple(
        _object_of(masks[number], class_id, number in panoptic.crowds)
        for number, class_id in sorted(panoptic.class_of.items())
        if number in masks and (things is None or class_id in things)
    )


def regions_of(class_map: np.ndarray, classes: Classes) -> tuple[Instance, ...]:
    """The 8-connected regions of each class, by class, then from the top."""
    found = []
    counts = count_ids(class_map, classes.void + 1)
    for class_id in np.flatnonzero(counts[: classes.void]).tolist():
        masks = _regions(class_map == class_id)
        found += [_object_of(mask, class_id) for mask in masks]
    return tuple(found)


def _regions(pixels: np.ndarray) -> list[Mask]:
    """The 8-connected regions of bool [H, W]; a function, so that its frames don't outlive it."""
    _, numbers = cv2.connectedComponents(pixels.view(np.uint8), connectivity=8)
    return list(masks_of(numbers).values())


def _object_of(mask: Mask, class_id: int, crowd: bool = False) -> Instance:
    return Instance(class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask, crowd=crowd)
