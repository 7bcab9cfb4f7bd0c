"""What stands in a COCO JSON, checked: every fault names the file and the entry."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.formats import folders
from maskwright.formats.class_ids import kept_ranks

Entry = dict[str, Any]
"""An image, annotation or category as it stands in the file."""

MOST_SEGMENTS = 256**3
"""Panoptic segment ids lie below: three bytes of a PNG."""

Document = dict[str, list[Entry]]
"""A file's lists: "images", "annotations", "categories"."""


def load(file: Path, left_out: list[str] | None = None) -> Document:
    """Read a COCO file.

    Args:
        file: the JSON.
        left_out: takes a sentence for the entries that are no objects, which are then left out.

    Raises:
        DataError: it is no JSON, or lacks one of the lists; an entry is no object, without
            `left_out`.
    """
    return checked(folders.read_json(file), file, left_out)


def checked(document: Any, file: Path, left_out: list[str] | None = None) -> Document:
    """The value of a COCO file, if it has the lists; arguments and errors as of `load`."""
    for key in ("images", "annotations", "categories"):
        entries = document.get(key) if isinstance(document, dict) else None
        if isinstance(entries, list) and left_out is not None:
            whole = [entry for entry in entries if isinstance(entry, dict)]
            if len(whole) < len(entries):
                left_out.append(
                    f'{file}: {len(entries) - len(whole)} entries of "{key}" are no objects; '
                    "left out."
                )
            document[key] = entries = whole
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(
                f'{file}: expected COCO, an object with lists "images", "annotations" and '
                f'"categories", but "{key}" is {type(entries).__name__}; check the file.'
            )
        for entry in entries:
            _make_whole(entry)
    return document


def _make_whole(entry: Entry) -> None:
    """Ids that programs wrote as 1.0 are taken as 1, as pycocotools does."""
    for key in ("id", "image_id", "category_id"):
        value = entry.get(key)
        if isinstance(value, float) and value.is_integer():
            entry[key] = int(value)


def about_of(document: Document) -> dict[str, Any]:
    """What a file tells beside images and annotations: see `Dataset.about`."""
    return {key: value for key, value in document.items() if key not in ("images", "annotations")}


def extras_of_image(entry: Entry) -> dict[str, Any]:
    """What the entry of an image tells beside its name and size: see `Segmentation.extras`."""
    return {k: value for k, value in entry.items() if k not in ("file_name", "height", "width")}


def is_running(entries: Sequence[Entry]) -> bool:
    """Whether ids are what any writer gives: 0, 1, 2 ... or 1, 2, 3 ..., in order."""
    ids = [entry.get("id") for entry in entries]
    return ids in ([*range(len(ids))], [*range(1, len(ids) + 1)], [None] * len(ids))


def drop_supercategory(file: Path, document: Document) -> Iterator[str]:
    """Leave out a category that only stands above the others, as Roboflow exports it.

    It has the id 0 and no object, and either another category has its name, or it is named as the
    supercategory of all others. What is left out is told.
    """
    first = next((one for one in document["categories"] if one.get("id") == 0), None)
    others = [one for one in document["categories"] if one is not first]
    if first is None or not others:
        return
    name = first.get("name")
    twin = any(one.get("name") == name for one in others)
    above = all(one.get("supercategory") == name for one in others)
    if not (twin or above) or any(one.get("category_id") == 0 for one in document["annotations"]):
        return
    document["categories"].remove(first)
    yield (
        f"{file}: category 0 ({str(name)[:80]}) has no object and stands above the others; "
        "left out."
    )


def image_of(entry: Entry, images: Mapping[int, Entry]) -> int | None:
    """The id of an image that there is, as an annotation names it; None for any other."""
    image = entry.get("image_id")
    return image if isinstance(image, int) and image in images else None


def join_categories(
    documents: Mapping[Path, Document], ignore: tuple[str, ...], left_out: list[str] | None = None
) -> tuple[Classes, dict[int, int]]:
    """The categories of all splits' files, as classes, and category id -> class id.

    Args:
        documents: file -> its lists.
        ignore: names of categories to leave out.
        left_out: takes a sentence for each faulty category, which then leaves its list.

    Raises:
        DataError: ids and names contradict each other, or nothing is left.
        ConfigError: `ignore` names no category, or all of them.
    """
    categories: dict[int, Entry] = {}
    ids_of_name: dict[str, list[int]] = {}
    for file, document in documents.items():
        for entry in list(document["categories"]):
            try:
                _check_category(entry, categories, ids_of_name, file)
            except DataError as error:
                if left_out is None:
                    raise
                left_out.append(f"{error} Left out.")
                document["categories"].remove(entry)
                continue
            if entry["id"] not in categories:
                ids_of_name.setdefault(entry["name"], []).append(entry["id"])
            categories[entry["id"]] = entry
    source = next(iter(documents))
    if not categories:
        raise DataError(f"{source} names no category; expected at least one. Add it.")
    every = [categories[i] for i in sorted(categories)]
    ranks = kept_ranks([entry["name"] for entry in every], ignore, source, "category")
    kept = [every[rank] for rank in ranks]
    colours: list[Any] = [entry.get("color") for entry in kept]
    coloured = all(isinstance(colour, list) and len(colour) == 3 for colour in colours)
    classes = Classes.of(
        (entry["name"] for entry in kept),
        colours if coloured else None,
        (rank for rank, entry in enumerate(kept) if is_set(entry, "isthing", 1)),
    )
    return classes, {entry["id"]: rank for rank, entry in enumerate(kept)}


def names_by_id(documents: Mapping[Path, Document]) -> dict[int, str]:
    """Category id -> name, of files that `join_categories` accepted."""
    return {
        entry["id"]: entry["name"]
        for document in documents.values()
        for entry in document["categories"]
    }


def _check_category(
    entry: Entry, known: Mapping[int, Entry], ids_of_name: Mapping[str, list[int]], file: Path
) -> None:
    named = isinstance(entry, dict) and isinstance(entry.get("name"), str)
    if not named or not isinstance(entry.get("id"), int):
        raise DataError(
            f'{file}: expected a category with "id" and "name", got {str(entry)[:200]}; mend it.'
        )
    if fault := flag_fault(entry, "isthing"):
        raise DataError(f"{file}: category {entry['id']} {fault}; mend it.")
    same_id = known.get(entry["id"], entry)["name"]
    same_name = ids_of_name.get(entry["name"], [])
    if same_id != entry["name"] or same_name not in ([], [entry["id"]]):
        raise DataError(
            f"{file}: category {entry['id']} is {entry['name']!r}, but before it was {same_id!r} "
            f"or {entry['name']!r} had id {same_name}; ids and names must agree over all splits."
        )


def images_by_id(
    entries: Sequence[Entry], file: Path, left_out: list[str] | None = None
) -> dict[int, Entry]:
    """Image id -> entry, its file name with "/" between folders.

    Args:
        entries: of the list "images".
        file: the JSON, for messages.
        left_out: takes a sentence for each faulty entry, which is then left out.

    Raises:
        DataError: an entry without id or name, a name outside the image folder, or one twice;
            without `left_out`.
    """
    images: dict[int, Entry] = {}
    names: set[str] = set()
    for entry in entries:
        name = str(entry.get("file_name", "")).replace("\\", "/")
        stem = stem_of(name)
        fault = ""
        if not isinstance(entry.get("id"), int) or not folders.is_below(name):
            fault = (
                f'{file}: expected an image with an integer "id" and a "file_name" below the '
                f"image folder, got {str(entry)[:200]}; mend this entry."
            )
        elif entry["id"] in images or stem in names:
            fault = (
                f"{file}: image {entry['id']} ({name}) stands there twice, by its id or by its "
                "name without suffix; remove or rename one."
            )
        if fault and left_out is None:
            raise DataError(fault)
        if fault and left_out is not None:
            left_out.append(f"{fault} Left out.")
            continue
        images[entry["id"]] = entry | {"file_name": name}
        names.add(stem)
    return images


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the entries of a list may refer to.

    Attributes:
        categories: their ids.
        images: id -> entry; None where ids aren't the file's own: results use those of the
            labelled set, or names.
        segments: whether entries are panoptic: a PNG and the segments in it.
    """

    categories: Collection[int]
    images: Mapping[int, Entry] | None = None
    segments: bool = False


def is_set(entry: Entry, key: str, default: int = 0) -> bool:
    """A flag of an entry that `flag_fault` lets pass."""
    value = entry.get(key)
    return bool(default if value is None else value)


def flag_fault(entry: Entry, key: str) -> str:
    """What is wrong with a flag, or "": text is always true, and so is NaN."""
    value = entry.get(key)
    if value is None or (isinstance(value, int | float) and value in (0, 1)):
        return ""
    return f'has "{key}" {str(value)[:40]!r}, expected 0 or 1'


def fault_of(entry: object, known: Known) -> str:
    """What is wrong with an annotation or a result, or ""; a phrase that follows its name.

    Segmentations are looked at when they are decoded.
    """
    if not isinstance(entry, dict):
        return f'is {str(entry)[:80]}, expected an object with "image_id", "category_id" ...; mend'
    if known.segments:
        return _image_fault(entry, known) or _png_fault(entry) or _segments_fault(entry, known)
    return (
        _image_fault(entry, known)
        or _category_fault(entry, known)
        or _score_fault(entry)
        or _box_fault(entry)
        or flag_fault(entry, "iscrowd")
    )


def _image_fault(entry: Entry, known: Known) -> str:
    image = entry.get("image_id")
    if known.images is not None:
        there = isinstance(image, int) and image in known.images
        return "" if there else f"has image_id {repr(image)[:40]}, which no image has"
    if known.segments or isinstance(image, int | str):  # the PNG's name tells the image
        return ""
    return f"has image_id {repr(image)[:40]}, expected a number or a name"


def _category_fault(entry: Entry, known: Known) -> str:
    category = entry.get("category_id")
    if isinstance(category, int) and category in known.categories:
        return ""
    ids = folders.shortlist([str(i) for i in sorted(known.categories)], 20)
    return f"has category_id {repr(category)[:40]}, but the categories are {ids}"


def _score_fault(entry: Entry) -> str:
    score = entry.get("score")
    if score is None or is_finite(score):
        return ""
    return f"has the score {str(score)[:40]}, expected a finite number"


def _box_fault(entry: Entry) -> str:
    box = entry.get("bbox")
    if box is None and entry.get("segmentation"):
        return ""
    edges = box if isinstance(box, list) and len(box) == 4 else [math.nan]
    if all(map(is_finite, edges)) and min(edges[2:]) >= 0:
        return ""
    if box is None:
        return 'has neither "bbox" nor "segmentation"; expected one of them'
    return f"has the box {str(box)[:80]}, expected [left, top, width, height] in pixels"


def _png_fault(entry: Entry) -> str:
    name = entry.get("file_name")
    if isinstance(name, str) and folders.is_below(name):
        return ""
    return f'has the "file_name" {str(name)[:80]!r}, expected a PNG below the folder'


def _segments_fault(entry: Entry, known: Known) -> str:
    infos = entry.get("segments_info")
    if not isinstance(infos, list):
        return f'lacks the list "segments_info", got {str(infos)[:80]}'
    for info in infos:
        number = info.get("id") if isinstance(info, dict) else None
        if not isinstance(number, int) or not 0 < number < MOST_SEGMENTS:
            expected = f"expected an id in 1..{MOST_SEGMENTS - 1}"
            return f"has the segment {str(info)[:80]}, {expected}"
        fault = _category_fault(info, known) or flag_fault(info, "iscrowd")
        if fault:
            return f"has a segment {number} that {fault}"
    return ""


def unwrapped(segmentation: Any) -> Any:
    """A list of one run-length coded mask means that mask, as pycocotools takes it."""
    if isinstance(segmentation, list) and len(segmentation) == 1:
        return segmentation[0] if isinstance(segmentation[0], dict) else segmentation
    return segmentation


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a file may hold."""
    try:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number too long for a float
        return False


@lru_cache(1 << 16)
def stem_of(name: str) -> str:
    """A file's path without suffix."""
    return PurePosixPath(name).with_suffix("").as_posix() if PurePosixPath(name).name else ""


def called(entry: Entry) -> str:
    """An annotation's name in messages."""
    return f"annotation {entry.get('id', '(without id)')}"
