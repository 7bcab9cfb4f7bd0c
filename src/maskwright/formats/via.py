"""VGG Image Annotator (VIA), versions 1 and 2: one JSON file for all images of a folder.

    root/via_region_data.json  root/a.jpg       an export; "regions" is a list, or an object
    root/my_project.json       root/images/..   a project: the same inside of "_via_img_metadata"
    root/train/via_region_data.json             a folder a split

Rectangles (boxes), polygons, circles and ellipses are read; points and polylines are counted. VIA
has no classes: one attribute of the regions tells them, "name", "label", "class", "type" or
"category" if any is used, else the one that most regions have; without one, all are "object".
Sets can't be written in this format.

Reference: A. Dutta, A. Zisserman, "The VIA Annotation Software for Images, Audio and Video", ACM
Multimedia 2019; the files' fields as the tool's documentation shows them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.formats import fields, folders, shapes
from maskwright.formats.fields import Fields
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.json_files import find_files, has_keys
from maskwright.formats.shapes import Shape
from maskwright.formats.sheets import Sheet, assemble, find_image, stem_of

LAYOUT = "via: via_region_data.json (or a project of VIA) beside its images, or SPLIT/..."

ONLY_CLASS = "object"
"""The class of regions that no attribute tells apart."""

_LIKELY = ("name", "label", "class", "type", "category")
_NO_AREA = frozenset({"point", "polyline", "line"})


def detect(path: Path) -> str | None:
    """Why a path looks like VIA's, or None."""
    files = [file.name for own in find_files(path, _is_via).values() for file in own]
    return f"VIA's {folders.shortlist(files)}" if files else None


def _is_via(head: bytes) -> bool:
    return has_keys(head, "filename", "regions") or has_keys(head, "_via_img_metadata")


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    found = find_files(reading.root, _is_via)
    if not found:
        return None
    entries: dict[str, list[tuple[Path, str, Any]]] = {}
    for split, files in found.items():
        if len(files) > 1:
            others = ", ".join(file.name for file in files[1:])
            reading.notes.append(f"{files[0]} is used, {others} are not.")
        entries[split] = [(files[0], key, entry) for key, entry in _entries(files[0]).items()]
    attribute = _attribute(entry for own in entries.values() for _, _, entry in own)
    reading.notes.append(
        f"The attribute {attribute!r} of a region tells its class."
        if attribute
        else f"The regions have no attribute: all are of the class {ONLY_CLASS!r}."
    )
    sheets = {
        split: [s for one in own if (s := _named(reading, *one, attribute)) is not None]
        for split, own in entries.items()
    }
    source = ", ".join(str(files[0]) for files in found.values())
    return assemble(reading, sheets, {} if attribute else {ONLY_CLASS: None}, source)


def _entries(file: Path) -> Fields:
    document = fields.as_object(folders.read_json(file), str(file))
    with fields.at(file):
        if "_via_img_metadata" in document:
            return fields.as_object(document["_via_img_metadata"], '"_via_img_metadata"')
    return document


def _regions(entry: object) -> list[Any]:
    """The regions of an image: a list, or (version 1) an object of them."""
    found = entry.get("regions") if isinstance(entry, dict) else None
    return [*found.values()] if isinstance(found, dict) else fields.as_list(found, '"regions"')


def _attribute(entries: Iterable[object]) -> str:
    """The attribute that tells classes; "" where no region has one."""
    used: Counter[str] = Counter()
    for entry in entries:
        try:
            regions = _regions(entry)
        except DataError:  # told when the image is read
            continue
        for region in regions:
            own = region.get("region_attributes") if isinstance(region, dict) else None
            if isinstance(own, dict):
                used.update(key for key in own if _class_in(own, key))
    likely = [key for one in _LIKELY for key in used if key.lower() == one]
    return max(likely or used, key=lambda key: used[key], default="")


def _class_in(attributes: object, key: str) -> str:
    """A class in an attribute: a text, or the one choice that is set; "" where none is."""
    value = attributes.get(key) if isinstance(attributes, dict) else None
    if isinstance(value, dict):
        chosen = [choice for choice, on in value.items() if on]
        value = chosen[0] if len(chosen) == 1 else None
    return value.strip() if isinstance(value, str) else ""


def _named(reading: Reading, file: Path, key: str, entry: object, attribute: str) -> Sheet | None:
    """An image's entry; None where it names none, and reading is lenient."""
    source = f"{file}, {key[:100]!r}"
    name = entry.get("filename") if isinstance(entry, dict) else None
    plain = name.replace("\\", "/") if isinstance(name, str) else ""
    if not folders.is_below(plain):
        fault = f'{source}: expected "filename" below the folder, got {fields.shown(name)}; mend.'
        reading.refuse(fault)
        reading.notes.append(f"{fault} Left out.")
        return None
    top = reading.root if reading.root.is_dir() else reading.root.parent
    home = file.parent
    image = find_image([home, home / "images"], [plain, plain.rpartition("/")[2]], top)
    sheet = Sheet(name=stem_of(plain), image=image or home / plain, source=source)
    missing = f"{source}: there is no image {plain!r} beside it; add it." if image is None else ""
    try:
        told: Counter[str] = Counter()
        drawn = tuple(_shapes(entry, attribute, told))
        return replace(sheet, shapes=drawn, told=told, fault=missing)
    except DataError as error:
        return replace(sheet, fault=f"{source}: {error}")


def _shapes(entry: object, attribute: str, told: Counter[str]) -> Iterator[Shape]:
    for number, region in enumerate(_regions(entry), start=1):
        with fields.at(f"region {number}"):
            shape = _shape(fields.as_object(region, "a region"), attribute, told)
        if shape is not None:
            yield replace(shape, called=f"region {number}")
    attributes = entry.get("file_attributes") if isinstance(entry, dict) else None
    used = isinstance(attributes, dict) and any(attributes.values())
    told["{} images have attributes of their own, which are not kept."] += used


def _shape(region: Fields, attribute: str, told: Counter[str]) -> Shape | None:
    drawn = fields.as_object(region.get("shape_attributes"), '"shape_attributes"')
    kind = drawn.get("name")
    if isinstance(kind, str) and kind in _NO_AREA:
        told["{} points and lines cover no area and are left out."] += 1
        return None
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise fields.wrong(f'a shape\'s "name" to be one of {", ".join(_KINDS)}', kind)
    attributes = fields.as_object(region.get("region_attributes") or {}, '"region_attributes"')
    label = _class_in(attributes, attribute) if attribute else ONLY_CLASS
    if not label:
        raise fields.wrong(f"the attribute {attribute!r} to tell a class", attributes)
    others = {key: value for key, value in attributes.items() if key != attribute and value}
    return replace(read(label, drawn), extras={"attributes": others} if others else {})


def _rectangle(label: str, drawn: Fields) -> Shape:
    left, top = fields.number_in(drawn, "x"), fields.number_in(drawn, "y")
    width, height = fields.number_in(drawn, "width"), fields.number_in(drawn, "height")
    return shapes.rectangle(label, np.array([[left, top], [left + width, top + height]]))


def _polygon(label: str, drawn: Fields) -> Shape:
    axes = []
    for key in ("all_points_x", "all_points_y"):
        values = fields.as_list(drawn.get(key), f'"{key}"')
        axes.append([fields.as_number(value, f'a number in "{key}"') for value in values])
    if len(axes[0]) != len(axes[1]):
        raise fields.wrong("as many x as y", [len(axis) for axis in axes])
    return shapes.polygon(label, np.array(axes, np.float64).T.reshape(-1, 2))


def _circle(label: str, drawn: Fields) -> Shape:
    radius = fields.number_in(drawn, "r")
    centre = fields.number_in(drawn, "cx"), fields.number_in(drawn, "cy")
    return shapes.ellipse(label, centre, (radius, radius))


def _ellipse(label: str, drawn: Fields) -> Shape:
    centre = fields.number_in(drawn, "cx"), fields.number_in(drawn, "cy")
    radii = fields.number_in(drawn, "rx"), fields.number_in(drawn, "ry")
    turn = math.degrees(fields.number_in(drawn, "theta", 0.0))
    return shapes.ellipse(label, centre, radii, turn)


_KINDS: dict[str, Callable[[str, Fields], Shape]] = {
    "rect": _rectangle,
    "polygon": _polygon,
    "circle": _circle,
    "ellipse": _ellipse,
}
"""A shape's name -> (label, its attributes) -> the shape."""

FORMAT = Format(
    name="via",
    title="VIA annotations",
    layout=LAYOUT,
    tasks=frozenset({"instances", "boxes"}),
    scan=_scan,
    detect=detect,
)
"""See the top of this file; it is only read."""

read = FORMAT.read
