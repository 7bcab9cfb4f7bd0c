"""COCO panoptic: a PNG of segment ids an image, and a JSON that tells each segment's category.

    root/annotations/panoptic_train2017.json     root/annotations/panoptic_train2017/a.png
    root/train2017/a.jpg                         (or root/images/train2017/a.jpg, root/images/a.jpg)

A pixel's segment id is R + 256 G + 65536 B; 0 is void. Truth brings the segments, the class map and
the objects (segments of things) that follow from them. Category ids may have gaps: class ids are
their ranks.

Reference: A. Kirillov et al., "Panoptic Segmentation", CVPR 2019; the file format as told on
cocodataset.org, "Data format".
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.files import write_bytes
from maskwright.core.image import encode_png, read_image
from maskwright.core.parts import Panoptic
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.coco_entries import (
    MOST_SEGMENTS,
    Known,
    about_of,
    extras_of_image,
    fault_of,
    image_of,
    images_by_id,
    is_set,
    join_categories,
    load,
    names_by_id,
    stem_of,
)
from maskwright.formats.coco_write import (
    RENUMBERED,
    categories_of,
    number_of,
    numbered,
    write_document,
)
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.recast import class_map_of, segments_of, with_panoptic
from maskwright.formats.writing import Entry, Loss, Target, Written, extras_of, lost

LAYOUT = (
    "coco_panoptic: annotations/panoptic_SPLIT.json with annotations/panoptic_SPLIT/NAME.png, "
    "beside SPLIT/ with the images"
)

_FILE = re.compile(r"panoptic_(?P<folder>(?P<split>.+?)(20\d\d)?)\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A split's JSON, and its folders of PNGs and images."""

    file: Path
    pngs: Path
    images: Path


def detect(path: Path) -> str | None:
    """Why a path looks like COCO panoptic, or None."""
    parts = _find_parts(path)
    names = [part.file.name for part in parts.values()]
    return f"COCO panoptic segments in {folders.shortlist(names)}" if parts else None


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    parts = _find_parts(reading.root)
    if not parts:
        return None
    left_out = None if reading.strict else reading.notes
    documents = {part.file: load(part.file, left_out) for part in parts.values()}
    classes, class_of = join_categories(documents, reading.ignore, left_out)
    reading.own_ids.update(names_by_id(documents))
    for split, part in parts.items():
        reading.about[split] = about_of(documents[part.file])
    splits = {
        split: _read_split(reading, part, documents[part.file], classes, class_of)
        for split, part in parts.items()
    }
    return classes, splits


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image and the PNG of its segments.

    Raises:
        DataError: ids beyond 2^24, or nothing but boxes.
    """
    objects = truth.instances or ()
    bare = truth.semantic is None and truth.panoptic is None
    if bare and objects and all(one.mask is None for one in objects):
        raise DataError(
            f"{split}/{sample.name} has boxes only ({len(objects)}); expected masks, a class map "
            "or segments. Write this set as coco or yolo_boxes."
        )
    truth, losses = with_panoptic(truth, f"{split}/{sample.name}")
    segments = truth.panoptic
    if segments is None or segments.segment_ids.max(initial=0) >= MOST_SEGMENTS:
        raise DataError(
            f"{split}/{sample.name}: expected segment ids below {MOST_SEGMENTS}; renumber."
        )
    pngs = _pngs(target, split)
    images = target.root / ("images" if target.alone else split)
    image = folders.copy_image(sample, images, target.link)
    ids = np.where(np.isin(segments.segment_ids, list(segments.class_of)), segments.segment_ids, 0)
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
    write_bytes(pngs / f"{sample.name}.png", encode_png(colours))
    known = target.about_of(split, "coco").get("categories", ())
    numbers = [category["id"] for category in categories_of(target.classes, known)]
    entry = {
        **truth.extras,
        "file_name": image.relative_to(images).as_posix(),
        "height": truth.size[0],
        "width": truth.size[1],
        "segments": list(_segments_info(segments, numbers)),
    }
    return Written(entry=entry, losses=lost(extras_of(objects)) + losses)


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> tuple[Loss, ...]:
    """Write each split's JSON; how many images got another number, because theirs occurs twice."""
    taken = Counter[str]()
    for split, own in entries.items():
        about = {**target.about_of(split, "coco")}
        numbers = numbered([number_of(entry) for entry in own], "images", taken)
        write_document(
            _pngs(target, split).with_suffix(".json"),
            {
                "images": _image_entries(own, numbers),
                "annotations": _annotations(own, numbers),
                "categories": iter(categories_of(target.classes, about.pop("categories", ()))),
            },
            about,
        )
    return lost({RENUMBERED.format(kind): count for kind, count in taken.items()})


def categories_in(root: Path) -> dict[Path, list[Entry]]:
    """The categories of each JSON of a set."""
    return {part.file: load(part.file)["categories"] for part in _find_parts(root).values()}


def read_truth(
    png: Path,
    infos: Sequence[Entry],
    class_of: Mapping[int, int],
    classes: Classes,
    image: Path | np.ndarray,
    source: Path,
    extras: Mapping[str, Any] | None = None,
) -> Segmentation:
    """The segments of one image, and the class map and objects that follow.

    Args:
        png: of segment ids.
        infos: the entry's "segments_info", checked.
        class_of: category id -> class id; segments of other categories become void.
        classes: of the data set.
        image: the photo.
        source: the JSON, for the errors' text.
        extras: what its entry tells of the image beside.

    Raises:
        DataError: the PNG is damaged, of another size than the image, or holds ids that the JSON
            doesn't tell.
    """
    colours = read_image(png).astype(np.int32)
    ids = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
    size = (ids.shape[0], ids.shape[1])
    folders.check_size(str(png), size, image)
    categories = {info["id"]: info["category_id"] for info in infos}
    numbers, positions = np.unique(ids, return_inverse=True)
    unknown = [str(n) for n in numbers.tolist() if n and n not in categories]
    if unknown:
        raise DataError(
            f"{png} holds segment ids {folders.shortlist(unknown)} that its entry in {source} "
            'lacks; add them to "segments_info", or mend the PNG.'
        )
    kept = {n: class_of[c] for n, c in categories.items() if c in class_of}
    cleaned = np.array([n if n in kept else 0 for n in numbers.tolist()], np.int32)
    crowds = frozenset(
        info["id"] for info in infos if is_set(info, "iscrowd") and info["id"] in kept
    )
    panoptic = Panoptic(
        segment_ids=cleaned[positions].reshape(ids.shape), class_of=kept, crowds=crowds
    )
    return Segmentation(
        size=size,
        classes=classes,
        semantic=class_map_of(panoptic, classes),
        instances=segments_of(panoptic, classes.things),
        panoptic=panoptic,
        extras=extras or {},
    )


def _pngs(target: Target, split: str) -> Path:
    return target.root / "annotations" / f"panoptic_{split}"


def _segments_info(panoptic: Panoptic, category_ids: Sequence[int]) -> Iterator[Entry]:
    for one, number in zip(segments_of(panoptic), _seen(panoptic), strict=True):
        left, top, right, bottom = (int(edge) for edge in one.box_xyxy)
        yield {
            "id": number,
            "category_id": category_ids[one.class_id],
            "area": one.mask.area if one.mask else 0,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": int(one.crowd),
        }


def _seen(panoptic: Panoptic) -> list[int]:
    present = set(np.unique(panoptic.segment_ids).tolist())
    return [number for number in sorted(panoptic.class_of) if number in present]


def _image_entries(entries: Sequence[Entry], numbers: Sequence[int | str]) -> Iterator[Entry]:
    for number, entry in zip(numbers, entries, strict=True):
        beside = {key: value for key, value in entry.items() if key not in ("segments", "id")}
        yield {"id": number} | beside


def _annotations(entries: Sequence[Entry], numbers: Sequence[int | str]) -> Iterator[Entry]:
    for number, entry in zip(numbers, entries, strict=True):
        png = PurePosixPath(entry["file_name"]).with_suffix(".png").as_posix()
        yield {"image_id": number, "file_name": png, "segments_info": entry["segments"]}


def _find_parts(root: Path) -> dict[str, _Part]:
    folder = root.parent if root.is_file() else root / "annotations"
    files = [root] if root.is_file() else sorted(folder.glob("panoptic_*.json"))
    found = {match["folder"]: (match["split"], file) for file in files
             if (match := _FILE.fullmatch(file.name))}  # fmt: skip
    splits = [split for split, _ in found.values()]
    if len(set(splits)) < len(splits):  # train2014 and train2017 side by side
        found = {name: (name, file) for name, (_, file) in found.items()}
    parts = {}
    for name, (split, file) in found.items():
        top = file.parent.parent if file.parent.name == "annotations" else file.parent
        places = [top / name, top / "images" / name, top / split, top / "images" / split]
        images = folders.first_folder([*places, top / "images", top])
        parts[split] = _Part(file=file, pngs=file.with_suffix(""), images=images)
    names = folders.name_splits(parts)
    return {names[split]: parts[split] for split in folders.split_order(names)}


def _read_split(
    reading: Reading,
    part: _Part,
    document: Mapping[str, list[Entry]],
    classes: Classes,
    class_of: Mapping[int, int],
) -> tuple[Sample, ...]:
    images = images_by_id(document["images"], part.file, None if reading.strict else reading.notes)
    known = Known(
        images=images,
        categories=frozenset(entry["id"] for entry in document["categories"]),
        segments=True,
    )
    faults: dict[Any, list[str]] = defaultdict(list)
    by_image: dict[int, Entry] = {}
    for entry in document["annotations"]:
        key = image_of(entry, images)
        fault = fault_of(entry, known) or ("stands there twice" if key in by_image else "")
        if fault:
            of = "" if key is None else f" of {images[key]['file_name']}"
            faults[key].append(f"the annotation{of} {fault}")
        else:
            by_image[entry["image_id"]] = entry
    samples = []
    for key, image in images.items():
        entry = by_image.get(key, {})
        faults[key] += _missing(part, image["file_name"], entry) if not faults[key] else []
        samples.append(_sample(reading, part, image, entry, faults[key], classes, class_of))
    told = [fault for key, found in faults.items() for fault in found]
    if told:
        reading.refuse(f"{part.file}: {folders.shortlist(told)}. Mend or remove these entries.")
    if faults[None]:
        reading.notes.append(f"{part.file}: {folders.shortlist(faults[None])}; left out.")
    return tuple(sorted(samples, key=lambda sample: sample.name))


def _sample(
    reading: Reading,
    part: _Part,
    image: Entry,
    entry: Entry,
    faults: list[str],
    classes: Classes,
    class_of: Mapping[int, int],
) -> Sample:
    photo = part.images / image["file_name"]
    png, infos = part.pngs / entry.get("file_name", ""), entry.get("segments_info", ())
    extras = extras_of_image(image)
    truth = partial(read_truth, png, infos, class_of, classes, photo, part.file, extras)
    fault = f"{part.file}: {'; '.join(faults)}." if faults else ""
    return reading.sample(stem_of(image["file_name"]), photo, truth, FORMAT.tasks, fault)


def _missing(part: _Part, file_name: str, entry: Entry) -> list[str]:
    if not entry:
        return [f"image {file_name} has no annotation"]
    files = [part.images / file_name, part.pngs / entry["file_name"]]
    return [f"{file} does not exist" for file in files if not file.is_file()]


FORMAT = Format(
    name="coco_panoptic",
    title="COCO panoptic annotations",
    layout=LAYOUT,
    tasks=frozenset({"panoptic", "semantic", "instances", "boxes"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
    holds_of_images=None,
    ids=True,
)
"""See the top of this file. Where a file brought no segments they are made when it is written: the
class map with the objects above it, the smaller above the larger. Things of the class map that no
object tells apart are a crowd."""

read, write = FORMAT.read, FORMAT.write
