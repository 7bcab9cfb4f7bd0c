"""Datumaro's own JSON: a file a split, beside the images.

    root/annotations/train.json     root/images/train/a.jpg
    root/annotations/default.json   root/images/default/a.jpg, or root/images/a.jpg

Boxes, polygons, ellipses and masks are read, labels of whole images, too; points, polylines,
cuboids and captions are counted. Annotations of one label and one group (but 0) are one object.
Sets can't be written in this format.

Reference: Datumaro's documentation, "Datumaro format".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError, MaskwrightError
from maskwright.core.image import IMAGE_SUFFIXES
from maskwright.core.mask import Mask
from maskwright.formats import fields, folders, shapes
from maskwright.formats.fields import Fields
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.json_files import has_keys, head_of
from maskwright.formats.shapes import Shape, Size
from maskwright.formats.sheets import Sheet, assemble, find_image, stem_of

LAYOUT = "datumaro: annotations/SPLIT.json (Datumaro's) beside images/SPLIT/"

_NO_SPLIT = "default"
_NO_AREA = frozenset(
    {"points", "polyline", "cuboid_2d", "cuboid_3d", "caption", "skeleton", "feature_vector",
     "hash_key", "depth_annotation"}
)  # fmt: skip


def detect(path: Path) -> str | None:
    """Why a path looks like Datumaro's JSON, or None."""
    files = [file.name for file in _find(path).values()]
    return f"Datumaro's {folders.shortlist(files)}" if files else None


def _is_datumaro(head: bytes) -> bool:
    ours = has_keys(head, "dm_format_version") or has_keys(head, "infos", "categories")
    return ours and not has_keys(head[:4096], "images")


def _find(root: Path) -> dict[str, Path]:
    """Split -> its file."""
    if root.is_file():
        return {folders.NO_SPLIT: root} if _is_datumaro(head_of(root)) else {}
    files = sorted((root / "annotations").glob("*.json"))
    found = {file.stem: file for file in files if _is_datumaro(head_of(file))}
    names = folders.name_splits(found)
    if [*found] == [_NO_SPLIT]:
        names = {_NO_SPLIT: folders.NO_SPLIT}
    return {names[stem]: found[stem] for stem in folders.split_order(names)}


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    found = _find(reading.root)
    if not found:
        return None
    listed: dict[str, Colour | None] = {}
    sheets: dict[str, list[Sheet]] = {}
    for split, file in found.items():
        document = fields.as_object(folders.read_json(file), str(file))
        with fields.at(file):
            names, colours = _labels(document)
            listed.update(zip(names, colours))
            items = fields.as_list(document.get("items"), '"items"')
        made = (_sheet(reading, file, number, item, names) for number, item in enumerate(items))
        sheets[split] = [sheet for sheet in made if sheet is not None]
    sources = ", ".join(str(file) for file in found.values())
    return assemble(reading, _whole(sheets), listed, sources)


def _whole(sheets: dict[str, list[Sheet]]) -> dict[str, list[Sheet]]:
    """Image labels and nothing drawn: objects weren't labelled."""
    every = [sheet for own in sheets.values() for sheet in own]
    if any(sheet.shapes for sheet in every) or not any(sheet.labels for sheet in every):
        return sheets
    return {split: [replace(s, shapes=None) for s in own] for split, own in sheets.items()}


def _labels(document: Fields) -> tuple[list[str], list[Colour | None]]:
    """Names in the order of their ids, and their colours."""
    categories = fields.as_object(document.get("categories"), '"categories"')
    label = fields.as_object(categories.get("label") or {"labels": []}, '"label"')
    names = [fields.text_in(one, "name") for one in fields.objects_in(label, "labels")]
    colours: dict[int, Colour] = {}
    mask = categories.get("mask")
    rows = mask.get("colormap") if isinstance(mask, dict) else None
    for one in rows if isinstance(rows, list) else ():
        if isinstance(one, dict):  # a colour more or less is no fault
            rgb = [one.get(channel) for channel in "rgb"]
            whole = [c for c in rgb if isinstance(c, int) and 0 <= c <= 255]
            if len(whole) == 3 and isinstance(one.get("label_id"), int):
                colours[one["label_id"]] = (whole[0], whole[1], whole[2])
    return names, [colours.get(i) for i in range(len(names))]


def _sheet(
    reading: Reading, file: Path, number: int, item: object, names: Sequence[str]
) -> Sheet | None:
    """An item; None where it names no image, and reading is lenient."""
    source = f"{file}, item {number}"
    entry = item if isinstance(item, dict) else {}
    media = entry.get("image") if isinstance(entry.get("image"), dict) else {}
    path = media.get("path") if media else None
    stated, called = (
        v.replace("\\", "/") if isinstance(v, str) else "" for v in (path, entry.get("id"))
    )
    if not folders.is_below(called):
        fault = (
            f'{source}: expected an "id" that may name an image, got {fields.shown(item)}; mend.'
        )
        reading.refuse(fault)
        reading.notes.append(f"{fault} Left out.")
        return None
    home = file.parent.parent if file.parent.name == "annotations" else file.parent
    places = [home / "images" / file.stem, home / "images", home / file.stem, home]
    suffixes = [each for one in sorted(IMAGE_SUFFIXES) for each in (one, one.upper())]
    options = [stated, stated.rpartition("/")[2], *(f"{called}{suffix}" for suffix in suffixes)]
    top = reading.root if reading.root.is_dir() else home
    image = find_image(places, options, top)
    name = called if Path(called).suffix.lower() not in IMAGE_SUFFIXES else stem_of(called)
    sheet = Sheet(name=name, image=image or places[0] / f"{called}.jpg", source=source)
    try:
        filled = _filled(sheet, entry, media or {}, names)
    except DataError as error:
        return replace(sheet, fault=f"{source}: {error}")
    missing = f"{source}: there is no image {called!r} in {places[0]}; export images, too."
    return filled if image is not None else replace(filled, fault=missing)


def _filled(sheet: Sheet, entry: Fields, media: Fields, names: Sequence[str]) -> Sheet:
    told: Counter[str] = Counter()
    annotations = fields.objects_in(entry, "annotations")
    tags = [one for one in annotations if one.get("type") == "label"]
    found = tuple(_shapes(annotations, names, told))
    labels = tuple(_label(one, names) for one in tags)
    size = None
    if media.get("size") is not None:
        sides = fields.as_list(media["size"], '"size"')
        if len(sides) != 2:
            raise fields.wrong('"size" to be height and width', sides)
        size = fields.size_of(dict(zip(("height", "width"), sides)), "height", "width")
    return replace(sheet, shapes=found, labels=labels or None, size=size, told=told)


def _label(entry: Fields, names: Sequence[str]) -> str:
    number = fields.whole_in(entry, "label_id")
    if not 0 <= number < len(names):
        raise fields.wrong(f'"label_id" to be 0..{len(names) - 1}', number)
    return names[number]


def _shapes(
    annotations: Sequence[Fields], names: Sequence[str], told: Counter[str]
) -> Iterator[Shape]:
    for number, entry in enumerate(annotations):
        kind = entry.get("type")
        if kind == "label":
            continue
        if isinstance(kind, str) and kind in _NO_AREA:
            told["{} points, lines, cuboids and captions are left out."] += 1
            continue
        called = f"annotation {number}"
        with fields.at(called):
            read = _KINDS.get(kind) if isinstance(kind, str) else None
            if read is None:
                raise fields.wrong(f'"type" to be one of {", ".join(_KINDS)} or label', kind)
            shape = read(_label(entry, names), entry)
            group = entry.get("group")
            group = None if group is None else fields.whole_in(entry, "group") or None
            attributes = entry.get("attributes")
            attributes = attributes if isinstance(attributes, dict) else {}
            crowd = attributes.get("is_crowd") is True
        others = {key: value for key, value in attributes.items() if key != "is_crowd" and value}
        extras = {"attributes": others} if others else {}
        yield replace(shape, group=group, crowd=crowd, extras=extras, called=called)


def _numbers(entry: Fields, key: str) -> list[float]:
    values = fields.as_list(entry.get(key), f'"{key}"')
    return [fields.as_number(value, f'a number in "{key}"') for value in values]


def _box(label: str, entry: Fields) -> Shape:
    numbers = _numbers(entry, "bbox")
    if len(numbers) != 4:
        raise fields.wrong('"bbox" to be left, top, width, height', numbers)
    left, top, width, height = numbers
    return shapes.rectangle(label, np.array([[left, top], [left + width, top + height]]))


def _polygon(label: str, entry: Fields) -> Shape:
    numbers = _numbers(entry, "points")
    if len(numbers) % 2:
        raise fields.wrong('"points" to be x, y, x, y, ...', numbers)
    return shapes.polygon(label, np.array(numbers, np.float64).reshape(-1, 2))


def _ellipse(label: str, entry: Fields) -> Shape:
    numbers = _numbers(entry, "points")
    if len(numbers) != 4:
        raise fields.wrong('"points" to be the edges of an ellipse', numbers)
    left, top, right, bottom = numbers
    radii = abs(right - left) / 2, abs(bottom - top) / 2
    return shapes.ellipse(label, ((left + right) / 2, (top + bottom) / 2), radii)


def _mask(label: str, entry: Fields) -> Shape:
    """COCO's run lengths, of the whole image."""
    try:
        mask = Mask.from_coco(fields.as_object(entry.get("rle"), '"rle"'))
    except (MaskwrightError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"it has no usable mask: {error}") from None
    return Shape(label=label, box_xyxy=mask.box_xyxy, pixels=partial(_sized, mask))


def _sized(mask: Mask, size: Size) -> Mask:
    if mask.size != size:
        raise DataError(f"its mask is {mask.size} (height, width), but its image is {size}.")
    return mask


_KINDS: dict[str, Callable[[str, Fields], Shape]] = {
    "bbox": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
"""type -> (label, the annotation) -> the shape."""

FORMAT = Format(
    name="datumaro",
    title="Datumaro annotations",
    layout=LAYOUT,
    tasks=frozenset({"instances", "boxes", "labels"}),
    scan=_scan,
    detect=detect,
)
"""See the top of this file; it is only read."""

read = FORMAT.read
