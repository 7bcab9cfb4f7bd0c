"""Where COCO annotation files and their images lie; `coco` reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from maskwright.formats import folders

FILE_NAMES = ("instances.json", "annotations.json", "boxes.json", "_annotations.coco.json")
"""In the order in which they are preferred where a folder has several."""

_SPLIT_FILE = re.compile(r"instances_(?P<folder>(?P<split>[a-zA-Z]+).*)\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The annotations of one split.

    Attributes:
        split: its name.
        file: the JSON.
        images: the folder that the entries' file names are relative to.
        others: names of further annotation files beside it, which are not read.
    """

    split: str
    file: Path
    images: Path
    others: str = ""


def find_parts(root: Path) -> list[Part]:
    """The annotation files of a set, train, val, test first; empty where none are."""
    if root.is_file():
        return [_single(root)] if root.suffix.lower() == ".json" else []
    inside = {child.name: part for child in folders.subfolders(root) if (part := _in_folder(child))}
    if inside:
        names = folders.name_splits(inside)
        return [_renamed(inside[folder], names[folder]) for folder in folders.split_order(names)]
    official = _official(root)
    if official:
        return official
    alone = _in_folder(root)
    return [alone] if alone else []


def _in_folder(folder: Path) -> Part | None:
    present = [name for name in FILE_NAMES if (folder / name).is_file()]
    if not present:
        return None
    return Part(
        split=folders.NO_SPLIT,
        file=folder / present[0],
        images=folders.first_folder([folder / "images", folder]),
        others=", ".join(present[1:]),
    )


def _official(root: Path) -> list[Part]:
    """annotations/instances_train2017.json beside train2017/ or images/train2017/."""
    found = {}
    for file in sorted((root / "annotations").glob("instances_*.json")):
        match = _SPLIT_FILE.fullmatch(file.name)
        if match:
            found[match["folder"]] = (match["split"], file)
    splits = [split for split, _ in found.values()]
    if len(set(splits)) < len(splits):  # train2014 and train2017 side by side
        found = {folder: (folder, file) for folder, (_, file) in found.items()}
    parts = {}
    for folder, (split, file) in found.items():
        places = [root / folder, root / "images" / folder, root / split, root / "images" / split]
        images = folders.first_folder([*places, root / "images", root])
        parts[split] = Part(split=split, file=file, images=images)
    names = folders.name_splits(parts)
    return [_renamed(parts[split], names[split]) for split in folders.split_order(names)]


def _single(file: Path) -> Part:
    if file.parent.name == "annotations":
        beside = [part for part in _official(file.parent.parent) if part.file == file]
        if beside:
            return _renamed(beside[0], folders.NO_SPLIT)
    images = folders.first_folder([file.parent / "images", file.parent])
    return Part(split=folders.NO_SPLIT, file=file, images=images)


def _renamed(part: Part, split: str) -> Part:
    return Part(split=split, file=part.file, images=part.images, others=part.others)
