"""COCO JSON: objects with boxes and, where given, masks (polygons or either run-length coding).

    root/{split}/instances.json (or annotations.json, boxes.json) beside root/{split}/images/   or
    root/{split}/_annotations.coco.json (Roboflow), root/labels.json beside root/data/ (FiftyOne) or
    root/result.json beside root/images/ (Label Studio)                                         or
    root/annotations/instances_train2017.json ... beside root/train2017/ or root/images/...     or
    root/instances.json beside root/images/, or any one .json file          (one split, "all")

Category ids may have gaps: class ids are their ranks. An annotation without a segmentation is a box
only. Masks are decoded late. `coco_files` finds the files, `coco_write` writes them.

Reference: T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; the file format
as told on cocodataset.org, "Data format".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError, MaskwrightError
from maskwright.core.mask import Mask
from maskwright.core.mask_lists import masks_from_coco
from maskwright.core.polygon_lists import masks_from_polygons
from maskwright.core.sample import Sample, Task
from maskwright.core.segmentation import Instance, Segmentation
from maskwright.formats import coco_files, folders
from maskwright.formats.coco_entries import (
    Document,
    Entry,
    Known,
    about_of,
    called,
    drop_supercategory,
    extras_of_image,
    fault_of,
    image_of,
    images_by_id,
    is_finite,
    is_running,
    is_set,
    join_categories,
    load,
    names_by_id,
    stem_of,
    unwrapped,
)
from maskwright.formats.coco_write import (
    CocoOptions,
    finish,
    image_entry,
    write_entries,
    write_sample,
)
from maskwright.formats.format import Format, Reading, Splits

__all__ = [
    "FORMAT",
    "CocoOptions",
    "detect",
    "image_entry",
    "read",
    "read_truth",
    "write",
    "write_entries",
]

_OWN_OF_OBJECT = frozenset(
    {"image_id", "category_id", "bbox", "area", "segmentation", "iscrowd", "score", "track_id"}
)

LAYOUT = (
    "coco: SPLIT/instances.json (or annotations.json, boxes.json) beside SPLIT/images/, "
    "annotations/instances_SPLIT.json beside SPLIT/, or one .json file beside its images"
)


def detect(path: Path) -> str | None:
    """Why a path looks like COCO, or None."""
    parts = coco_files.find_parts(path)
    names = [p.file.name if path.is_file() else p.file.relative_to(path).as_posix() for p in parts]
    return f"COCO annotations in {folders.shortlist(names)}" if parts else None


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    parts = coco_files.find_parts(reading.root)
    if not parts:
        return None
    if reading.options.images is not None:
        parts = coco_files.with_images(parts, reading.options.images)
    left_out = None if reading.strict else reading.notes
    documents = {part.file: load(part.file, left_out) for part in parts}
    for file, document in documents.items():
        reading.notes.extend(drop_supercategory(file, document))
    reading.notes.extend(
        f"{part.file} is used, {part.others} are not." for part in parts if part.others
    )
    classes, class_of = join_categories(documents, reading.ignore, left_out)
    reading.own_ids.update(names_by_id(documents))
    _keep_about(reading, parts, documents)
    splits = {
        part.split: _read_split(reading, part, documents[part.file], classes, class_of)
        for part in parts
    }
    return classes, splits


def _keep_about(
    reading: Reading, parts: Sequence[coco_files.Part], documents: Mapping[Path, Document]
) -> None:
    """Keep what the files tell beside images and annotations."""
    for part in parts:
        document = documents[part.file]
        reading.about[part.split] = about_of(document)
        lists: list[list[Entry]] = [document["images"], document["annotations"]]
        reading.numbered.add(not all(map(is_running, lists)))


def read_truth(
    annotations: Sequence[Entry],
    class_of: Mapping[int, int],
    classes: Classes,
    size: tuple[int, int] | None,
    image: Path,
    source: Path,
    extras: Mapping[str, Any] | None = None,
    crowds: bool = True,
) -> Segmentation:
    """The objects of one image, masks decoded.

    Args:
        annotations: entries of the file, checked.
        class_of: category id -> class id; objects of other categories are left out.
        classes: of the data set.
        size: (height, width) stated by the file, or None.
        image: the photo.
        source: the JSON, for the errors' text.
        extras: what its entry tells of the image beside.
        crowds: whether "iscrowd" is believed.

    Raises:
        DataError: the image has another size, or a segmentation is malformed.
    """
    if size is None:
        size = folders.image_sizes(image)[0]
    else:
        folders.check_size(f"the entry in {source}", size, image)
    kept = [annotation for annotation in annotations if annotation["category_id"] in class_of]
    coded = [unwrapped(annotation.get("segmentation")) for annotation in kept]
    masks = [
        drawn if mask is None else mask
        for mask, drawn in zip(masks_from_coco(coded), masks_from_polygons(coded, size))
    ]
    instances = tuple(
        _instance(annotation, class_of[annotation["category_id"]], size, source, mask, crowds)
        for annotation, mask in zip(kept, masks)
    )
    return Segmentation(size=size, classes=classes, instances=instances, extras=extras or {})


def _instance(
    entry: Entry,
    class_id: int,
    size: tuple[int, int],
    source: Path,
    mask: Mask | None,
    crowds: bool,
) -> Instance:
    """One object; its mask where it was read with the others' and has the image's size."""
    if (mask is None or mask.size != size) and entry.get("segmentation"):
        try:
            mask = _mask(entry["segmentation"], size)
        except (MaskwrightError, ValueError, TypeError) as error:
            raise DataError(f"{source}: {called(entry)} has no usable mask: {error}") from None
    return Instance(
        class_id=class_id,
        box_xyxy=mask.box_xyxy if mask and entry.get("bbox") is None else _box(entry["bbox"]),
        mask=mask,
        score=entry.get("score"),
        crowd=crowds and is_set(entry, "iscrowd"),
        track_id=entry.get("track_id"),
        area=_stated_area(entry),
        extras=_extras(entry),
    )


def _extras(entry: Entry) -> dict[str, Any]:
    """What an annotation tells beyond our fields; polygons, which a mask doesn't keep, too."""
    extras = {key: value for key, value in entry.items() if key not in _OWN_OF_OBJECT}
    segmentation = unwrapped(entry.get("segmentation"))
    if isinstance(segmentation, list) and segmentation:
        extras["segmentation"] = segmentation
    return extras


def _stated_area(entry: Entry) -> float | None:
    area = entry.get("area")
    return float(area) if is_finite(area) and area >= 0 else None


def _mask(segmentation: Any, size: tuple[int, int]) -> Mask:
    segmentation = unwrapped(segmentation)
    if isinstance(segmentation, list):
        return Mask.from_polygons(segmentation, size)
    mask = Mask.from_coco(segmentation)
    if mask.size != size:
        raise DataError(f"it is {mask.size} (height, width), but its image is {size}.")
    return mask


def _box(xywh: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, width, height = (float(value) for value in xywh)
    return left, top, left + width, top + height


def _read_split(
    reading: Reading,
    part: coco_files.Part,
    document: Document,
    classes: Classes,
    class_of: Mapping[int, int],
) -> tuple[Sample, ...]:
    images = images_by_id(document["images"], part.file, None if reading.strict else reading.notes)
    known = Known(
        images=images, categories=frozenset(entry["id"] for entry in document["categories"])
    )
    by_image: dict[int, list[Entry]] = defaultdict(list)
    faults: dict[int | None, list[str]] = defaultdict(list)
    for entry in document["annotations"]:
        fault = fault_of(entry, known)
        if fault:
            faults[image_of(entry, images)].append(f"{called(entry)} {fault}")
        else:
            by_image[entry["image_id"]].append(entry)
    named = [image["file_name"] for image in images.values()]
    part = part.among(named)
    home = part.images
    missing = [name for name in named if not (home / name).is_file()]
    told = [fault for found in faults.values() for fault in found]
    reading.refuse(_together(part, told, missing))
    if faults[None]:
        reading.notes.append(f"{part.file}: {folders.shortlist(faults[None])}; left out.")
    with_masks = any(entry.get("segmentation") for entry in document["annotations"])
    samples = [
        _sample(reading, part, image, by_image[i], faults[i], classes, class_of, with_masks)
        for i, image in images.items()
    ]
    return tuple(sorted(samples, key=lambda sample: sample.name))


def _sample(
    reading: Reading,
    part: coco_files.Part,
    entry: Entry,
    annotations: list[Entry],
    faults: list[str],
    classes: Classes,
    class_of: Mapping[int, int],
    with_masks: bool,
) -> Sample:
    kept = tuple(a for a in annotations if a["category_id"] in class_of)
    masked = with_masks and all(a.get("segmentation") for a in kept)
    tasks: frozenset[Task] = frozenset({"instances", "boxes"} if masked else {"boxes"})
    image = part.images / entry["file_name"]
    height, width = entry.get("height"), entry.get("width")
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    extras = extras_of_image(entry)
    crowds = reading.options.crowds == "crowds"
    truth = partial(read_truth, kept, class_of, classes, size, image, part.file, extras, crowds)
    name = stem_of(entry["file_name"])
    fault = f"{part.file}: {'; '.join(faults)}." if faults else ""
    return reading.sample(name, image, truth, tasks, fault)


def _together(part: coco_files.Part, faults: list[str], missing: list[str]) -> str:
    """What is wrong with a whole file, or ""."""
    if faults:
        return (
            f"{part.file}: {folders.shortlist(faults)}. Mend or remove these entries "
            f"({len(faults)})."
        )
    if missing:
        return (
            f"{part.file} names {len(missing)} images that {part.images} lacks: "
            f"{folders.shortlist(missing)}. Add them, or remove their entries."
        )
    return ""


FORMAT = Format(
    name="coco",
    title="COCO annotations",
    layout=LAYOUT,
    tasks=frozenset({"instances", "boxes"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
    options=CocoOptions,
    holds=None,
    holds_of_images=None,
    ids=True,
)
"""See the top of this file; categories without a score, a mask or a track id lack those keys."""

read, write = FORMAT.read, FORMAT.write
