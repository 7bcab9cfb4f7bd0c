"""data.yaml of YOLO sets, and where their images and label files lie; `yolo` reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.image import IMAGE_SUFFIXES
from maskwright.core.outline import Vertices
from maskwright.formats import folders
from maskwright.formats.text_files import read_text

NOT_WRITTEN = frozenset({"kpt_shape", "flip_idx", "kpt_names", "download"})
"""Keys of rows of key points, which aren't written, and of what tools fetch or run unasked."""

NOT_SPLITS = frozenset({"path", "names", "nc", "vertices", "palette", "things", "download"})
"""Keys of data.yaml that never name a split."""

MOST_CLASSES = 65535
"""What 16 bits of class id can tell apart, beside void."""

BOXES = ("row", "rectangle", "leave-out")
"""What an object without mask may become where polygons are written."""

_MOST_ALIASES = 16

_SUFFIXES = (".yaml", ".yml")
_TELLING = re.compile(rb"^(names|nc|train|val|test)\s*:", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class YoloOptions:
    """How the polygons of YOLO rows are meant.

    Attributes:
        vertices: what a polygon's corner is: "centre" (a pixel, filled by OpenCV's rule) or "edge"
            (a corner of pixels, filled by the COCO API's). None asks the key "vertices" of
            data.yaml when reading, and takes "centre" where it lacks and when writing.
        boxes: what an object without mask becomes where polygons are written: "row", a row of its
            box (YOLO tools misread or drop a file that holds both), "rectangle", a polygon of the
            box's corners, or "leave-out".

    Raises:
        ConfigError: `vertices` or `boxes` is something else.
    """

    vertices: Vertices | None = None
    boxes: str = "row"

    def __post_init__(self) -> None:
        if self.boxes not in BOXES:
            raise ConfigError(
                f"expected boxes to be one of {', '.join(BOXES)}, got {self.boxes!r}; choose one."
            )
        if self.vertices not in (None, *get_args(Vertices)):
            raise ConfigError(
                f"expected vertices to be 'centre' or 'edge', got {self.vertices!r}; choose one."
            )


@dataclass(frozen=True, kw_only=True)
class Description:
    """What data.yaml (or, without one, the folders) says of a set.

    Attributes:
        source: data.yaml, or None.
        bases: folders that the entries may be relative to, the likeliest first.
        names: id in the files -> class name; None where nothing tells.
        splits: as named in the file -> folders of images, or .txt lists of them.
        extras: every other key of data.yaml, as text.
    """

    source: Path | None
    bases: tuple[Path, ...]
    names: Mapping[int, str] | None
    splits: Mapping[str, tuple[str, ...]]
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An image and the label file that belongs to it, whether or not they exist."""

    name: str
    image: Path
    label: Path


def describe(root: Path) -> Description | None:
    """What a folder or a .yaml file says of a YOLO set; None where it looks like none.

    Raises:
        DataError: a damaged data.yaml.
    """
    source = _find_yaml(root)
    if source is not None:
        return _read_yaml(source)
    splits = _mirrored(root)
    if not splits:
        return None
    return Description(source=None, bases=(root,), names=_listed_names(root), splits=splits)


def looks_like_yolo(root: Path) -> str:
    """Why a path may be a YOLO set, or ""; opens no more than one file."""
    source = _find_yaml(root)
    if source is not None:
        return f"{source.name} with class names"
    mirrored = [entry for entries in _mirrored(root).values() for entry in entries]
    return f"label files beside {', '.join(mirrored)}/" if mirrored else ""


def find_pairs(description: Description, split: str) -> list[Pair]:
    """The images of a split with their label files, sorted by name; names may repeat.

    Raises:
        DataError: a folder or list that doesn't exist.
    """
    places = [_resolve(entry, split, description) for entry in description.splits[split]]
    images: dict[Path, None] = {}
    for place in places:
        images.update(dict.fromkeys(_listed(place) if place.is_file() else _below(place)))
    if not images:
        return []
    tops = {image.parent for image in images}
    if all(place.is_dir() for place in places):
        tops = set(places)
    top = Path(os.path.commonpath(tops))
    return sorted(
        (
            Pair(
                name=image.relative_to(top).with_suffix("").as_posix(),
                image=image,
                label=label_of(image),
            )
            for image in images
        ),
        key=lambda pair: (pair.name, pair.image),
    )


def label_of(image: Path) -> Path:
    """images/ -> labels/ (the last such folder that has a mirror), else beside the image."""
    for place in range(len(image.parts) - 2, -1, -1):
        if image.parts[place] == "images":
            mirror = Path(*image.parts[:place], "labels")
            if mirror.is_dir():
                return mirror.joinpath(*image.parts[place + 1 :]).with_suffix(".txt")
    return image.with_suffix(".txt")


def about_of(description: Description) -> dict[str, Any]:
    """The keys of data.yaml that say nothing of images, classes or rows, whole numbers as such."""
    skipped = {*NOT_SPLITS, *description.splits, *folders.SPLIT_NAMES} - {*NOT_WRITTEN}
    return {key: _plain(value) for key, value in description.extras.items() if key not in skipped}


def keypoints_of(description: Description) -> tuple[int, int] | None:
    """How many key points a row holds after its box and of how many numbers each ("kpt_shape").

    Raises:
        DataError: it is something else than [points, 2] or [points, 3].
    """
    stated = description.extras.get("kpt_shape")
    if stated is None:
        return None
    sides = stated if isinstance(stated, list) else [stated]
    whole = [int(s) for s in sides if isinstance(s, str) and s.isdecimal() and len(s) < 6]
    if len(whole) != 2 or len(sides) != 2 or whole[1] not in (2, 3):
        raise DataError(
            f'{description.source}: expected "kpt_shape" as [POINTS, 2] or [POINTS, 3], got '
            f"{str(stated)[:80]}; mend it, or remove the key."
        )
    return whole[0], whole[1]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    whole = isinstance(value, str) and value.isdecimal() and str(int(value[:18])) == value
    return int(value) if whole else value


def _find_yaml(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix.lower() in _SUFFIXES else None
    if not root.is_dir():
        return None
    files = [p for p in root.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()]
    files.sort(key=lambda p: (p.stem.lower() not in {"data", "dataset"}, p.name))
    return next((file for file in files if _TELLING.search(file.read_bytes())), None)


def _read_yaml(source: Path) -> Description:
    import yaml  # costs a command that reads no YOLO set 15 ms

    try:
        # Everything as text: "no" and "007" are names. BaseLoader can build no other objects.
        text = read_text(source)
        events = yaml.parse(text, Loader=yaml.BaseLoader)
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in events)
        if aliases > _MOST_ALIASES:
            raise DataError(
                f"{source} has {aliases} aliases (*name), expected at most {_MOST_ALIASES}: a few "
                "that name each other can stand for billions of entries. Write the values out."
            )
        data = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{source} is no valid YAML ({error}); mend it.") from None
    if not isinstance(data, dict):
        raise DataError(
            f'{source}: expected "names" and "train", "val" or "test", got '
            f"{'nothing' if not data else type(data).__name__}; write them as KEY: VALUE."
        )
    here = source.resolve().parent
    stated = data.get("path")
    base = here / stated if isinstance(stated, str) else here
    bases = (base, here) if folders.is_folder(base) else (here,)
    return Description(
        source=source,
        bases=bases,
        names=_names(data, source),
        splits=dict(_splits(data, bases, source)),
        extras={key: value for key, value in data.items() if isinstance(key, str)},
    )


def _names(data: Mapping[str, Any], source: Path) -> dict[int, str] | None:
    names = data.get("names")
    if names is None:
        count = str(data.get("nc", ""))
        return _counted(count, source) if count.isdecimal() else None
    entries = dict(enumerate(names)) if isinstance(names, list) else names
    good = isinstance(entries, dict) and all(
        str(key).strip().isdecimal() and isinstance(name, str) and name
        for key, name in entries.items()
    )
    if not good or not entries:
        raise DataError(
            f'{source}: expected "names" as a list of class names, or as ID: NAME, got '
            f"{type(names).__name__} {repr(names)[:80]}; mend it."
        )
    return {int(key): str(name) for key, name in sorted(entries.items(), key=lambda e: int(e[0]))}


def _counted(count: str, source: Path) -> dict[int, str]:
    if len(count) > 5 or int(count) > MOST_CLASSES:
        raise DataError(
            f'{source}: expected "nc" up to {MOST_CLASSES}, got {count[:40]}; mend it, or name the '
            'classes under "names".'
        )
    return {i: f"class_{i}" for i in range(int(count))}


def _splits(
    data: Mapping[str, Any], bases: tuple[Path, ...], source: Path
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """train, val, test, and further keys whose value is a folder that exists."""
    for key, value in data.items():
        if not isinstance(key, str) or key in NOT_SPLITS or not value:
            continue
        entries = (value,) if isinstance(value, str) else value
        texts = isinstance(entries, list | tuple) and all(e and isinstance(e, str) for e in entries)
        known = key.lower() in folders.SPLIT_NAMES
        if texts and (known or folders.is_folder(bases[0] / entries[0])):
            yield key, tuple(entries)
        elif known:
            raise DataError(
                f"{source}: expected {key!r} as a folder, a .txt file or a list of them, got "
                f"{type(value).__name__} {repr(value)[:80]}; mend it."
            )


def _resolve(entry: str, split: str, description: Description) -> Path:
    """A folder or list as it is named, or where exports put it that start one folder too high."""
    plain = entry.replace("\\", "/")
    without_dots = re.sub(r"^(\.\./)+", "", plain)
    for wanted in (plain, without_dots):
        for base in description.bases:
            place = base / wanted
            if folders.is_folder(place) or (
                folders.is_file(place) and place.suffix.lower() == ".txt"
            ):
                found = Path(os.path.normpath(place))
                _refuse_above(found, split, description)
                return found
    raise DataError(
        f"{description.source}: {split!r} names {entry!r}, but neither such a folder nor such a "
        f".txt list is in {' or '.join(str(base) for base in description.bases)}; mend the path, "
        "or remove the key."
    )


def _refuse_above(place: Path, split: str, description: Description) -> None:
    """Refuse a folder that the whole set lies in, such as "/": its images aren't the set's."""
    home = description.source.resolve().parent if description.source else description.bases[0]
    if place.resolve() in home.parents:
        raise DataError(
            f"{description.source}: {split!r} names {place}, in which the set itself lies; "
            "expected a folder of its images. Mend the path."
        )


def _below(folder: Path) -> Iterator[Path]:
    for paths in folders.group_images(folder).values():
        yield from paths


def _listed(file: Path) -> Iterator[Path]:
    """The images that a .txt file lists, relative to the file (or to its parent folders)."""
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        entry = line.strip().replace("\\", "/")
        if not entry:
            continue
        if Path(entry).suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(
                f"{file}, line {number}: expected the path of an image, got {entry[:80]!r}."
            )
        places = [parent / entry for parent in (file.parent, *file.parent.parents[:2])]
        found = next((place for place in places if folders.is_file(place)), places[0])
        yield Path(os.path.normpath(found))


def _mirrored(root: Path) -> dict[str, tuple[str, ...]]:
    """Split -> its image folder below `root`, where label files lie in the mirrored folder."""
    images = root / "images"
    if images.is_dir() and _has_labels(root / "labels"):
        inner = [
            child.name
            for child in folders.subfolders(images)
            if child.name.lower() in folders.SPLIT_NAMES
        ]
        return {name: (f"images/{name}",) for name in inner} or {folders.NO_SPLIT: ("images",)}
    return {
        child.name: (f"{child.name}/images",)
        for child in folders.subfolders(root)
        if (child / "images").is_dir() and _has_labels(child / "labels")
    }


def _has_labels(folder: Path) -> bool:
    return folder.is_dir() and next(folder.rglob("*.txt"), None) is not None


def _listed_names(root: Path) -> dict[int, str] | None:
    """The lines of classes.txt, in the order of the ids."""
    for file in (root / "classes.txt", root / "labels" / "classes.txt"):
        if file.is_file():
            lines = [line.strip() for line in read_text(file).splitlines()]
            return {i: name for i, name in enumerate(lines) if name}
    return None


def vertices_of(description: Description) -> Vertices | None:
    """What data.yaml says of corners; None where it says nothing.

    Raises:
        DataError: it says something else than centre or edge.
    """
    stated = description.extras.get("vertices")
    for known in get_args(Vertices):
        if stated == known:
            return known
    if stated is None:
        return None
    raise DataError(
        f'{description.source}: expected "vertices" to be centre or edge, got {stated!r:.40}; '
        "mend it, or remove the key."
    )
