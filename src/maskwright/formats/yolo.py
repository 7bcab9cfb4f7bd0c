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

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError, MaskwrightError
from maskwright.core.outline import Vertices
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders, text_files, yolo_files, yolo_rows
from maskwright.formats.yolo_files import Description, Pair
from maskwright.formats.yolo_write import (
    finish,
    finish_boxes,
    write,
    write_boxes,
    write_sample,
    write_sample_boxes,
)

__all__ = [
    "detect_boxes",
    "detect_seg",
    "finish",
    "finish_boxes",
    "read",
    "read_boxes",
    "write",
    "write_boxes",
    "write_sample",
    "write_sample_boxes",
]

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


def detect_seg(path: Path) -> str | None:
    """Why a path looks like YOLO with polygons (or without any object), or None."""
    why = yolo_files.looks_like_yolo(path)
    return f"{why} and rows of polygons" if why and not _only_boxes(path) else None


def detect_boxes(path: Path) -> str | None:
    """Why a path looks like YOLO with boxes only, or None."""
    why = yolo_files.looks_like_yolo(path)
    return f"{why} and rows of boxes" if why and _only_boxes(path) else None


def read(
    path: Path | str,
    ignore: Iterable[str] = (),
    strict: bool = True,
    vertices: Vertices | None = None,
) -> Dataset:
    """Read YOLO labels: polygons become masks, box rows among them boxes.

    The rows are checked at once, polygons are filled late.

    Args:
        path: the folder, or its data.yaml.
        ignore: names of classes whose objects are left out.
        strict: refuse the set where a row is at fault, an image is missing or two share a label
            file. Else the sample concerned is kept, and reading its truth (or image) raises that.
        vertices: what a polygon's corner means: "centre" (a pixel, filled by OpenCV's rule) or
            "edge" (a corner of pixels, filled by the COCO API's). None asks the key "vertices" of
            data.yaml, and takes "centre" where it lacks.

    Raises:
        DataError: no such layout, a damaged data.yaml, faulty rows, missing images, no labels.
        ConfigError: `ignore` names no class or all of them, or `vertices` is unknown.
    """
    return _read(Path(path), "yolo_seg", tuple(ignore), strict, vertices)


def read_boxes(path: Path | str, ignore: Iterable[str] = (), strict: bool = True) -> Dataset:
    """The same for boxes: of a polygon the box around its corners is kept.

    Raises:
        DataError: as `read`.
        ConfigError: `ignore` names no class, or all of them.
    """
    return _read(Path(path), "yolo_boxes", tuple(ignore), strict, None)


def read_truth(label: Path, image: Path, table: _Table) -> Segmentation:
    """The objects of one image.

    Raises:
        DataError: a faulty row, or an image that can't be read.
    """
    rows = yolo_rows.read_rows(label, table.known)
    size = folders.image_sizes(image)[0]
    instances = tuple(
        yolo_rows.read_instance(row, table.class_of[row.class_id], size, table.vertices)
        for row in rows
        if row.class_id in table.class_of
    )
    return Segmentation(size=size, classes=table.classes, instances=instances)


def _read(
    root: Path, kind: str, ignore: tuple[str, ...], strict: bool, vertices: Vertices | None
) -> Dataset:
    description = yolo_files.describe(root)
    if description is None:
        raise DataError(
            f"{root} holds no YOLO labels: expected {SEG_LAYOUT}; found {folders.what_is_in(root)}."
            if root.exists()
            else f"{root} does not exist; check the path."
        )
    notes: list[str] = []
    pairs = _pairs_of_splits(root, description, strict, notes)
    names = description.names or _numbered(pairs, root, notes)
    stated = description.extras.get("vertices")
    if stated not in (None, *get_args(Vertices)):
        raise DataError(
            f'{description.source}: expected "vertices" to be centre or edge, got {stated!r:.40}; '
            "mend it, or remove the key."
        )
    chosen = (
        None
        if kind == "yolo_boxes"
        else yolo_files.checked_vertices(vertices or stated or "centre")
    )
    if chosen is not None:
        why = "as asked" if vertices else "as data.yaml says" if stated else "the usual convention"
        notes.append(f"Corners of polygons are read as {chosen}s of pixels, {why}.")
    table = _table(names, ignore, chosen, description, root)
    splits = {
        split: _read_split(split, found, table, strict, notes) for split, found in pairs.items()
    }
    return Dataset(root=root, format=kind, classes=table.classes, splits=splits, notes=tuple(notes))


def _pairs_of_splits(
    root: Path, description: Description, strict: bool, notes: list[str]
) -> dict[str, list[Pair]]:
    """Split name -> images and labels; splits without a single label file are left out."""
    found: dict[str, list[Pair]] = {}
    for split in description.splits:
        try:
            pairs = yolo_files.find_pairs(description, split)
        except DataError as error:
            if strict:
                raise
            notes.append(f"{error} Left out.")
            continue
        if any(pair.label.exists() for pair in pairs):
            found[split] = pairs
            continue
        expected = f"; expected {pairs[0].label} and so on" if pairs else ""
        notes.append(f"{split}: none of {len(pairs)} images has a label file{expected}. Left out.")
    if not found:
        raise DataError(
            f"{description.source or root} leads to no labelled image: "
            f"{' '.join(notes) or 'it names no train, val or test'} Expected {SEG_LAYOUT}."
        )
    images = [[pair.image for pair in pairs] for pairs in found.values()]
    if len(images) > 1 and all(own == images[0] for own in images):
        notes.append(f"{', '.join(found)} name the same images: they are read as one split.")
        return {folders.NO_SPLIT: next(iter(found.values()))}
    names = folders.name_splits(found)
    return {names[split]: found[split] for split in folders.split_order(names)}


def _numbered(pairs: Mapping[str, list[Pair]], root: Path, notes: list[str]) -> Mapping[int, str]:
    """Names after the ids that occur, where nothing names the classes."""
    highest = -1
    for found in pairs.values():
        for pair in found:
            text = text_files.read_text(pair.label) if pair.label.exists() else ""
            first = (line.split(maxsplit=1)[0] for line in text.splitlines() if line.strip())
            ids = [int(word) for word in first if word.isdecimal() and len(word) < 5]
            highest = max([highest, *ids])
    notes.append(f"{root} names no classes: {highest + 1} are named after their ids.")
    return {i: f"class_{i}" for i in range(max(1, highest + 1))}


def _table(
    names: Mapping[int, str],
    ignore: tuple[str, ...],
    vertices: Vertices | None,
    description: Description,
    root: Path,
) -> _Table:
    source = description.source or root
    unknown = [name for name in ignore if name not in names.values()]
    if unknown:
        raise ConfigError(f"no class {unknown[0]!r}; they are {', '.join(names.values())}.")
    ids = list(names)
    kept = [i for i, name in names.items() if name not in ignore]
    if not kept:
        raise ConfigError(f"every class of {source} is ignored; keep at least one.")
    try:
        palette = description.extras.get("palette")
        colours = None if palette is None else [[int(c) for c in rgb] for rgb in palette]
        things = {int(rank) for rank in description.extras.get("things", range(len(ids)))}
        every = Classes.of((names[i] for i in ids), colours, things)
    except (MaskwrightError, TypeError, ValueError) as error:
        raise DataError(f"{source}: {error}") from None
    ranks = [ids.index(i) for i in kept]
    classes = Classes.of(
        (every.names[rank] for rank in ranks),
        [every.colours[rank] for rank in ranks],
        (new for new, rank in enumerate(ranks) if rank in every.things),
    )
    class_of = {i: new for new, i in enumerate(kept)}
    return _Table(classes=classes, class_of=class_of, known=frozenset(ids), vertices=vertices)


def _read_split(
    split: str, pairs: list[Pair], table: _Table, strict: bool, notes: list[str]
) -> tuple[Sample, ...]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.name, []).append(pair)
    faults, rows = _check(groups, table)
    if strict and faults:
        raise DataError(next(iter(faults.values())))
    with_masks = any(row.is_polygon for own in rows.values() for row in own)
    without_label = sum(not pair.label.exists() for pair in pairs)
    if without_label:
        notes.append(f"{split}: {without_label} images have no label file, so no objects.")
    notes += _labels_alone(split, pairs)
    samples = []
    for name, (pair, *_) in groups.items():
        masked = table.vertices and with_masks and all(row.is_polygon for row in rows[name])
        tasks: frozenset[Task] = frozenset({"instances", "boxes"} if masked else {"boxes"})
        truth: Any = partial(read_truth, pair.label, pair.image, table)
        if name in faults:
            truth = partial(folders.refuse, faults[name])
        samples.append(Sample(name=name, image=pair.image, truth_of=truth, tasks=tasks))
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
                found = yolo_rows.read_rows(first.label, table.known)
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
        for split in description.splits if description else ():
            for pair in yolo_files.find_pairs(description, split) if description else ():
                polygons = yolo_rows.holds_polygons(pair.label) if pair.label.exists() else None
                if polygons:
                    return False
                some |= polygons is False
    except DataError:
        return False  # told by `read`
    return some
