"""LabelMe: a JSON file an image, beside it or in a folder of their own.

    root/a.jpg  root/a.json  root/labels.txt            one split, "all"
    root/train/a.jpg  root/train/a.json                 folders named train, val, test are splits
    root/images/a.jpg  root/annotations/a.json          "imagePath" tells: ../images/a.jpg

Polygons, rectangles (boxes), circles, ellipses and masks (pixels in a box) are read; lines and
points cover no area and are counted. Shapes of one label and one group_id are one object.
labels.txt lists the classes, a line each. Where no image file is found, that in "imageData" is
taken. `labelme_write` writes.

Reference: K. Wada, "Labelme: Image Polygonal Annotation with Python", the files' fields as its
documentation and examples show them.
"""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.core.image import IMAGE_SUFFIXES, MAX_PIXELS, open_picture, read_image_bytes
from maskwright.formats import fields, folders, shapes
from maskwright.formats.drawings import DrawingOptions
from maskwright.formats.fields import Fields
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.labelme_write import finish, write_sample
from maskwright.formats.shapes import Shape
from maskwright.formats.sheets import Sheet, assemble, find_image
from maskwright.formats.text_files import read_text

LAYOUT = "labelme: NAME.jpg beside NAME.json, or SPLIT/NAME.jpg beside SPLIT/NAME.json"

LABELS = "labels.txt"

_TELLING = re.compile(rb'"(imagePath|imageData)"\s*:')
_HEAD = 1 << 16
_TRIED = 20  # files that are looked into, before a folder is something else
_MOST_EMBEDDED = 1 << 28  # pixels of images inside of JSON files, which are held in memory
_NO_AREA = frozenset({"line", "linestrip", "point", "points"})
_NO_CLASSES = frozenset({"__ignore__", "_background_"})  # lines of labels.txt that aren't drawn


def detect(path: Path) -> str | None:
    """Why a path looks like LabelMe's, or None."""
    if path.is_file():
        return f"LabelMe's {path.name}" if _is_labelme(path) else None
    files = itertools.islice(_json_files(path), _TRIED)
    found = next((file for file in files if _is_labelme(file)), None)
    return f"LabelMe's JSON files ({found.relative_to(path).as_posix()} ...)" if found else None


def _is_labelme(file: Path) -> bool:
    """By the keys at its head or end: an embedded image may stand between."""
    if file.suffix.lower() != ".json":
        return False
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
            opened.seek(max(len(head), file.stat().st_size - _HEAD))
            both = head + opened.read(_HEAD)
    except OSError:
        return False
    return b'"shapes"' in both and _TELLING.search(both) is not None


def _json_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*.json") if folder.is_dir() else ():
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


@dataclass(kw_only=True, slots=True)
class _Budget:
    """How many pixels of embedded images may still be held."""

    left: int = _MOST_EMBEDDED


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    root = reading.root
    if detect(root) is None:
        return None
    budget = _Budget()
    top = root.parent if root.is_file() else root
    if root.is_file():
        sheets = {folders.NO_SPLIT: [_sheet(root, top, top, budget)]}
    else:
        sheets = {
            split: _sheets_in(reading, folder, budget)
            for split, folder in _split_folders(root).items()
        }
    return assemble(reading, sheets, _listed(top), _source(top))


def _split_folders(root: Path) -> dict[str, Path]:
    """Split -> its folder; the root alone where no folder is called as a split."""
    tops = {one.name: one for one in folders.subfolders(root) if next(_json_files(one), None)}
    if not any(name.lower() in folders.SPLIT_NAMES for name in tops):
        return {folders.NO_SPLIT: root}
    names = folders.name_splits(tops)
    return {names[folder]: tops[folder] for folder in folders.split_order(names)}


def _source(top: Path) -> str:
    listed = top / LABELS
    return str(listed) if listed.is_file() else f"the JSON files of {top}"


def _listed(top: Path) -> dict[str, Colour | None]:
    if not (top / LABELS).is_file():
        return {}
    lines = [line.strip() for line in read_text(top / LABELS).splitlines()]
    return {line: None for line in lines if line and line not in _NO_CLASSES}


def _sheets_in(reading: Reading, folder: Path, budget: _Budget) -> list[Sheet]:
    sheets = []
    for file in sorted(_json_files(folder)):
        beside = any(file.with_suffix(suffix).is_file() for suffix in IMAGE_SUFFIXES)
        if beside or _is_labelme(file):
            sheets.append(_sheet(file, folder, reading.root, budget))
    used = {sheet.image for sheet in sheets if isinstance(sheet.image, Path)}
    others = [p for own in folders.group_images(folder).values() for p in own if p not in used]
    if others:
        names = folders.shortlist([path.relative_to(folder).as_posix() for path in others])
        reading.notes.append(f"{len(others)} images have no JSON file: {names}. Left out.")
    return sheets


def _sheet(file: Path, folder: Path, root: Path, budget: _Budget) -> Sheet:
    name = file.relative_to(folder).with_suffix("").as_posix()
    empty = Sheet(name=name, image=file.with_suffix(".jpg"), source=str(file))
    sheet, fault = empty, ""
    try:
        document = fields.as_object(folders.read_json(file), "the file")
        try:
            sheet = replace(empty, image=_image(document, file, root, budget))
        except DataError as error:  # its shapes tell classes all the same
            fault = f"{file}: {error}"
        return replace(_filled(sheet, document), fault=fault)
    except DataError as error:
        text = str(error)
        return replace(sheet, fault=text if str(file) in text else f"{file}: {text}")


def _image(document: Fields, file: Path, root: Path, budget: _Budget) -> Path | np.ndarray:
    """The file that "imagePath" means, one called as the JSON, or the pixels in "imageData"."""
    stated = document.get("imagePath")
    path = stated.replace("\\", "/") if isinstance(stated, str) else ""
    names = [path, path.rpartition("/")[2]]
    suffixes = [each for one in sorted(IMAGE_SUFFIXES) for each in (one, one.upper())]
    names += [file.with_suffix(suffix).name for suffix in suffixes]
    found = find_image([file.parent], names, root if root.is_dir() else root.parent)
    if found is not None and found.suffix.lower() in IMAGE_SUFFIXES:
        return found
    data = document.get("imageData")
    if isinstance(data, str) and data:
        return _embedded(data, file, budget)
    raise DataError(
        f'there is no image {fields.shown(stated)} beside it, and none in "imageData"; add it.'
    )


def _embedded(data: str, file: Path, budget: _Budget) -> np.ndarray:
    encoded = _decoded(data, '"imageData"')
    budget.left -= _stated_pixels(encoded)
    if budget.left < 0:  # before it takes the memory
        raise DataError(
            f"the images inside the JSON files have more than {_MOST_EMBEDDED} pixels in all; "
            "save them as files beside the JSON files."
        )
    return read_image_bytes(encoded, f"the imageData of {file}")


def _stated_pixels(encoded: bytes) -> int:
    """The number of pixels that an image's header tells."""
    try:
        with open_picture(io.BytesIO(encoded)) as picture:
            return picture.width * picture.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise DataError(f'its "imageData" is no image ({len(encoded)} bytes); mend it.') from None


def _decoded(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise fields.wrong(f"{what} to be a text in base64", text)
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise fields.wrong(f"{what} to be a text in base64", text) from None


def _filled(sheet: Sheet, document: Fields) -> Sheet:
    told: Counter[str] = Counter()
    found = []
    for number, entry in enumerate(fields.objects_in(document, "shapes"), start=1):
        with fields.at(f"shape {number}"):
            shape = _shape(entry, told)
        if shape is not None:
            found.append(replace(shape, called=f"shape {number}"))
    extras = {"flags": document["flags"]} if _has_flags(document) else {}
    size = fields.size_of(document, "imageHeight", "imageWidth")
    return replace(sheet, shapes=tuple(found), size=size, extras=extras, told=told)


def _has_flags(entry: Fields) -> bool:
    flags = entry.get("flags")
    return isinstance(flags, dict) and any(flags.values())


def _shape(entry: Fields, told: Counter[str]) -> Shape | None:
    label = fields.text_in(entry, "label")
    kind = entry.get("shape_type", "polygon")
    if isinstance(kind, str) and kind in _NO_AREA:
        told["{} lines and points cover no area and are left out."] += 1
        return None
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise fields.wrong(f'"shape_type" to be one of {", ".join((*_KINDS, *_NO_AREA))}', kind)
    points = fields.as_pairs(entry.get("points"), '"points"')
    extras = {"flags": entry["flags"]} if _has_flags(entry) else {}
    if isinstance(entry.get("description"), str) and entry["description"]:
        extras["description"] = entry["description"]
    group = _group(entry)
    if group is not None:
        extras["group_id"] = group
    return replace(read(label, points, entry), group=group, extras=extras)


def _group(entry: Fields) -> int | None:
    return None if entry.get("group_id") is None else fields.whole_in(entry, "group_id")


def _polygon(label: str, points: np.ndarray, _: Fields) -> Shape:
    return shapes.polygon(label, points)


def _rectangle(label: str, points: np.ndarray, _: Fields) -> Shape:
    return shapes.rectangle(label, points)


def _circle(label: str, points: np.ndarray, _: Fields) -> Shape:
    """A centre, and a point on the line."""
    _require_two(points)
    (x, y), (other_x, other_y) = points.tolist()
    radius = math.hypot(other_x - x, other_y - y)
    return shapes.ellipse(label, (x, y), (radius, radius))


def _ellipse(label: str, points: np.ndarray, _: Fields) -> Shape:
    """Two opposite corners of the box around it."""
    _require_two(points)
    x, y = points.mean(axis=0).tolist()
    radius_x, radius_y = (np.abs(points[1] - points[0]) / 2).tolist()
    return shapes.ellipse(label, (x, y), (radius_x, radius_y))


def _mask(label: str, points: np.ndarray, entry: Fields) -> Shape:
    """The first and the last pixel of a box, and a PNG of that size."""
    _require_two(points)
    shapes.rectangle(label, points)  # refuses absurd corners
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = np.floor(points.max(axis=0)).astype(int).tolist()
    size = (bottom - top + 1, right - left + 1)
    if size[0] * size[1] > MAX_PIXELS:
        raise fields.wrong("a mask within its image", points.tolist())
    data = _decoded(entry.get("mask"), '"mask"')
    return shapes.stencil(label, left, top, size, partial(_read_mask, data, size))


def _read_mask(data: bytes, size: shapes.Size) -> np.ndarray:
    return shapes.stencil_of_png(data, size, size[0] * size[1])


def _require_two(points: np.ndarray) -> None:
    if len(points) != 2:
        raise fields.wrong('"points" to be two', points.tolist())


_KINDS: dict[str, Callable[[str, np.ndarray, Fields], Shape]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "ellipse": _ellipse,
    "mask": _mask,
}
"""shape_type -> (label, points [N, 2], the entry) -> the shape."""

FORMAT = Format(
    name="labelme",
    title="LabelMe annotations",
    layout=LAYOUT,
    tasks=frozenset({"instances", "boxes"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
    options=DrawingOptions,
    holds=frozenset({"flags", "description", "group_id"}),
    holds_of_images=frozenset({"flags"}),
)
"""See the top of this file. Objects become polygons, several of one group_id where a mask has
several parts, or masks with `DrawingOptions(masks=True)`; objects without a mask rectangles."""

read, write = FORMAT.read, FORMAT.write
