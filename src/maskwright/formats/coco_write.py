"""Writing COCO JSON; `coco` reads it.

Masks are written as compressed run lengths. As polygons, each 4-connected part of a mask becomes
one that runs along the edges of its pixels, with bridges (walked there and back) to its holes: the
COCO API fills them to the same pixels (`core.outline`). Crowds stay run lengths, as in COCO.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.files import atomic_path
from maskwright.core.mask import Mask
from maskwright.core.mask_lists import masks_to_coco
from maskwright.core.outline import outline
from maskwright.core.parts import Instance
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.writing import Entry, Target, Written, require_objects


@dataclass(frozen=True, kw_only=True, slots=True)
class CocoOptions:
    """How COCO is written.

    Attributes:
        polygons: polygons along pixel edges instead of run lengths; they hold every pixel, too.
    """

    polygons: bool = False


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image.

    Raises:
        DataError: objects weren't labelled in it.
    """
    require_objects(sample.name, truth)
    images = target.folder(split) / "images"
    image = folders.copy_image(sample, images, target.link)
    file_name = image.relative_to(images).as_posix()
    return Written(entry=image_entry(file_name, truth, target.options.polygons))


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write each split's instances.json."""
    for split, own in entries.items():
        write_entries(target.folder(split) / "instances.json", own, target.classes)


def image_entry(file_name: str, truth: Segmentation, polygons: bool = False) -> Entry:
    """One image and its objects as plain data, without ids; `write_entries` joins them to a file.

    Args:
        file_name: below the image folder.
        truth: objects of the image.
        polygons: as of `CocoOptions`.

    Raises:
        DataError: objects weren't labelled (or predicted) in this image.
    """
    require_objects(file_name, truth)
    height, width = truth.size
    return {
        "file_name": file_name,
        "height": height,
        "width": width,
        "annotations": _with_masks(truth.instances or (), polygons),
    }


def write_entries(path: Path, entries: Sequence[Entry], classes: Classes) -> None:
    """Write one COCO file of what `image_entry` returned, numbering images and annotations.

    The entries are gone through twice, one at a time, so that they may lie on disk.
    """
    write_document(
        path,
        {
            "images": _images(entries),
            "annotations": _annotations(entries),
            "categories": iter(categories_of(classes)),
        },
    )


def write_document(path: Path, lists: Mapping[str, Iterator[Entry]]) -> None:
    """Write a JSON object of lists, entry by entry."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for place, (key, entries) in enumerate(lists.items()):
            file.write(("{" if place == 0 else ",") + f"{json.dumps(key)}:[")
            for number, entry in enumerate(entries):
                text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
                file.write("," * (number > 0) + text)
            file.write("]")
        file.write("}\n")


def categories_of(classes: Classes) -> list[Entry]:
    """The list "categories"; ids are class ids + 1."""
    return [
        {
            "id": index + 1,
            "name": name,
            "color": list(classes.colours[index]),
            "isthing": int(index in classes.things),
        }
        for index, name in enumerate(classes.names)
    ]


def edge_polygons(mask: Mask) -> list[list[int]]:
    """A mask as polygons along pixel edges, x, y, x, y, ...: one for each 4-connected part."""
    if not mask.area:
        return []
    left, top, right, bottom = (int(edge) for edge in mask.box_xyxy)
    window = mask.crop((left, top, right, bottom)).decode()
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(
        window.view(np.uint8), connectivity=4
    )
    polygons = []
    for number in range(1, count):
        x, y, width, height = boxes[number, :4].tolist()
        part = numbers[y : y + height, x : x + width] == number
        corners = outline(part, "edge") + np.array([left + x, top + y])
        polygons.append(corners.ravel().tolist())
    return polygons


def _images(entries: Sequence[Entry]) -> Iterator[Entry]:
    for number, entry in enumerate(entries, start=1):
        yield {"id": number} | {key: v for key, v in entry.items() if key != "annotations"}


def _annotations(entries: Sequence[Entry]) -> Iterator[Entry]:
    count = 0
    for number, entry in enumerate(entries, start=1):
        for annotation in entry["annotations"]:
            count += 1
            yield {"id": count, "image_id": number} | annotation


def _area(instance: Instance, of_box: float) -> float:
    if instance.area is not None:
        return instance.area
    return of_box if instance.mask is None else int(instance.mask.area)


def _with_masks(instances: Sequence[Instance], polygons: bool) -> list[Entry]:
    """The annotations; masks that stay run lengths are coded together, which is fast."""
    plain = [
        one.mask for one in instances if one.mask is not None and not _as_polygons(one, polygons)
    ]
    coded = iter(masks_to_coco(plain))
    entries = []
    for one in instances:
        if one.mask is None:
            segmentation: Any = None
        else:
            segmentation = edge_polygons(one.mask) if _as_polygons(one, polygons) else next(coded)
        entries.append(_annotation(one, segmentation))
    return entries


def _as_polygons(instance: Instance, polygons: bool) -> bool:
    return polygons and not instance.crowd and instance.mask is not None and instance.mask.area > 0


def _annotation(instance: Instance, segmentation: Any) -> Entry:
    left, top, right, bottom = (round(float(edge), 4) for edge in instance.box_xyxy)
    width, height = round(right - left, 4), round(bottom - top, 4)
    entry: Entry = {
        "category_id": instance.class_id + 1,
        "bbox": [left, top, width, height],
        "area": _area(instance, width * height),
        "iscrowd": int(instance.crowd),
    }
    if segmentation is not None:
        entry["segmentation"] = segmentation
    if instance.score is not None:
        entry["score"] = round(float(instance.score), 6)
    if instance.track_id is not None:
        entry["track_id"] = instance.track_id
    return entry
