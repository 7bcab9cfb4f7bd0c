"""Where COCO annotation files and their images lie; `coco` reads them.

Tools call the files as they like: the names that they are known by are tried first, then a folder's
only JSON file that holds COCO's three lists. The folder of images is the one in which the images
that the file names are found.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.core.errors import DataError
from maskwright.formats import folders

FILE_NAMES = (
    "instances.json",
    "annotations.json",
    "boxes.json",
    "_annotations.coco.json",  # Roboflow
)
"""In the order in which they are preferred where a folder has several."""

_SHARED_NAMES = ("labels.json", "result.json", "person_keypoints.json")
"""FiftyOne's, Label Studio's and others', which files that aren't COCO may have, too."""

_KINDS = ("instances_", "", "person_keypoints_")
"""What the names of files in annotations/ begin with, the preferred first."""

_SPLIT_FILE = re.compile(
    r"(?P<kind>instances_|person_keypoints_|)(?P<folder>(?P<split>[a-zA-Z]+).*)\.json"
)
_FOLDERS = ("images", "data", "JPEGImages")
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_PANOPTIC = b'"segments_info"'
_TRIED = 20  # images, by which the folder is chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The annotations of one split.

    Attributes:
        split: its name.
        file: the JSON.
        places: folders that the entries' file names may be relative to, the likeliest first.
        others: names of further annotation files beside it, which are not read.
    """

    split: str
    file: Path
    places: tuple[Path, ...]
    others: str = ""

    @property
    def images(self) -> Path:
        """The folder that the entries' file names are relative to."""
        return folders.first_folder(self.places)

    def among(self, names: Sequence[str]) -> Part:
        """The same, its folder of images the one that holds most of the first of these files."""
        tried = [name for name in names if folders.is_below(name)][:_TRIED]
        found = [sum((place / name).is_file() for name in tried) for place in self.places]
        if not any(found):
            return self
        return replace(self, places=(self.places[found.index(max(found))],))


def find_parts(root: Path) -> list[Part]:
    """The annotation files of a set, train, val, test first; empty where none are."""
    if root.is_file():
        return [_single(root)] if root.suffix.lower() == ".json" else []
    inside = {child.name: part for child in folders.subfolders(root) if (part := _in_folder(child))}
    inside.pop("annotations", None)  # its images lie beside it
    if inside:
        names = folders.name_splits(inside)
        return [_renamed(inside[folder], names[folder]) for folder in folders.split_order(names)]
    official = _official(root, root / "annotations") or _official(root, root, bare=False)
    if official:
        return official
    alone = _in_folder(root) or _in_folder(root / "annotations", root)
    return [alone] if alone else []


def with_images(parts: Iterable[Part], folder: str) -> list[Part]:
    """The same parts, their images in the folder that the caller names.

    Raises:
        DataError: there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(f"{place} is no folder; expected the one that holds the images.")
    return [
        replace(part, places=(place / part.split, place / part.file.stem, place)) for part in parts
    ]


def _in_folder(folder: Path, home: Path | None = None) -> Part | None:
    """The annotation file right in a folder; its images lie in `home`, which is `folder` itself."""
    present = [name for name in FILE_NAMES if (folder / name).is_file()]
    present += [name for name in _SHARED_NAMES if looks_like_coco(folder / name)]
    if not present:
        only = [p for p in folder.glob("*.json") if not p.name.startswith(".")]
        if len(only) != 1 or not looks_like_coco(only[0]):
            return None
        present = [only[0].name]
    return Part(
        split=folders.NO_SPLIT,
        file=folder / present[0],
        places=tuple(_around(home or folder)),
        others=", ".join(present[1:]),
    )


def _around(home: Path) -> list[Path]:
    """Folders in which images may lie: the usual names, the folder itself, all others below."""
    usual = [home / name for name in _FOLDERS]
    return [*usual, home, *(child for child in folders.subfolders(home) if child not in usual)]


def _official(root: Path, folder: Path, bare: bool = True) -> list[Part]:
    """annotations/instances_train2017.json beside train2017/ or images/train2017/.

    Args:
        root: of the set.
        folder: that holds the JSON files.
        bare: whether any word may be a split's name, not only train, val, test.
    """
    found: dict[str, dict[str, tuple[str, Path]]] = {}
    for file in sorted(folder.glob("*.json")):
        match = _SPLIT_FILE.fullmatch(file.name)
        if match is None or (not match["kind"] and not _is_split(match["split"], bare, file)):
            continue
        if not match["kind"] and not looks_like_coco(file):
            continue
        found.setdefault(match["folder"], {})[match["kind"]] = (match["split"], file)
    best = {name: _preferred(kinds) for name, kinds in found.items()}
    splits = [split for split, _, _ in best.values()]
    if len(set(splits)) < len(splits):  # train2014 and train2017 side by side
        best = {name: (name, file, others) for name, (_, file, others) in best.items()}
    parts = {}
    for name, (split, file, others) in best.items():
        places = [root / name, root / "images" / name, root / split, root / "images" / split]
        parts[split] = Part(
            split=split, file=file, places=(*places, *_around(root)), others=", ".join(others)
        )
    names = folders.name_splits(parts)
    return [_renamed(parts[split], names[split]) for split in folders.split_order(names)]


def _is_split(name: str, bare: bool, file: Path) -> bool:
    told = name.lower() in folders.SPLIT_NAMES
    return told or (bare and (file.parent.parent / "images" / file.stem).is_dir())


def _preferred(kinds: Mapping[str, tuple[str, Path]]) -> tuple[str, Path, list[str]]:
    """(split, file, names of the others) of the files of one split."""
    first, *rest = [kinds[kind] for kind in _KINDS if kind in kinds]
    return first[0], first[1], [file.name for _, file in rest]


def looks_like_coco(file: Path) -> bool:
    """Whether a file holds the names of COCO's three lists; it isn't parsed."""
    if not file.is_file() or not file.stat().st_size:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return all(text.find(key) >= 0 for key in _KEYS) and text.find(_PANOPTIC) < 0


def _single(file: Path) -> Part:
    if file.parent.name == "annotations":
        beside = [p for p in _official(file.parent.parent, file.parent) if p.file == file]
        if beside:
            return _renamed(beside[0], folders.NO_SPLIT)
        around = _around(file.parent.parent)
        own = [file.parent.parent / "images" / file.stem, file.parent.parent / file.stem]
        return Part(split=folders.NO_SPLIT, file=file, places=(*own, *around, file.parent))
    return Part(split=folders.NO_SPLIT, file=file, places=tuple(_around(file.parent)))


def _renamed(part: Part, split: str) -> Part:
    return replace(part, split=split)
