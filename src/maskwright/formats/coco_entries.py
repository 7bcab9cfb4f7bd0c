"""What stands in a COCO JSON, checked: every fault names the file and the entry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.formats import folders

Entry = dict[str, Any]
"""An image, annotation or category as it stands in the file."""

Document = dict[str, list[Entry]]
"""A file's lists: "images", "annotations", "categories"."""


def load(file: Path) -> Document:
    """Read a COCO file.

    Raises:
        DataError: it is no JSON, or lacks one of the lists.
    """
    return checked(folders.read_json(file), file)


def checked(document: Any, file: Path) -> Document:
    """The value of a COCO file, if it has the lists.

    Raises:
        DataError: it lacks one of them.
    """
    for key in ("images", "annotations", "categories"):
        entries = document.get(key) if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(
                f'{file}: expected COCO, an object with lists "images", "annotations" and '
                f'"categories", but "{key}" is {type(entries).__name__}; check the file.'
            )
    return document


def join_categories(
    documents: Mapping[Path, Document], ignore: tuple[str, ...]
) -> tuple[Classes, dict[int, int]]:
    """The categories of all splits' files, as classes, and category id -> class id.

    Raises:
        DataError: ids and names contradict each other, or nothing is left.
        ConfigError: `ignore` names no category.
    """
    categories: dict[int, Entry] = {}
    for file, document in documents.items():
        for entry in document["categories"]:
            _check_category(entry, categories, file)
            categories[entry["id"]] = entry
    names = {entry["name"] for entry in categories.values()}
    unknown = [name for name in ignore if name not in names]
    if unknown:
        raise ConfigError(f"no category {unknown[0]!r}; they are {', '.join(sorted(names))}.")
    kept = [categories[i] for i in sorted(categories) if categories[i]["name"] not in ignore]
    if not kept:
        raise DataError(f"{next(iter(documents))} leaves no category; expected at least one.")
    colours: list[Any] = [entry.get("color") for entry in kept]
    coloured = all(isinstance(colour, list) and len(colour) == 3 for colour in colours)
    classes = Classes.of(
        (entry["name"] for entry in kept),
        colours if coloured else None,
        (rank for rank, entry in enumerate(kept) if entry.get("isthing", 1)),
    )
    return classes, {entry["id"]: rank for rank, entry in enumerate(kept)}


def _check_category(entry: Entry, known: Mapping[int, Entry], file: Path) -> None:
    if not isinstance(entry.get("id"), int) or not isinstance(entry.get("name"), str):
        raise DataError(f'{file}: expected a category with "id" and "name", got {entry}; mend it.')
    same_id = known.get(entry["id"], entry)["name"]
    same_name = [other["id"] for other in known.values() if other["name"] == entry["name"]]
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
        path = PurePosixPath(name)
        stem = path.with_suffix("").as_posix() if path.name else ""
        below = bool(path.name) and not path.is_absolute() and ".." not in path.parts
        fault = ""
        if not isinstance(entry.get("id"), int) or not below:
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


def fault_of(entry: Entry, images: Mapping[int, Entry], categories: set[int]) -> str:
    """What is wrong with an annotation, or ""; segmentations are looked at when decoded."""
    image, category, box = entry.get("image_id"), entry.get("category_id"), entry.get("bbox")
    if not isinstance(image, int) or image not in images:
        return f"has image_id {image!r}, which no image has"
    if not isinstance(category, int) or category not in categories:
        return f"has category_id {category!r}, but the categories are {sorted(categories)}"
    if box is None and entry.get("segmentation"):
        return ""
    edges = box if isinstance(box, list) and len(box) == 4 else [math.nan]
    finite = all(isinstance(edge, int | float) and math.isfinite(edge) for edge in edges)
    if not finite or edges[2] < 0 or edges[3] < 0:
        return f"has the box {box!r}, expected [left, top, width, height] in pixels"
    return ""


def called(entry: Entry) -> str:
    """An annotation's name in messages."""
    return f"annotation {entry.get('id', '(without id)')}"
