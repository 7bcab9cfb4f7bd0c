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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.coco_entries import images_by_id, join_categories, load
from maskwright.formats.coco_write import categories_of, write_document
from maskwright.formats.recast import class_map_of, segments_of, with_panoptic
from maskwright.formats.writing import Entry, Target, Written, lost, target_of, write_set

LAYOUT = (
    "coco_panoptic: annotations/panoptic_SPLIT.json with annotations/panoptic_SPLIT/NAME.png, "
    "beside SPLIT/ with the images"
)

_FILE = re.compile(r"panoptic_(?P<folder>(?P<split>.+?)(20\d\d)?)\.json")
_MOST = 256**3


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


def read(path: Path | str, ignore: Iterable[str] = (), strict: bool = True) -> Dataset:
    """Read COCO panoptic. The JSON is read and checked at once, PNGs are opened late.

    Args:
        path: the folder that holds annotations/, or one panoptic_SPLIT.json.
        ignore: names of categories whose segments become void.
        strict: refuse the set where an entry is at fault or a file is missing. Else the sample
            concerned is kept, and reading its truth (or image) raises that fault.

    Raises:
        DataError: no such layout, broken JSON, faulty entries, missing files, no images at all.
        ConfigError: `ignore` names no category.
    """
    root = Path(path)
    parts = _find_parts(root)
    if not parts:
        raise DataError(
            f"{root} holds no COCO panoptic annotations: expected {LAYOUT}; found "
            f"{folders.what_is_in(root)}."
            if root.exists()
            else f"{root} does not exist; check the path."
        )
    documents = {part.file: load(part.file) for part in parts.values()}
    classes, class_of = join_categories(documents, tuple(ignore))
    notes: list[str] = []
    splits = {
        split: _read_split(part, documents[part.file], classes, class_of, strict, notes)
        for split, part in parts.items()
    }
    if not any(splits.values()):
        raise DataError(f"{root} is an empty set: its annotations name no image; add some.")
    return Dataset(
        root=root, format="coco_panoptic", classes=classes, splits=splits, notes=tuple(notes)
    )


def write(dataset: Dataset, path: Path | str) -> tuple[str, ...]:
    """Write annotations/panoptic_SPLIT.json and PNGs beside SPLIT/ with the images.

    Where a file brought no segments they are made: the class map with the objects above it, the
    smaller above the larger. Things of the class map that no object tells apart are a crowd.

    Args:
        dataset: with any truth but boxes alone.
        path: a new or empty folder.

    Returns:
        A sentence for each thing that was left out.

    Raises:
        DataError: `path` holds something.
    """
    return write_set("coco_panoptic", dataset, target_of(dataset, Path(path)), write_sample, finish)


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
    counted = lost(
        {
            "the scores of {} objects": sum(one.score is not None for one in objects),
            "the track ids of {} objects": sum(one.track_id is not None for one in objects),
        }
    )
    truth, losses = with_panoptic(truth)
    segments = truth.panoptic
    if segments is None or segments.segment_ids.max(initial=0) >= _MOST:
        raise DataError(f"{split}/{sample.name}: expected segment ids below {_MOST}; renumber.")
    pngs = _pngs(target, split)
    images = target.root / ("images" if target.alone else split)
    image = folders.copy_image(sample, images, target.link)
    ids = np.where(np.isin(segments.segment_ids, list(segments.class_of)), segments.segment_ids, 0)
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
    write_bytes(pngs / f"{sample.name}.png", encode_png(colours))
    entry = {
        "file_name": image.relative_to(images).as_posix(),
        "height": truth.size[0],
        "width": truth.size[1],
        "segments": list(_segments_info(segments)),
    }
    return Written(entry=entry, losses=counted + losses)


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write each split's JSON."""
    for split, own in entries.items():
        write_document(
            _pngs(target, split).with_suffix(".json"),
            {
                "images": _image_entries(own),
                "annotations": _annotations(own),
                "categories": iter(categories_of(target.classes)),
            },
        )


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
) -> Segmentation:
    """The segments of one image, and the class map and objects that follow.

    Args:
        png: of segment ids.
        infos: the entry's "segments_info", checked.
        class_of: category id -> class id; segments of other categories become void.
        classes: of the data set.
        image: the photo.
        source: the JSON, for the errors' text.

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
    crowds = frozenset(info["id"] for info in infos if info.get("iscrowd") and info["id"] in kept)
    panoptic = Panoptic(
        segment_ids=cleaned[positions].reshape(ids.shape), class_of=kept, crowds=crowds
    )
    return Segmentation(
        size=size,
        classes=classes,
        semantic=class_map_of(panoptic, classes),
        instances=segments_of(panoptic, classes.things),
        panoptic=panoptic,
    )


def _pngs(target: Target, split: str) -> Path:
    return target.root / "annotations" / f"panoptic_{split}"


def _segments_info(panoptic: Panoptic) -> Iterator[Entry]:
    for one, number in zip(segments_of(panoptic), _seen(panoptic), strict=True):
        left, top, right, bottom = (int(edge) for edge in one.box_xyxy)
        yield {
            "id": number,
            "category_id": one.class_id + 1,
            "area": one.mask.area if one.mask else 0,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": int(one.crowd),
        }


def _seen(panoptic: Panoptic) -> list[int]:
    present = set(np.unique(panoptic.segment_ids).tolist())
    return [number for number in sorted(panoptic.class_of) if number in present]


def _image_entries(entries: Sequence[Entry]) -> Iterator[Entry]:
    for number, entry in enumerate(entries, start=1):
        yield {"id": number} | {key: v for key, v in entry.items() if key != "segments"}


def _annotations(entries: Sequence[Entry]) -> Iterator[Entry]:
    for number, entry in enumerate(entries, start=1):
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
    part: _Part,
    document: Mapping[str, list[Entry]],
    classes: Classes,
    class_of: Mapping[int, int],
    strict: bool,
    notes: list[str],
) -> tuple[Sample, ...]:
    known = {entry["id"] for entry in document["categories"]}
    images = images_by_id(document["images"], part.file, None if strict else notes)
    faults: dict[Any, list[str]] = defaultdict(list)
    by_image: dict[int, Entry] = {}
    for entry in document["annotations"]:
        key = entry.get("image_id")
        fault = _fault_of(entry, images, known, by_image)
        if fault:
            faults[key if key in images else None].append(fault)
        else:
            by_image[entry["image_id"]] = entry
    samples = []
    for key, image in images.items():
        entry = by_image.get(key, {})
        faults[key] += _missing(part, image["file_name"], entry) if not faults[key] else []
        samples.append(_sample(part, image, entry, faults[key], classes, class_of))
    told = [fault for key, found in faults.items() for fault in found]
    if strict and told:
        raise DataError(f"{part.file}: {folders.shortlist(told)}. Mend or remove these entries.")
    if faults[None]:
        notes.append(f"{part.file}: {folders.shortlist(faults[None])}; left out.")
    return tuple(sorted(samples, key=lambda sample: sample.name))


def _sample(
    part: _Part,
    image: Entry,
    entry: Entry,
    faults: list[str],
    classes: Classes,
    class_of: Mapping[int, int],
) -> Sample:
    photo = part.images / image["file_name"]
    if faults:
        truth = partial(folders.refuse, f"{part.file}: {'; '.join(faults)}.")
    else:
        png = part.pngs / entry["file_name"]
        truth = partial(
            read_truth, png, entry["segments_info"], class_of, classes, photo, part.file
        )
    return Sample(
        name=PurePosixPath(image["file_name"]).with_suffix("").as_posix(),
        image=photo,
        truth_of=truth,
        tasks=frozenset({"panoptic", "semantic", "instances", "boxes"}),
    )


def _missing(part: _Part, file_name: str, entry: Entry) -> list[str]:
    if not entry:
        return [f"image {file_name} has no annotation"]
    files = [part.images / file_name, part.pngs / entry["file_name"]]
    return [f"{file} does not exist" for file in files if not file.is_file()]


def _fault_of(
    entry: Entry,
    images: Mapping[int, Entry],
    categories: set[int],
    before: Mapping[int, Entry],
) -> str:
    key, infos, name = entry.get("image_id"), entry.get("segments_info"), entry.get("file_name")
    if not isinstance(key, int) or key not in images:
        return f"an annotation has image_id {key!r}, which no image has"
    called = f"the annotation of image {key} ({images[key]['file_name']})"
    if key in before:
        return f"{called} stands there twice"
    if not isinstance(name, str) or ".." in PurePosixPath(name).parts or name.startswith("/"):
        return f'{called} has the "file_name" {name!r}, expected a PNG below the folder'
    if not isinstance(infos, list):
        return f'{called} lacks the list "segments_info"'
    for info in infos:
        number = info.get("id") if isinstance(info, dict) else None
        if not isinstance(number, int) or not 0 < number < _MOST:
            return f"{called} has the segment {str(info)[:80]}, expected an id in 1..{_MOST - 1}"
        if info.get("category_id") not in categories:
            return (
                f"{called}: segment {number} has category_id {info.get('category_id')!r}, but the "
                f"categories are {sorted(categories)}"
            )
    return ""
