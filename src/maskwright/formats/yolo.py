"""YOLO: a text file beside each image, a row an object: a polygon (YOLO-seg) or a box.

    root/data.yaml                  names; train: images/train; val: images/val
    root/images/train/a.jpg         root/labels/train/a.txt               or
    root/train/images/a.jpg         root/train/labels/a.txt

`yolo_files` finds the files, `yolo_rows` knows the rows, `yolo_write` writes them. An image
without label file has no objects. Class ids may have gaps: ours are their ranks.

Files don't say what a polygon's corner means (`core.outline`). It is read as a pixel, as OpenCV
fills it, unless the caller or the key "vertices" of data.yaml says "edge".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError, MaskwrightError
from maskwright.core.outline import Vertices
from maskwright.core.sample import Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders, text_files, yolo_files, yolo_rows
from maskwright.formats.class_ids import kept_ranks, subset
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.yolo_files import Description, Pair, YoloOptions
from maskwright.formats.yolo_polygons import read_instances
from maskwright.formats.yolo_write import finish, finish_boxes, write_sample, write_sample_boxes

SEG_LAYOUT = (
    "yolo_seg: data.yaml (names; train, val, test) with images/SPLIT/ and labels/SPLIT/NAME.txt, "
    "or SPLIT/images/ and SPLIT/labels/; a row is a class and a polygon"
)
BOX_LAYOUT = "yolo_boxes: the same files; a row is a class, x, y (of the centre), width, height"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """What the rows' numbers mean."""

    classes: Classes
    class_of: Mapping[int, int]  # id in the files -> class id; ignored ones lack
    known: Collection[int]  # ids in the files that have a name
    vertices: Vertices | None  # None: boxes only
    keypoints: tuple[int, int] | None = None  # after each box: how many, of how many numbers


def detect_seg(path: Path) -> str | None:
    """Why a path looks like YOLO with polygons (or without any object), or None."""
    why = yolo_files.looks_like_yolo(path)
    return f"{why} and rows of polygons" if why and not _only_boxes(path) else None


def detect_boxes(path: Path) -> str | None:
    """Why a path looks like YOLO with boxes only, or None."""
    why = yolo_files.looks_like_yolo(path)
    return f"{why} and rows of boxes" if why and _only_boxes(path) else None


def _scan_seg(reading: Reading) -> tuple[Classes, Splits] | None:
    """Polygons become masks, box rows among them boxes."""
    description = yolo_files.describe(reading.root)
    if description is None:
        return None
    stated = yolo_files.vertices_of(description)
    told = reading.options.vertices
    chosen = told or stated or "centre"
    why = "as asked" if told else "as data.yaml says" if stated else "the usual convention"
    found = _scan(reading, description, chosen)
    reading.notes.append(f"Corners of polygons are read as {chosen}s of pixels, {why}.")
    return found


def _scan_boxes(reading: Reading) -> tuple[Classes, Splits] | None:
    """Boxes alone: of a polygon the box around its corners is kept."""
    description = yolo_files.describe(reading.root)
    if description is None:
        return None
    yolo_files.vertices_of(description)
    return _scan(reading, description, None)


def read_truth(label: Path, image: Path, table: _Table) -> Segmentation:
    """The objects of one image.

    Raises:
        DataError: a faulty row, or an image that can't be read.
    """
    rows = [
        row
        for row in yolo_rows.read_rows(label, table.known, table.keypoints)
        if row.class_id in table.class_of
    ]
    size = folders.image_sizes(image)[0]
    class_ids = [table.class_of[row.class_id] for row in rows]
    instances = read_instances(rows, class_ids, size, table.vertices)
    return Segmentation(size=size, classes=table.classes, instances=instances)


def _scan(
    reading: Reading, description: Description, vertices: Vertices | None
) -> tuple[Classes, Splits]:
    pairs = _pairs_of_splits(reading, description)
    names = description.names or _numbered(reading, pairs)
    table = _table(reading, names, vertices, description)
    about = yolo_files.about_of(description)
    reading.about.update(dict.fromkeys(pairs, about) if about else {})
    return table.classes, {
        split: _read_split(reading, split, found, table) for split, found in pairs.items()
    }


def _pairs_of_splits(reading: Reading, description: Description) -> dict[str, list[Pair]]:
    """Split name -> images and labels; splits without a single label file are left out."""
    notes = reading.notes
    found: dict[str, list[Pair]] = {}
    for split in description.splits:
        try:
            pairs = yolo_files.find_pairs(description, split)
        except DataError as error:
            # Services name a test/ in data.yaml that their export lacks.
            if folders.SPLIT_NAMES.get(split.lower()) != "test" or len(description.splits) == 1:
                reading.refuse(str(error))
            notes.append(f"{error} Left out.")
            continue
        if any(pair.label.exists() for pair in pairs):
            found[split] = pairs
            continue
        expected = f"; expected {pairs[0].label} and so on" if pairs else ""
        notes.append(f"{split}: none of {len(pairs)} images has a label file{expected}. Left out.")
    if not found:
        raise DataError(
            f"{description.source or reading.root} leads to no labelled image: "
            f"{' '.join(notes) or 'it names no train, val or test'} Expected {SEG_LAYOUT}."
        )
    images = [[pair.image for pair in pairs] for pairs in found.values()]
    if len(images) > 1 and all(own == images[0] for own in images):
        notes.append(f"{', '.join(found)} name the same images: they are read as one split.")
        return {folders.NO_SPLIT: next(iter(found.values()))}
    names = folders.name_splits(found)
    return {names[split]: found[split] for split in folders.split_order(names)}


def _numbered(reading: Reading, pairs: Mapping[str, list[Pair]]) -> Mapping[int, str]:
    """Names after the ids that occur, where nothing names the classes."""
    highest = -1
    for found in pairs.values():
        for pair in found:
            text = text_files.read_text(pair.label) if pair.label.exists() else ""
            first = (line.split(maxsplit=1)[0] for line in text.splitlines() if line.strip())
            ids = [int(word) for word in first if word.isdecimal() and len(word) < 5]
            highest = max([highest, *ids])
    reading.notes.append(
        f"{reading.root} names no classes: {highest + 1} are named after their ids."
    )
    return {i: f"class_{i}" for i in range(max(1, highest + 1))}


def _table(
    reading: Reading,
    names: Mapping[int, str],
    vertices: Vertices | None,
    description: Description,
) -> _Table:
    source = description.source or reading.root
    ids = list(names)
    reading.own_ids.update(names)
    ranks = kept_ranks(list(names.values()), reading.ignore, source)
    try:
        palette = description.extras.get("palette")
        colours = None if palette is None else [[int(c) for c in rgb] for rgb in palette]
        things = {int(rank) for rank in description.extras.get("things", range(len(ids)))}
        every = Classes.of((names[i] for i in ids), colours, things)
    except (MaskwrightError, TypeError, ValueError) as error:
        raise DataError(f"{source}: {error}") from None
    return _Table(
        classes=subset(every, ranks),
        class_of={ids[rank]: new for new, rank in enumerate(ranks)},
        known=frozenset(ids),
        vertices=vertices,
        keypoints=yolo_files.keypoints_of(description),
    )


def _read_split(
    reading: Reading, split: str, pairs: list[Pair], table: _Table
) -> tuple[Sample, ...]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.name, []).append(pair)
    faults, rows = _check(groups, table)
    reading.refuse(next(iter(faults.values()), ""))
    with_masks = any(row.is_polygon for own in rows.values() for row in own)
    posed = sum(row.keypoints is not None for own in rows.values() for row in own)
    if posed:
        reading.notes.append(
            f"{split}: {posed} rows hold key points (kpt_shape) after their box: the objects are "
            "boxes, and no task here uses the key points; a conversion keeps or counts them."
        )
    without_label = sum(not pair.label.exists() for pair in pairs)
    if without_label:
        reading.notes.append(f"{split}: {without_label} images have no label file, so no objects.")
    reading.notes.extend(_labels_alone(split, pairs))
    samples = []
    for name, (pair, *_) in groups.items():
        masked = table.vertices and with_masks and all(row.is_polygon for row in rows[name])
        tasks: set[Task] = {"instances", "boxes"} if masked else {"boxes"}
        truth = partial(read_truth, pair.label, pair.image, table)
        samples.append(reading.sample(name, pair.image, truth, tasks, faults.get(name, "")))
    return tuple(samples)


def _check(
    groups: Mapping[str, list[Pair]], table: _Table
) -> tuple[dict[str, str], dict[str, tuple[yolo_rows.Row, ...]]]:
    """Name -> what is wrong with it, and name -> the rows that are kept."""
    faults: dict[str, str] = {}
    rows: dict[str, tuple[yolo_rows.Row, ...]] = {}
    for name, pairs in groups.items():
        rows[name] = ()
        first = pairs[0]
        if len(pairs) > 1:
            images = [pair.image for pair in pairs]
            faults[name] = folders.same_name(first.image.parent, name, images)
        elif not first.image.is_file():
            faults[name] = f"{first.image} is listed but does not exist; add it, or unlist it."
        else:
            try:
                found = yolo_rows.read_rows(first.label, table.known, table.keypoints)
                rows[name] = tuple(row for row in found if row.class_id in table.class_of)
            except DataError as error:
                faults[name] = str(error)
    return faults, rows


def _labels_alone(split: str, pairs: list[Pair]) -> list[str]:
    """A note on the label files beside those of `pairs` that have no image."""
    used = {pair.label for pair in pairs}
    beside = {
        label for folder in {label.parent for label in used} for label in folder.glob("*.txt")
    }
    alone = sorted(label.name for label in beside - used if label.name != "classes.txt")
    if not alone or any(pair.label.parent == pair.image.parent for pair in pairs):
        return []
    return [f"{split}: {len(alone)} label files have no image ({folders.shortlist(alone)})."]


def _only_boxes(root: Path) -> bool:
    """Whether there are rows, and all of them boxes."""
    some = False
    try:
        description = yolo_files.describe(root)
        keypoints = yolo_files.keypoints_of(description) if description else None
        for split in description.splits if description else ():
            for pair in yolo_files.find_pairs(description, split) if description else ():
                known = pair.label.exists()
                polygons = yolo_rows.holds_polygons(pair.label, keypoints) if known else None
                if polygons:
                    return False
                some |= polygons is False
    except DataError:
        return False  # told by `read`
    return some


SEG = Format(
    name="yolo_seg",
    title="YOLO labels",
    layout=SEG_LAYOUT,
    tasks=frozenset({"instances", "boxes"}),
    scan=_scan_seg,
    detect=detect_seg,
    write_sample=write_sample,
    finish=finish,
    options=YoloOptions,
)
"""A mask becomes one polygon; bridges that are walked there and back lead to its holes and parts.
On "edge" it reads back to the pixel. On "centre", what YOLO tools expect, the bridges between parts
add pixels. An object without mask becomes a box row."""

BOXES = Format(
    name="yolo_boxes",
    title="YOLO labels",
    layout=BOX_LAYOUT,
    tasks=frozenset({"boxes"}),
    scan=_scan_boxes,
    detect=detect_boxes,
    write_sample=write_sample_boxes,
    finish=finish_boxes,
)
"""The same files, a box row an object."""

read, write = SEG.read, SEG.write
read_boxes, write_boxes = BOXES.read, BOXES.write
