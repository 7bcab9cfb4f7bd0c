"""Panoptic segments from a class map and objects, each of any network.

Alexander Kirillov, Kaiming He, Ross Girshick, Carsten Rother, Piotr Dollar: Panoptic Segmentation,
CVPR 2019, arXiv 1801.00868, section 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.parts import Instance, Panoptic
from maskwright.core.segmentation import Segmentation
from maskwright.formats.joined import union_of
from maskwright.formats.recast import recast

STUFF_SHARE = 64 * 64 / (480 * 640)
"""Of an image's pixels: the authors' 64x64 pixels, of COCO's images of 480x640."""


def merge_panoptic(
    regions: Segmentation,
    objects: Segmentation,
    *,
    min_score: float = 0.5,
    min_free: float = 0.5,
    stuff_share: float = STUFF_SHARE,
) -> Segmentation:
    """One segment or none for every pixel.

    Objects come first, the surest before the others: each takes those of its pixels that are still
    free, and is left out where too few of them are. What remains is what the class map says, if
    that is a class of regions; pixels that it takes for a part of an object are void, as nobody
    tells of which.

    Args:
        regions: with a class map.
        objects: with masks, of the same image; its classes are the things. Classes are the same by
            name.
        min_score: objects below it are left out.
        min_free: share of an object's pixels that must be free.
        stuff_share: share of the image's pixels below which a class of regions is void in it.

    Returns:
        `objects` with `panoptic` and the class map, under the classes of both.

    Raises:
        DataError: no class map, no masks, or images of different sizes.
        ConfigError: a share or score outside 0..1.
    """
    for name, value in (("min_score", min_score), ("min_free", min_free),
                        ("stuff_share", stuff_share)):  # fmt: skip
        if not 0 <= value <= 1:
            raise ConfigError(f"expected {name} in 0..1, got {value}.")
    if regions.semantic is None:
        raise DataError("expected a class map in the first answer, got none.")
    if regions.size != objects.size:
        raise DataError(
            f"expected both answers of one image, got sizes {regions.size} and {objects.size}."
        )
    classes = union_of([regions.classes, objects.classes])
    things = _things(regions, objects, classes)
    classes = replace(classes, things=things)
    regions, objects = (
        recast(one, [classes.index(name) for name in one.classes.names], classes)
        for one in (regions, objects)
    )
    segment_ids = np.zeros(regions.size, np.int32)
    class_of = _take_objects(segment_ids, objects.instances or (), min_score, min_free)
    if regions.semantic is not None:
        _take_regions(segment_ids, class_of, regions.semantic, classes, stuff_share)
    panoptic = Panoptic(segment_ids=segment_ids, class_of=class_of)
    return replace(objects, semantic=regions.semantic, panoptic=panoptic)


def _things(regions: Segmentation, objects: Segmentation, classes: Classes) -> frozenset[int]:
    """Classes that are told to be countable; where nobody tells, those of the objects."""
    told = classes.things
    if told:
        return told
    shared = set(regions.classes.names)
    only = {name for name in objects.classes.names if name not in shared}
    found = {objects.classes.names[one.class_id] for one in objects.instances or ()}
    return frozenset(classes.index(name) for name in only | found)


def _take_objects(
    segment_ids: np.ndarray, objects: Iterable[Instance], min_score: float, min_free: float
) -> dict[int, int]:
    """Number the objects into the map, the surest first; of the numbers, their classes."""
    class_of: dict[int, int] = {}
    for one in sorted(_shown(objects, min_score), key=_score, reverse=True):
        if one.mask is None:
            raise DataError(
                "expected objects with masks, got one with a box alone; take a network that "
                "answers masks."
            )
        area = one.mask.area
        if not area:
            continue
        left, top, right, bottom = (int(edge) for edge in one.mask.box_xyxy)
        window = segment_ids[top:bottom, left:right]
        free = one.mask.crop((left, top, right, bottom)).decode().astype(bool) & (window == 0)
        count = int(free.sum())
        if count and count >= min_free * area:
            number = len(class_of) + 1
            window[free] = number
            class_of[number] = one.class_id
    return class_of


def _shown(objects: Iterable[Instance], min_score: float) -> list[Instance]:
    return [one for one in objects if _score(one) >= min_score and not one.crowd]


def _score(one: Instance) -> float:
    return 1.0 if one.score is None else one.score


def _take_regions(
    segment_ids: np.ndarray,
    class_of: dict[int, int],
    class_map: np.ndarray,
    classes: Classes,
    stuff_share: float,
) -> None:
    """Number what is left of each class of regions, where it is large enough."""
    stuff = np.zeros(int(max(class_map.max(initial=0), len(classes))) + 1, bool)
    stuff[[i for i in range(len(classes)) if i not in classes.things]] = True
    free = (segment_ids == 0) & stuff[class_map]
    areas = np.bincount(class_map[free], minlength=len(classes))
    numbers = np.zeros(len(stuff), np.int32)
    for class_id in np.flatnonzero(areas):
        if areas[class_id] >= max(1.0, stuff_share * class_map.size):
            number = len(class_of) + 1
            numbers[class_id] = number
            class_of[number] = int(class_id)
    segment_ids[free] = numbers[class_map[free]]
