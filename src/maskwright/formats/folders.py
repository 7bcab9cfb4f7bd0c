"""What the formats share about folders: images below them, their splits, sizes and copies."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskwright.core.errors import DataError
from maskwright.core.files import LONGEST_NAME, write_bytes
from maskwright.core.image import (
    IMAGE_SUFFIXES,
    encode_png,
    open_picture,
    plain_jpeg_size,
    png_is_plain,
    read_bytes,
    read_image,
)
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Folder names that mean a split -> the split's name here."""

NO_SPLIT = "all"
"""The split's name where a set has none."""

_EXIF_ORIENTATION = 274


def find_images(folder: Path) -> dict[str, Path]:
    """Every visible image below a folder, sorted: relative path without suffix -> file.

    Raises:
        DataError: two images differ in their suffix only, so that one name would mean both.
    """
    found = group_images(folder)
    for name, paths in found.items():
        if len(paths) > 1:
            raise DataError(same_name(folder, name, paths))
    return {name: paths[0] for name, paths in found.items()}


def group_images(folder: Path) -> dict[str, list[Path]]:
    """The same where a name may mean several files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file():
            found.setdefault(relative.with_suffix("").as_posix(), []).append(path)
    return found


def same_name(folder: Path, name: str, paths: Sequence[Path]) -> str:
    """The error's text where several images have one name."""
    return (
        f"{folder} holds {' and '.join(path.name for path in paths)}: expected one image for each "
        f"name, but {name!r} without suffix means them all; rename or remove some."
    )


def name_splits(folders: Iterable[str]) -> dict[str, str]:
    """Folder names -> split names: "valid" becomes "val" and so on, unless that would clash."""
    folders = tuple(folders)
    named = {folder: SPLIT_NAMES.get(folder.lower(), folder) for folder in folders}
    if len(set(named.values())) < len(folders):
        return {folder: folder for folder in folders}
    return named


def split_order(names: Mapping[str, str]) -> list[str]:
    """The folders of `name_splits`, train, val and test first."""
    usual = ("train", "val", "test")
    return sorted(names, key=lambda f: (usual.index(names[f]) if names[f] in usual else 3, f))


def subfolders(folder: Path) -> list[Path]:
    """The visible folders right below, sorted; none where `folder` is no folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def first_folder(places: Iterable[Path]) -> Path:
    """The first that exists; the very first where none does."""
    places = list(places)
    return next((place for place in places if place.is_dir()), places[0])


def image_sizes(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) of an image upright, as `core.image.read_image` gives it, and as stored.

    Reads the header only, unless the image has an EXIF orientation.

    Raises:
        DataError: the file is missing or no image.
    """
    plain = plain_jpeg_size(path)
    if plain is not None:
        return plain, plain
    try:
        with open_picture(path) as picture:
            stored = (picture.height, picture.width)
            whole = picture.format == "PNG" and png_is_plain(path)
            turned = not whole and picture.getexif().get(_EXIF_ORIENTATION, 1) != 1
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        turned, stored = True, (0, 0)  # a format that Pillow lacks, or a fault for read_image
    if not turned:
        return stored, stored
    height, width = read_image(path).shape[:2]
    return (height, width), stored if stored != (0, 0) else (height, width)


def check_size(annotation: str, size: tuple[int, int], image: Path | np.ndarray) -> None:
    """Refuse an annotation whose (height, width) differs from its upright image's.

    Args:
        annotation: what has that size, for the error's text.
        size: (height, width) that the annotation was made for.
        image: the photo.

    Raises:
        DataError: the sizes differ, or the image can't be read.
    """
    if isinstance(image, np.ndarray):
        upright = stored = (image.shape[0], image.shape[1])
    else:
        upright, stored = image_sizes(image)
    if size == upright:
        return
    what = image if isinstance(image, Path) else "its image"
    if size == stored:
        raise DataError(
            f"{annotation} is {_text(size)}, the size of {what} before its EXIF rotation; upright "
            f"it is {_text(upright)}. Turn the annotation the same way, or save the image without "
            "the EXIF orientation."
        )
    raise DataError(
        f"{annotation} is {_text(size)}, but {what} is {_text(upright)} (height x width); expected "
        "the same size. Annotate this image again, or scale the annotation by nearest neighbour."
    )


def copy_image(sample: Sample, folder: Path, link: bool = False, name: str = "") -> Path:
    """Write a sample's image below `folder`: a file as it is, pixels as PNG.

    Args:
        sample: whose image it is.
        folder: where it goes.
        link: a hard link instead of a copy, where the file system can.
        name: without suffix; the sample's own unless given.

    Returns:
        The file written.
    """
    stem = name or sample.name
    if isinstance(sample.image, Path):
        target = folder / f"{stem}{sample.image.suffix.lower()}"
        if not (link and _linked(sample.image, target)):
            write_bytes(target, read_bytes(sample.image))
    else:
        target = folder / f"{stem}.png"
        write_bytes(target, encode_png(sample.image))
    return target


def _linked(source: Path, target: Path) -> bool:
    """Whether `target` now is a hard link to `source`: not across file systems."""
    read_bytes(source)  # an empty or missing file is refused as it is when copied
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if target.samefile(source):
                return True
            target.unlink()
        os.link(source.resolve(), target)
    except OSError:
        return False
    return True


def is_below(name: str) -> bool:
    """Whether a path stays below the folder that it is relative to."""
    path = Path(name)
    plain = bool(path.name) and not path.anchor and ".." not in path.parts
    return plain and "\0" not in name and all(map(_can_be_written, path.parts))


def _can_be_written(part: str) -> bool:
    """Whether a file or folder may be called so: no half of a surrogate pair, not too long."""
    try:
        return len(part.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder lies there; names that no file can have name none."""
    with contextlib.suppress(OSError, ValueError):
        return path.is_dir()
    return False


def is_file(path: Path) -> bool:
    """The same of a file."""
    with contextlib.suppress(OSError, ValueError):
        return path.is_file()
    return False


def require_empty(path: Path) -> None:
    """Refuse a folder that already holds something, before a whole set is written there.

    Raises:
        DataError: it is a file, or not empty.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise DataError(
            f"{path} exists and is not empty; expected a new folder, so that two sets don't mix. "
            "Choose another, or remove it."
        )


def refuse(message: str) -> Segmentation:
    """The truth of a sample that has none: raises when it is read.

    Raises:
        DataError: always, with `message`.
    """
    raise DataError(message)


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        DataError: it is missing or no valid JSON.
    """
    data = read_bytes(path)
    collecting = gc.isenabled()
    gc.disable()  # what is parsed holds no cycles, and looking for them takes a third of the time
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no valid JSON ({error}); mend it or copy it again.") from None
    finally:
        if collecting:
            gc.enable()


def shortlist(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def what_is_in(path: Path) -> str:
    """What a folder holds, for the text of an error."""
    if not path.is_dir():
        return f"the file {path.name}"
    inside = sorted(p.name + ("/" if p.is_dir() else "") for p in path.iterdir())
    return shortlist(inside, 12) if inside else "nothing"


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
