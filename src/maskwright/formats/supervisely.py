"""Supervisely: a JSON file an image in folders of data sets, classes in meta.json.

    root/meta.json  root/train/img/a.jpg  root/train/ann/a.jpg.json
    root/meta.json  root/img/a.jpg        root/ann/a.jpg.json

Rectangles (boxes), polygons with holes and bitmaps are read; lines, points and the like are
counted. Corners are pixels, both ends included, filled by OpenCV's rule (`core.outline`). Folders
of data sets are splits. Sets can't be written in this format.

Reference: Supervisely's documentation, "Supervisely JSON format" (docs.supervisely.com).
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.core.image import IMAGE_SUFFIXES, MAX_PIXELS
from maskwright.core.mask import Mask
from maskwright.core.outline import fill_centres
from maskwright.formats import fields, folders, shapes
from maskwright.formats.cvat_shapes import colour_of
from maskwright.formats.fields import Fields
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.shapes import Shape, Size
from maskwright.formats.sheets import Sheet, assemble, find_image, stem_of

LAYOUT = "supervisely: meta.json, DATASET/img/NAME.jpg and DATASET/ann/NAME.jpg.json"

_NO_AREA = frozenset(
    {"line", "polyline", "point", "graph", "cuboid", "cuboid_2d", "multichannel_bitmap"}
)
_MOST_BYTES = 1 << 27  # of a bitmap's PNG: far more than any packs to


def detect(path: Path) -> str | None:
    """Why a path looks like Supervisely's, or None."""
    homes = _find(path)
    if not homes:
        return None
    names = [home.name for home in homes.values()]
    return f"Supervisely's img/ and ann/ in {folders.shortlist(names)}"


def _find(root: Path) -> dict[str, Path]:
    """Split -> the folder with img/ and ann/."""
    if _is_home(root) and ((root / "meta.json").is_file() or (root.parent / "meta.json").is_file()):
        return {folders.NO_SPLIT: root}
    if not (root / "meta.json").is_file():
        return {}
    inside = {child.name: child for child in folders.subfolders(root) if _is_home(child)}
    names = folders.name_splits(inside)
    if len(inside) == 1 and not set(names.values()) & set(folders.SPLIT_NAMES.values()):
        names = dict.fromkeys(inside, folders.NO_SPLIT)
    return {names[folder]: inside[folder] for folder in folders.split_order(names)}


def _is_home(folder: Path) -> bool:
    return (folder / "img").is_dir() and (folder / "ann").is_dir()


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    homes = _find(reading.root)
    if not homes:
        return None
    meta = next(
        file for folder in (reading.root, reading.root.parent)
         if (file := folder / "meta.json").is_file()
    )  # fmt: skip
    listed = _classes(meta)
    reading.notes.append("Corners are taken for pixels, both ends included, as Supervisely does.")
    sheets = {split: _sheets(reading, home) for split, home in homes.items()}
    return assemble(reading, sheets, listed, str(meta))


def _classes(meta: Path) -> dict[str, Colour | None]:
    document = fields.as_object(folders.read_json(meta), str(meta))
    with fields.at(meta):
        found: dict[str, Colour | None] = {}
        for entry in fields.objects_in(document, "classes"):
            colour = entry.get("color")
            name = fields.text_in(entry, "title")
            found[name] = colour_of(colour if isinstance(colour, str) else None)
        return found


def _sheets(reading: Reading, home: Path) -> list[Sheet]:
    sheets = [_sheet(file, home) for file in sorted((home / "ann").rglob("*.json"))]
    used = {sheet.image for sheet in sheets if isinstance(sheet.image, Path)}
    every = folders.group_images(home / "img")
    others = [path.name for own in every.values() for path in own if path not in used]
    if others:
        reading.notes.append(
            f"{len(others)} images have no JSON file in {home / 'ann'}: "
            f"{folders.shortlist(others)}. Left out."
        )
    return sheets


def _sheet(file: Path, home: Path) -> Sheet:
    called = file.relative_to(home / "ann").as_posix().removesuffix(".json")
    suffixes = [each for one in sorted(IMAGE_SUFFIXES) for each in (one, one.upper())]
    options = [called, *(f"{called}{suffix}" for suffix in suffixes)]
    image = find_image([home / "img"], options, home)
    known = Path(called).suffix.lower() in IMAGE_SUFFIXES
    sheet = Sheet(
        name=stem_of(called) if known else called,
        image=image or home / "img" / called,
        source=str(file),
    )
    try:
        filled = _filled(sheet, fields.as_object(folders.read_json(file), "the file"))
    except DataError as error:
        text = str(error)
        return replace(sheet, fault=text if str(file) in text else f"{file}: {text}")
    missing = f"{file}: there is no image {called!r} in {home / 'img'}; add it."
    return filled if image is not None else replace(filled, fault=missing)


def _filled(sheet: Sheet, document: Fields) -> Sheet:
    told: Counter[str] = Counter()
    size = None
    if document.get("size") is not None:
        size = fields.size_of(fields.as_object(document["size"], '"size"'), "height", "width")
    told["{} images have tags, which are not kept."] += bool(document.get("tags"))
    return replace(sheet, shapes=tuple(_shapes(document, told)), size=size, told=told)


def _shapes(document: Fields, told: Counter[str]) -> Iterator[Shape]:
    for number, entry in enumerate(fields.objects_in(document, "objects"), start=1):
        kind = entry.get("geometryType", entry.get("shape"))
        if isinstance(kind, str) and kind in _NO_AREA:
            told["{} lines, points, graphs and cuboids are left out."] += 1
            continue
        with fields.at(f"object {number}"):
            read = _KINDS.get(kind) if isinstance(kind, str) else None
            if read is None:
                raise fields.wrong(f'"geometryType" to be one of {", ".join(_KINDS)}', kind)
            shape = read(fields.text_in(entry, "classTitle"), entry)
        extras = {"tags": entry["tags"]} if entry.get("tags") else {}
        yield replace(shape, extras=extras, called=f"object {number}")


def _corners(entry: Fields) -> tuple[np.ndarray, list[np.ndarray]]:
    points = fields.as_object(entry.get("points"), '"points"')
    outer = fields.as_pairs(points.get("exterior"), '"exterior"')
    holes = fields.as_list(points.get("interior") or [], '"interior"')
    return outer, [fields.as_pairs(hole, '"interior"') for hole in holes]


def _rectangle(label: str, entry: Fields) -> Shape:
    corners, _ = _corners(entry)
    if len(corners) != 2:
        raise fields.wrong('"exterior" of a rectangle to be two corners', corners.tolist())
    return shapes.rectangle(label, np.array([corners.min(axis=0), corners.max(axis=0) + 1]))


def _polygon(label: str, entry: Fields) -> Shape:
    outer, holes = _corners(entry)
    around = shapes.polygon(label, outer, holes)  # refuses what is no polygon
    for hole in holes:
        shapes.polygon(label, hole)
    left, top, right, bottom = around.box_xyxy
    loops = tuple(np.rint(loop).astype(np.int64) for loop in (outer, *holes))
    return replace(
        around,
        box_xyxy=(left, top, right + 1, bottom + 1),
        pixels=partial(_fill, loops),
        corners=None,  # they aren't filled by the COCO API's rule
    )


def _fill(loops: tuple[np.ndarray, ...], size: Size) -> Mask:
    pixels = fill_centres(loops[0], size)
    for hole in loops[1:]:
        pixels = pixels & ~fill_centres(hole, size)
    return Mask.encode(pixels)


def _bitmap(label: str, entry: Fields) -> Shape:
    """A PNG, packed by zlib, in base64; "origin" is where its first pixel lies."""
    bitmap = fields.as_object(entry.get("bitmap"), '"bitmap"')
    origin = fields.as_pairs([bitmap.get("origin")], '"origin"')
    shapes.rectangle(label, origin.repeat(2, axis=0))  # refuses absurd places
    left, top = np.rint(origin[0]).astype(int).tolist()
    try:
        packed = base64.b64decode(fields.text_in(bitmap, "data"), validate=True)
    except (ValueError, binascii.Error):
        raise fields.wrong('"data" to be a text in base64', bitmap.get("data")) from None
    return Shape(
        label=label,
        box_xyxy=(left, top, left + 1, top + 1),
        pixels=partial(_unpacked, left, top, packed),
    )


def _unpacked(left: int, top: int, packed: bytes, size: Size) -> Mask:
    unpacker = zlib.decompressobj()
    try:
        png = unpacker.decompress(packed, _MOST_BYTES)
    except zlib.error as error:
        raise DataError(f"its bitmap can't be unpacked ({error}); draw it again.") from None
    if unpacker.unconsumed_tail:
        raise DataError(f"its bitmap unpacks to more than {_MOST_BYTES} bytes; draw it again.")
    largest = min(MAX_PIXELS, size[0] * size[1])
    pixels = shapes.stencil_of_png(png, None, largest)
    return shapes.laid(pixels, left, top, size)


_KINDS: dict[str, Callable[[str, Fields], Shape]] = {
    "rectangle": _rectangle,
    "polygon": _polygon,
    "bitmap": _bitmap,
}
"""geometryType -> (label, the object) -> the shape."""

FORMAT = Format(
    name="supervisely",
    title="Supervisely annotations",
    layout=LAYOUT,
    tasks=frozenset({"instances", "boxes"}),
    scan=_scan,
    detect=detect,
)
"""See the top of this file; it is only read."""

read = FORMAT.read
