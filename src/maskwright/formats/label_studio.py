"""Label Studio's JSON export: one file of all tasks, images beside it or in images/.

    root/project-1-at-2024-01-01.json  root/images/a.jpg

Of each task the first annotation that wasn't skipped is read: rectangles (boxes), polygons,
ellipses, brushes and choices (labels of the whole image); other results are counted. Places are
shares of the image in percent. Sets can't be written in this format.

Reference: Label Studio's documentation, "Label Studio JSON format"; brushes are packed as
thi.ng/rle-pack documents it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.image import IMAGE_SUFFIXES, MAX_PIXELS
from maskwright.core.mask import Mask
from maskwright.formats import fields, folders, shapes
from maskwright.formats.fields import Fields
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.json_files import find_files, has_keys
from maskwright.formats.shapes import Shape, Size
from maskwright.formats.sheets import Sheet, assemble, find_image, stem_of

LAYOUT = "label_studio: the file of Label Studio's export as JSON beside images/"

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # what Label Studio puts before a file's name
_LIST = re.compile(rb"\s*\[\s*\{")


def detect(path: Path) -> str | None:
    """Why a path looks like Label Studio's JSON, or None."""
    files = [file.name for own in find_files(path, _is_export).values() for file in own]
    return f"Label Studio's {folders.shortlist(files)}" if files else None


def _is_export(head: bytes) -> bool:
    is_list = _LIST.match(head.removeprefix(b"\xef\xbb\xbf")) is not None
    return is_list and has_keys(head, "annotations", "result") and has_keys(head, "id")


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    found = find_files(reading.root, _is_export)
    if not found:
        return None
    told: Counter[str] = Counter()
    sheets: dict[str, list[Sheet]] = {}
    for split, files in found.items():
        sheets[split] = []
        for file in files:
            tasks = fields.as_list(folders.read_json(file), str(file))
            made = (_sheet(reading, file, n, task, told) for n, task in enumerate(tasks, start=1))
            sheets[split] += [sheet for sheet in made if sheet is not None]
    reading.notes.extend(text.format(count) for text, count in told.items() if count)
    sources = ", ".join(str(file) for own in found.values() for file in own)
    return assemble(reading, _whole(sheets), {}, sources)


def _whole(sheets: dict[str, list[Sheet]]) -> dict[str, list[Sheet]]:
    """Choices and nothing drawn: objects weren't labelled."""
    every = [sheet for own in sheets.values() for sheet in own]
    if any(sheet.shapes for sheet in every) or not any(sheet.labels for sheet in every):
        return sheets
    return {split: [replace(s, shapes=None) for s in own] for split, own in sheets.items()}


def _sheet(
    reading: Reading, file: Path, number: int, task: object, told: Counter[str]
) -> Sheet | None:
    """A task; None where it isn't annotated, or names no image and reading is lenient."""
    source = f"{file}, task {number}"
    entry = task if isinstance(task, dict) else {}
    names = _names(entry)
    if not names:
        fault = (
            f'{source}: expected the name of an image in "data", got {fields.shown(task)}; mend.'
        )
        reading.refuse(fault)
        reading.notes.append(f"{fault} Left out.")
        return None
    home = file.parent
    top = reading.root if reading.root.is_dir() else home
    image = find_image([home / "images", home], names, top)
    called = image.name if image is not None else names[-1].rpartition("/")[2]
    sheet = Sheet(name=stem_of(called), image=image or home / called, source=source)
    try:
        results = _results(entry, told)
        if results is None:
            told["{} tasks are not annotated. Left out."] += 1
            return None
        filled = _filled(sheet, results)
    except DataError as error:
        return replace(sheet, fault=f"{source}: {error}")
    missing = f"{source}: there is no image {called!r} in {home / 'images'}; add it."
    return filled if image is not None else replace(filled, fault=missing)


def _names(entry: Fields) -> list[str]:
    """What the image may be called: as the task tells it, and without what was put before."""
    data = entry.get("data")
    texts = [one for one in data.values() if isinstance(one, str)] if isinstance(data, dict) else []
    texts.append(str(entry.get("file_upload", "")))
    names: list[str] = []
    for text in texts:
        path = unquote(text.rpartition("?d=")[2].partition("?")[0]).replace("\\", "/").lstrip("/")
        name = path.rpartition("/")[2]
        if Path(name).suffix.lower() in IMAGE_SUFFIXES and folders.is_below(name):
            names += [path, name]
            if match := _UPLOADED.fullmatch(name):
                names.append(match[1])
    return names


def _results(entry: Fields, told: Counter[str]) -> list[Fields] | None:
    """The results of the first annotation that wasn't skipped; None where there is none."""
    annotations = fields.objects_in(entry, "annotations")
    kept = [one for one in annotations if not one.get("was_cancelled")]
    told["{} further annotations of images that have several are left out."] += len(kept[1:])
    return fields.objects_in(kept[0], "result") if kept else None


def _filled(sheet: Sheet, results: list[Fields]) -> Sheet:
    told: Counter[str] = Counter()
    labels: list[str] = []
    size = None
    for number, entry in enumerate(results, start=1):
        with fields.at(f"result {number}"):
            if entry.get("type") == "choices":
                labels += _texts(_value(entry), "choices")
            size = size or fields.size_of(entry, "original_height", "original_width")
            if fields.number_in(entry, "image_rotation", 0.0):
                raise fields.wrong('"image_rotation" to be 0', entry["image_rotation"])
    drawn = tuple(_shapes(results, told))
    return replace(sheet, shapes=drawn, labels=tuple(labels) or None, size=size, told=told)


def _value(entry: Fields) -> Fields:
    return fields.as_object(entry.get("value"), '"value"')


def _texts(value: Fields, key: str) -> list[str]:
    texts = fields.as_list(value.get(key), f'"{key}"')
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise fields.wrong(f'"{key}" to be texts', text)
    return texts


def _shapes(results: list[Fields], told: Counter[str]) -> Iterator[Shape]:
    for number, entry in enumerate(results, start=1):
        kind = entry.get("type")
        if kind == "choices":
            continue
        read = _KINDS.get(kind) if isinstance(kind, str) else None
        if read is None:
            told["{} results that are no labelled areas are left out."] += 1
            continue
        called = f"result {number}"
        with fields.at(called):
            value = _value(entry)
            labels = _texts(value, str(kind))
            if not labels:
                raise fields.wrong(f'"{kind}" to name a class', labels)
            told["{} further classes of areas that have several are left out."] += len(labels) - 1
            size = fields.size_of(entry, "original_height", "original_width")
            if size is None or size[0] * size[1] > MAX_PIXELS:
                raise fields.wrong('"original_width" and "original_height"', size)
            yield replace(read(labels[0], value, size), called=called)


def _rectangle(label: str, value: Fields, size: Size) -> Shape:
    """Turned clockwise about its upper left corner: the upright box around it."""
    x, y, width, height = (fields.number_in(value, k) for k in ("x", "y", "width", "height"))
    turn = np.deg2rad(fields.number_in(value, "rotation", 0.0))
    scale = np.array([size[1], size[0]]) / 100
    about = np.array([[0, 0], [width, 0], [width, height], [0, height]]) * scale
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return shapes.rectangle(label, about @ matrix + np.array([x, y]) * scale)


def _polygon(label: str, value: Fields, size: Size) -> Shape:
    points = fields.as_pairs(value.get("points"), '"points"')
    return shapes.polygon(label, points * (np.array([size[1], size[0]]) / 100))


def _ellipse(label: str, value: Fields, size: Size) -> Shape:
    x, radius_x = (fields.number_in(value, k) * size[1] / 100 for k in ("x", "radiusX"))
    y, radius_y = (fields.number_in(value, k) * size[0] / 100 for k in ("y", "radiusY"))
    turn = fields.number_in(value, "rotation", 0.0)
    return shapes.ellipse(label, (x, y), (radius_x, radius_y), turn)


def _brush(label: str, value: Fields, size: Size) -> Shape:
    numbers = fields.as_list(value.get("rle"), '"rle"')
    if not all(isinstance(one, int) and 0 <= one < 256 for one in numbers):
        raise fields.wrong('"rle" to be bytes 0..255', numbers)
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    return Shape(label=label, box_xyxy=box, pixels=partial(_painted, bytes(numbers), size))


def _painted(packed: bytes, stated: Size, size: Size) -> Mask:
    if stated != size:
        raise DataError(f"it was painted on {stated} (height, width), but its image is {size}.")
    channels = unpack_rle(packed, 4 * size[0] * size[1])
    return Mask.encode(channels.reshape(*size, 4)[..., 3] > 0)


def unpack_rle(packed: bytes, expected: int) -> np.ndarray:
    """What thi.ng/rle-pack packed: uint8 [expected].

    After the count of values (32 bits), the bits of a value less 1 (5 bits) and four sizes less 1
    (4 bits each) stand blocks: a bit (1: one value, repeated), 2 bits that choose a size, a count
    less 1 of that size, and the value or values.

    Raises:
        DataError: another count, or the data ends early.
    """
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise DataError(f"its brush ends early, after {len(packed)} bytes; export it again.")
        number = 0
        for bit in bits[place : place + count].tolist():
            number = 2 * number + bit
        place += count
        return number

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if total != expected or word > 8:
        raise DataError(f"its brush has {total} values of {word} bits, expected {expected} of 8.")
    values = np.zeros(expected, np.uint8)
    done = 0
    while done < expected:
        repeated, count = take(1), take(sizes[take(2)]) + 1
        end = min(done + count, expected)
        if repeated:
            values[done:end] = take(word)
        else:
            values[done:end] = [take(word) for _ in range(end - done)]
        done = end
    return values


_KINDS: dict[str, Callable[[str, Fields, Size], Shape]] = {
    "rectanglelabels": _rectangle,
    "polygonlabels": _polygon,
    "ellipselabels": _ellipse,
    "brushlabels": _brush,
}
"""type -> (label, the value, (height, width)) -> the shape."""

FORMAT = Format(
    name="label_studio",
    title="Label Studio annotations",
    layout=LAYOUT,
    tasks=frozenset({"instances", "boxes", "labels"}),
    scan=_scan,
    detect=detect,
)
"""See the top of this file; it is only read."""

read = FORMAT.read
