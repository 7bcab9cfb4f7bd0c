"""CVAT's XML 1.1, "for images" and "for video": what is drawn, and tags of whole images.

    root/annotations.xml  root/images/a.jpg             "subset" of an image is its split
    root/annotations.xml  root/images/frame_000000.jpg  tracks: the frames of a video
    root/train/annotations.xml  root/train/images/...   a folder a split

Boxes, polygons, ellipses and masks are read; polylines, points, cuboids and skeletons are counted.
Shapes of one label and one group_id are one object. A track's number is its objects' track id.
`cvat_shapes` knows the elements, `cvat_write` writes.

Reference: CVAT's documentation, "Formats: CVAT" (docs.cvat.ai).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.formats import fields, folders
from maskwright.formats.cvat_shapes import colour_of, read_shape
from maskwright.formats.cvat_write import NO_SUBSET, finish, write_sample
from maskwright.formats.drawings import DrawingOptions
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.safe_xml import parse_xml, whole_of
from maskwright.formats.shapes import Shape, Size
from maskwright.formats.sheets import Sheet, assemble, find_image, stem_of

LAYOUT = "cvat: annotations.xml (CVAT 1.1) beside images/, or SPLIT/annotations.xml"

FILE = "annotations.xml"

_TELLING = re.compile(rb"<annotations[\s>]")
_HEAD = 1 << 12
_NUMBER = re.compile(r"[0-9]{1,15}")
_MADE_ANEW = frozenset({"size", "subset"})
_FRAME = re.compile(r"frame_(\d{1,12})")


def detect(path: Path) -> str | None:
    """Why a path looks like CVAT's XML, or None."""
    homes = _find(path)
    if not homes:
        return None
    names = [file.name if path.is_file() else file.relative_to(path).as_posix()
             for file in homes.values()]  # fmt: skip
    return f"CVAT's XML in {folders.shortlist(names)}"


def _find(root: Path) -> dict[str, Path]:
    """Split -> its file."""
    if root.is_file():
        return {folders.NO_SPLIT: root} if _is_cvat(root) else {}
    if _is_cvat(root / FILE):
        return {folders.NO_SPLIT: root / FILE}
    inside = {one.name: one / FILE for one in folders.subfolders(root) if _is_cvat(one / FILE)}
    names = folders.name_splits(inside)
    return {names[folder]: inside[folder] for folder in folders.split_order(names)}


def _is_cvat(file: Path) -> bool:
    if file.suffix.lower() != ".xml" or not folders.is_file(file):
        return False
    with file.open("rb") as opened:
        return _TELLING.search(opened.read(_HEAD).replace(b"\0", b"")) is not None


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    homes = _find(reading.root)
    if not homes:
        return None
    listed: dict[str, Colour | None] = {}
    sheets: dict[str, list[Sheet]] = defaultdict(list)
    for split, file in homes.items():
        root = parse_xml(file, "annotations")
        listed.update(_labels(root))
        if about := _about(root):
            reading.about[split] = about
        for subset, sheet in _sheets(reading, root, file):
            told = split if split != folders.NO_SPLIT or subset == NO_SUBSET else subset
            sheets[told or folders.NO_SPLIT].append(sheet)
    names = folders.name_splits(sheets)
    ordered = {names[split]: sheets[split] for split in folders.split_order(names)}
    source = ", ".join(str(file) for file in homes.values())
    return assemble(reading, _whole(ordered), listed, source)


def _whole(sheets: Mapping[str, list[Sheet]]) -> dict[str, list[Sheet]]:
    """Tags and nothing drawn: objects weren't labelled. No tags at all: labels weren't."""
    every = [sheet for own in sheets.values() for sheet in own]
    tags = any(sheet.labels for sheet in every)
    drawn = not tags or any(sheet.shapes for sheet in every)
    return {
        split: [
            replace(
                sheet,
                labels=sheet.labels if tags and sheet.labels else None,
                shapes=sheet.shapes if drawn else None,
            )
            for sheet in own
        ]
        for split, own in sheets.items()
    }


def _labels(root: ET.Element) -> dict[str, Colour | None]:
    """The classes; parts of skeletons are none."""
    found: dict[str, Colour | None] = {}
    for label in root.iterfind("meta//labels/label"):
        name = label.findtext("name")
        if name and label.find("parent") is None:
            found[name] = colour_of(label.findtext("color"))
    return found


def _about(root: ET.Element) -> dict[str, str]:
    """What is told of the task, a text each: its name, owner, dates."""
    task = root.find("meta/task")
    return {
        element.tag: element.text
        for element in (() if task is None else task)
        if not len(element) and element.text and element.tag not in _MADE_ANEW
    }


def _sheets(reading: Reading, root: ET.Element, file: Path) -> Iterator[tuple[str, Sheet]]:
    """(subset, what is told) of every image or frame."""
    images = root.findall("image")
    for element in images:
        try:
            yield element.get("subset", ""), _of_image(element, file, reading.root)
        except DataError as error:
            reading.refuse(str(error))
            reading.notes.append(f"{error} Left out.")
    tracks = root.findall("track")
    if tracks and images:
        reading.notes.append(f"{file}: {len(tracks)} tracks beside images are left out.")
    elif tracks:
        yield from (("", sheet) for sheet in _of_video(reading, root, file))


def _of_image(element: ET.Element, file: Path, root: Path) -> Sheet:
    """One <image>.

    Raises:
        DataError: its name can't be that of a file below the set.
    """
    name = element.get("name", "").replace("\\", "/")
    source = f"{file}, image {name[:200]!r}"
    if not folders.is_below(name):
        raise DataError(f"{source}: expected the name of an image below its folder; mend it.")
    subset = element.get("subset", "")
    home = file.parent
    places = [home / "images", home]
    if folders.is_below(subset):
        places = [home / "images" / subset, *places, home / subset]
    image = find_image(places, [name], root if root.is_dir() else root.parent)
    sheet = Sheet(name=stem_of(name), image=image or places[0] / name, source=source)
    missing = f"{source}: there is no such image in {places[0]}; export the images, too."
    try:
        told: Counter[str] = Counter()
        found = tuple(_shapes(element, told))
        tags = tuple(tag.get("label", "") for tag in element.findall("tag"))
        told["{} attributes of image labels are left out."] += len(element.findall("tag/attribute"))
        if "" in tags:
            raise DataError('a <tag> has no "label"; mend it.')
        fault = missing if image is None else ""
        size = _size(element)
        number = element.get("id", "")
        extras = {"id": int(number)} if _NUMBER.fullmatch(number) else {}
        return replace(
            sheet, size=size, shapes=found, labels=tags, extras=extras, told=told, fault=fault
        )
    except DataError as error:
        return replace(sheet, fault=f"{source}: {error}")


def _size(element: ET.Element) -> Size | None:
    if element.get("height") is None or element.get("width") is None:
        return None
    size = whole_of(element, "height"), whole_of(element, "width")
    if min(size) < 1:
        raise fields.wrong("a height and width above 0", size)
    return size


def _shapes(image: ET.Element, told: Counter[str]) -> Iterator[Shape]:
    for number, element in enumerate(image, start=1):
        if element.tag == "tag":
            continue
        with fields.at(f"<{element.tag[:40]}>, number {number}"):
            shape = read_shape(element, element.get("label", ""), told)
            if shape is not None:
                group = whole_of(element, "group_id", 0) or None
                yield replace(shape, group=group, called=f"<{element.tag}>, number {number}")


# --- video --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frames:
    """The frames of a video: number -> file, and what numbers there may be."""

    files: Mapping[int, Path]
    home: Path


def _of_video(reading: Reading, root: ET.Element, file: Path) -> Iterator[Sheet]:
    """Every frame that has an image; the shapes of all tracks on it.

    Raises:
        DataError: no frame has an image; strict, and a track is at fault.
    """
    frames = _find_frames(root, file, reading.notes)
    told: Counter[str] = Counter()
    shapes: dict[int, list[Shape]] = defaultdict(list)
    missing: set[int] = set()
    for track in root.findall("track"):
        source = f"{file}, track {track.get('id', '')[:40]!r}"
        try:
            with fields.at(source):
                for frame, shape in [*_of_track(track, told)]:
                    shapes[frame].append(shape)
                    missing |= set() if frame in frames.files else {frame}
        except DataError as error:
            reading.refuse(str(error))
            reading.notes.append(f"{error} The track is left out.")
    if missing:
        fault = (
            f"{file}: {len(missing)} frames with objects have no image: "
            f"{folders.shortlist([str(frame) for frame in sorted(missing)])}; add them."
        )
        reading.refuse(fault)
        reading.notes.append(f"{fault} Left out.")
    reading.leave_out(told)
    size = root.find("meta//original_size")
    stated = None if size is None else _stated(size)
    for number, image in sorted(frames.files.items()):
        yield Sheet(
            name=stem_of(image.relative_to(frames.home).as_posix()),
            image=image,
            source=f"{file}, frame {number}",
            size=stated,
            shapes=tuple(shapes[number]),
        )


def _stated(size: ET.Element) -> Size | None:
    sides = [(size.findtext(side) or "").strip() for side in ("height", "width")]
    known = all(side.isdecimal() and len(side) < 10 and int(side) > 0 for side in sides)
    return (int(sides[0]), int(sides[1])) if known else None


def _of_track(track: ET.Element, told: Counter[str]) -> Iterator[tuple[int, Shape]]:
    number = whole_of(track, "id", -1)
    for element in track:
        frame = whole_of(element, "frame")
        if whole_of(element, "outside", 0):
            continue
        with fields.at(f"frame {frame}"):
            shape = read_shape(element, track.get("label", ""), told)
        told["{} shapes of tracks were made by CVAT between key frames."] += (
            shape is not None and element.get("keyframe") == "0"
        )
        if shape is not None:
            track_id = number if number >= 0 else None
            yield frame, replace(shape, track_id=track_id, called=f"track {number}")


def _find_frames(root: ET.Element, file: Path, notes: list[str]) -> _Frames:
    """By names such as frame_000000, else in the order of the names where their number is right.

    Raises:
        DataError: no images, or not as many as the video has frames.
    """
    home = folders.first_folder([file.parent / "images", file.parent])
    files = [path for own in folders.group_images(home).values() for path in own]
    named = {int(m[1]): path for path in files if (m := _FRAME.fullmatch(path.stem))}
    if files and len(named) == len(files):
        return _Frames(files=named, home=home)
    told = (root.findtext("meta//size") or "").strip()
    if files and (not told or told == str(len(files))):
        notes.append(f"{home}: the images are taken for the frames 0, 1, 2 ... by their names.")
        return _Frames(files=dict(enumerate(files)), home=home)
    raise DataError(
        f"{file} holds tracks of a video of {told[:20] or 'some'} frames, but {home} has "
        f"{len(files)} images; expected each frame as images/frame_000000.jpg and so on: export "
        "with images, or cut the video."
    )


FORMAT = Format(
    name="cvat",
    title="CVAT annotations",
    layout=LAYOUT,
    tasks=frozenset({"instances", "boxes", "labels"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
    options=DrawingOptions,
    holds=frozenset({"attributes", "z_order"}),
    holds_of_images=frozenset({"id"}),
)
"""See the top of this file. Objects become polygons, several of one group_id where a mask has
several parts, or masks with `DrawingOptions(masks=True)`; those without a mask boxes; labels tags.
"""

read, write = FORMAT.read, FORMAT.write
