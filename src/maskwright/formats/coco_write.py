"""Writing COCO JSON; `coco` reads it.

Masks are written as compressed run lengths. As polygons, each 4-connected part of a mask becomes
one that runs along the edges of its pixels, with bridges (walked there and back) to its holes: the
COCO API fills them to the same pixels (`core.outline`). Crowds stay run lengths, as in COCO.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.files import atomic_path
from maskwright.core.mask import Mask
from maskwright.core.mask_lists import masks_to_coco
from maskwright.core.outline import outline
from maskwright.core.parts import Instance
from maskwright.core.polygon_lists import masks_from_polygons
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.text_files import compact_json
from maskwright.formats.writing import Entry, Loss, Target, Written, lost, require_objects

_LEAST = 6  # numbers of a polygon: three corners

RENUMBERED = "the numbers of {{}} {}, which others have too"
"""A loss of the set; takes the kind of what is numbered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CocoOptions:
    """How COCO is written and read.

    Attributes:
        polygons: polygons along pixel edges instead of run lengths; they hold every pixel, too.
        images: of a set that is read, the folder that the entries' file names are relative to,
            where it isn't found beside or below the JSON.
        crowds: of a set that is read, "crowds" takes iscrowd as the file says, "objects" takes
            crowds for objects: some tools (CVAT among them) set it for every mask.

    Raises:
        ConfigError: `crowds` is something else.
    """

    polygons: bool = False
    images: str | None = None
    crowds: str = "crowds"

    def __post_init__(self) -> None:
        if self.crowds not in ("crowds", "objects"):
            raise ConfigError(
                f"expected crowds to be 'crowds' or 'objects', got {self.crowds!r}; choose one."
            )


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image.

    Raises:
        DataError: objects weren't labelled in it.
    """
    require_objects(sample.name, truth)
    images = target.folder(split) / "images"
    image = folders.copy_image(sample, images, target.link)
    file_name = image.relative_to(images).as_posix()
    numbers = [one["id"] for one in categories_of(target.classes, _categories(target, split))]
    return Written(entry=image_entry(file_name, truth, target.options.polygons, numbers))


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> tuple[Loss, ...]:
    """Write each split's instances.json; what the source's file told beside is written again.

    Returns:
        How many images and objects got another number, because theirs occurs twice.
    """
    taken = Counter[str]()
    for split, own in entries.items():
        about = {**target.about_of(split, "coco")}
        about["categories"] = categories_of(target.classes, about.get("categories", ()))
        path = target.folder(split) / "instances.json"
        taken += write_entries(path, own, target.classes, about)
    return lost({RENUMBERED.format(kind): count for kind, count in taken.items()})


def image_entry(
    file_name: str,
    truth: Segmentation,
    polygons: bool = False,
    category_ids: Sequence[int] | None = None,
) -> Entry:
    """One image and its objects as plain data; `write_entries` joins them to a file.

    Fields that the source's file told beside ours are kept, ids among them.

    Args:
        file_name: below the image folder.
        truth: objects of the image.
        polygons: as of `CocoOptions`.
        category_ids: of each class; class ids + 1 unless given.

    Raises:
        DataError: objects weren't labelled (or predicted) in this image.
    """
    require_objects(file_name, truth)
    height, width = truth.size
    numbers = category_ids or range(1, len(truth.classes) + 1)
    objects = truth.instances or ()
    annotations = [
        {"category_id": numbers[one.class_id]} | annotation
        for one, annotation in zip(objects, _with_masks(objects, polygons), strict=True)
    ]
    own = {"file_name": file_name, "height": height, "width": width}
    return {**truth.extras, **own, "annotations": annotations}


def write_entries(
    path: Path,
    entries: Sequence[Entry],
    classes: Classes,
    about: Mapping[str, Any] | None = None,
) -> Counter[str]:
    """Write one COCO file of what `image_entry` returned, numbering images and annotations.

    Those that have a number keep it, unless one before has it too; the others get the next that is
    free. The entries are gone through several times, one at a time, so that they may lie on disk.

    Args:
        path: of the JSON.
        entries: of its images.
        classes: of its categories.
        about: further keys of the file; "categories" instead of those of the classes.

    Returns:
        "images" and "objects" -> how many got another number than theirs.
    """
    beside = dict(about or {})
    categories = beside.pop("categories", None) or categories_of(classes)
    taken = Counter[str]()
    of_images, of_objects = _numbers(entries, taken)
    write_document(
        path,
        {
            "images": _images(entries, of_images),
            "annotations": _annotations(entries, of_images, of_objects),
            "categories": iter(categories),
        },
        beside,
    )
    return taken


def write_document(
    path: Path, lists: Mapping[str, Iterator[Entry]], beside: Mapping[str, Any] | None = None
) -> None:
    """Write a JSON object of lists, entry by entry, with further values before them."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        begin = "{"
        for key, value in (beside or {}).items():
            file.write(f"{begin}{json.dumps(key)}:{compact_json(value).rstrip()}")
            begin = ","
        for key, entries in lists.items():
            file.write(f"{begin}{json.dumps(key)}:[")
            begin = ","
            for number, entry in enumerate(entries):
                file.write("," * (number > 0) + compact_json(entry).rstrip())
            file.write("]")
        file.write("}\n")


def categories_of(classes: Classes, known: Sequence[Entry] = ()) -> list[Entry]:
    """The list "categories"; ids are class ids + 1.

    Args:
        classes: in the order of the list.
        known: categories of the set's source: one of the same name lends id and further fields.
            Then classes that aren't among them get ids above.
    """
    by_name = {entry["name"]: entry for entry in known}
    above = max((entry["id"] for entry in known), default=0)
    found = []
    for index, name in enumerate(classes.names):
        entry = by_name.get(name, {})
        if not known:
            number = index + 1
        elif entry:
            number = entry["id"]
        else:
            above = number = above + 1
        own = {"color": list(classes.colours[index]), "isthing": int(index in classes.things)}
        found.append({**own, **entry, "id": number, "name": name})
    return found


def _categories(target: Target, split: str) -> Sequence[Entry]:
    found: Sequence[Entry] = target.about_of(split, "coco").get("categories", ())
    return found


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


def _numbers(
    entries: Sequence[Entry], taken: Counter[str]
) -> tuple[list[int | str], list[int | str]]:
    """The ids of all images, and of all annotations, in the order of the entries."""
    images = [number_of(entry) for entry in entries]
    objects = [number_of(one) for entry in entries for one in entry["annotations"]]
    return numbered(images, "images", taken), numbered(objects, "objects", taken)


def number_of(entry: Entry) -> int | str | None:
    """The id that an entry brings, if it is one: some tools write texts."""
    found = entry.get("id")
    return found if isinstance(found, int | str) else None


def numbered(wanted: Sequence[int | str | None], kind: str, taken: Counter[str]) -> list[int | str]:
    """The numbers as they are wanted; where one is wanted twice or not told, the next free one.

    Args:
        wanted: in order.
        kind: of what is numbered.
        taken: counts under that kind those that got another number than theirs.
    """
    used = {number for number in wanted if number is not None}
    free = (number for number in itertools.count(1) if number not in used)
    seen: set[int | str] = set()
    numbers: list[int | str] = []
    for number in wanted:
        if number is None or number in seen:
            taken[kind] += number is not None
            number = next(free)
        seen.add(number)
        numbers.append(number)
    return numbers


def _images(entries: Sequence[Entry], numbers: Sequence[int | str]) -> Iterator[Entry]:
    for number, entry in zip(numbers, entries, strict=True):
        beside = {key: v for key, v in entry.items() if key not in ("annotations", "id")}
        yield {"id": number} | beside


def _annotations(
    entries: Sequence[Entry], of_images: Sequence[int | str], of_objects: Sequence[int | str]
) -> Iterator[Entry]:
    numbers = iter(of_objects)
    for number, entry in zip(of_images, entries, strict=True):
        for annotation in entry["annotations"]:
            yield {**annotation, "id": next(numbers), "image_id": number}


def _area(instance: Instance, of_box: float) -> float:
    if instance.area is not None:
        return instance.area
    return of_box if instance.mask is None else int(instance.mask.area)


def _with_masks(instances: Sequence[Instance], polygons: bool) -> list[Entry]:
    """The annotations; masks are coded together, and polygons filled together, which is fast."""
    size = next((one.mask.size for one in instances if one.mask is not None), (1, 1))
    filled = masks_from_polygons([one.extras.get("segmentation") for one in instances], size)
    drawn = [
        None if one.mask is None else _polygons(one, one.mask, polygons, again)
        for one, again in zip(instances, filled, strict=True)
    ]
    plain = [
        one.mask
        for one, drawing in zip(instances, drawn, strict=True)
        if one.mask is not None and drawing is None
    ]
    coded = iter(masks_to_coco(plain))
    entries = []
    for one, drawing in zip(instances, drawn, strict=True):
        segmentation: Any = drawing
        if one.mask is not None and drawing is None:
            segmentation = next(coded)
        entries.append(_annotation(one, segmentation))
    return entries


def _polygons(instance: Instance, mask: Mask, polygons: bool, filled: Mask | None) -> Any:
    """The polygons that the mask came from, if it is still theirs, or those that are asked for."""
    if stated := stated_polygons(instance, mask, filled):
        return stated
    return edge_polygons(mask) if polygons and not instance.crowd and mask.area > 0 else None


def stated_polygons(
    instance: Instance, mask: Mask, filled: Mask | None = None
) -> list[list[float]]:
    """The polygons that an object's mask came from, if it is still theirs; else none.

    Args:
        instance: whose extras may tell them.
        mask: its mask.
        filled: that of the polygons, if it is known.
    """
    stated = instance.extras.get("segmentation")
    if not isinstance(stated, list) or not all(
        isinstance(each, list) and len(each) >= _LEAST for each in stated
    ):
        return []
    try:
        again = Mask.from_polygons(stated, mask.size) if filled is None else filled
    except DataError:
        return []
    return stated if again == mask else []


def _annotation(instance: Instance, segmentation: Any) -> Entry:
    left, top, right, bottom = (round(float(edge), 4) for edge in instance.box_xyxy)
    width, height = round(right - left, 4), round(bottom - top, 4)
    entry: Entry = {
        **instance.extras,
        "bbox": [left, top, width, height],
        "area": _area(instance, width * height),
        "iscrowd": int(instance.crowd),
    }
    entry.pop("segmentation", None)
    if segmentation is not None:
        entry["segmentation"] = segmentation
    if instance.score is not None:
        entry["score"] = round(float(instance.score), 6)
    if instance.track_id is not None:
        entry["track_id"] = instance.track_id
    return entry
