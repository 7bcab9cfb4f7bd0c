"""What an annotation tool tells of each image -> classes and samples; faults and counts are told.

A reader of such a tool's files makes a `Sheet` of each image; all else is stated here, once:
classes that are listed or only occur, images that stand there twice, strict and lenient reading,
the tasks, and a sentence for each kind of thing that is left out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.core.parts import Label
from maskwright.core.sample import Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.class_ids import kept_ranks
from maskwright.formats.format import Reading, Splits
from maskwright.formats.shapes import Shape, Size, all_masked, objects_of

_MOST_CLASSES = 65535  # that 16 bits of class id can tell apart, beside void


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sheet:
    """What a file tells of one image.

    Attributes:
        name: of the sample.
        image: where it lies, or its pixels.
        source: the file and entry, for the text of errors.
        size: (height, width) as the file states it.
        shapes: what was drawn; None where objects weren't labelled.
        labels: classes of the whole image; None where they weren't labelled.
        extras: what the file tells of the image beside, as `Segmentation.extras`.
        told: a sentence with "{}" -> how many things it concerns.
        fault: what is wrong, or "".
    """

    name: str
    image: Path | np.ndarray
    source: str
    size: Size | None = None
    shapes: tuple[Shape, ...] | None = ()
    labels: tuple[str, ...] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, int] = field(default_factory=dict)
    fault: str = ""


def assemble(
    reading: Reading,
    sheets: Mapping[str, Sequence[Sheet]],
    listed: Mapping[str, Colour | None],
    source: str,
) -> tuple[Classes, Splits]:
    """The classes and samples of all sheets.

    Args:
        reading: the call; takes the notes.
        sheets: split -> those of its images.
        listed: names of the classes that the files list, in their order, with colours if told.
            Names that occur beside them come after them, sorted.
        source: what lists them, for messages.

    Raises:
        DataError: strict, and a sheet is at fault; no class at all.
        ConfigError: `reading.ignore` names no class or all.
    """
    every = {split: _apart(own) for split, own in sheets.items()}
    faults = [sheet.fault for own in every.values() for sheet in own if sheet.fault]
    more = f" {len(faults) - 1} more are wrong." if len(faults) > 1 else ""
    reading.refuse(f"{faults[0]}{more}" if faults else "")
    counts: Counter[str] = Counter()
    for own in every.values():
        for sheet in own:
            counts.update(sheet.told)
    reading.leave_out(counts)
    classes = _classes(reading, [s for own in every.values() for s in own], listed, source)
    class_of = {name: i for i, name in enumerate(classes.names)}
    with_masks = any(
        shape.pixels is not None
        for own in every.values()
        for sheet in own
        for shape in sheet.shapes or ()
    )
    splits = {
        split: tuple(
            _sample(reading, sheet, classes, class_of, with_masks)
            for sheet in sorted(own, key=lambda sheet: sheet.name)
        )
        for split, own in every.items()
    }
    return classes, splits


def read_truth(sheet: Sheet, class_of: Mapping[str, int], classes: Classes) -> Segmentation:
    """The objects and labels of one image.

    Raises:
        DataError: the image has another size or can't be read, or a shape is malformed.
    """
    if sheet.size is not None:
        size = sheet.size
        folders.check_size(f"the size in {sheet.source}", size, sheet.image)
    elif isinstance(sheet.image, np.ndarray):
        size = (sheet.image.shape[0], sheet.image.shape[1])
    else:
        size = folders.image_sizes(sheet.image)[0]
    instances = labels = None
    if sheet.shapes is not None:
        try:
            instances = objects_of(sheet.shapes, class_of, size)
        except DataError as error:
            raise DataError(f"{sheet.source}: {error}") from None
    if sheet.labels is not None:
        ids = sorted({class_of[name] for name in sheet.labels if name in class_of})
        labels = tuple(Label(class_id=i) for i in ids)
    return Segmentation(
        size=size, classes=classes, instances=instances, labels=labels, extras=sheet.extras
    )


def find_image(places: Sequence[Path], names: Sequence[str], root: Path) -> Path | None:
    """The first file that a name means in one of the folders.

    Args:
        places: folders, the likeliest first.
        names: relative paths that a file brought, the likeliest first; those that would lead out
            of `root` mean nothing.
        root: of the set.
    """
    top = Path(_plain(root))
    for place in places:
        for name in names:
            if not _can_be_path(name):
                continue
            file = Path(_plain(place / name))
            inside = file.is_relative_to(top) and not Path(name).is_absolute()
            if inside and folders.is_file(file):
                return file if ".." in Path(name).parts else place / name
    return None


def stem_of(name: str) -> str:
    """A relative path without its suffix: the name of a sample."""
    return Path(name).with_suffix("").as_posix()


def _plain(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links stay links: a set may consist of them


def _can_be_path(name: str) -> bool:
    return bool(name) and folders.is_below("/".join(p for p in Path(name).parts if p != ".."))


def _apart(sheets: Sequence[Sheet]) -> list[Sheet]:
    """The sheets, in which an image that stands there again is at fault, and called otherwise."""
    seen: dict[str, Sheet] = {}
    for sheet in sheets:
        first = seen.get(sheet.name)
        if first is None:
            seen[sheet.name] = sheet
        elif not first.fault:
            fault = f"{sheet.source} and {first.source} both tell of {sheet.name!r}; remove one."
            seen[sheet.name] = replace(first, fault=fault)
    return list(seen.values())


def _classes(
    reading: Reading,
    sheets: Sequence[Sheet],
    listed: Mapping[str, Colour | None],
    source: str,
) -> Classes:
    used = {shape.label for sheet in sheets for shape in sheet.shapes or ()}
    used |= {name for sheet in sheets for name in sheet.labels or ()}
    beside = sorted(used - set(listed))
    names = [*listed, *beside]
    if not names:
        raise DataError(
            f"{reading.root} names no class: nothing is drawn in its images; draw something, or "
            "list the classes."
        )
    if len(names) > _MOST_CLASSES:
        raise DataError(f"{source} has {len(names)} classes; expected at most {_MOST_CLASSES}.")
    if listed and beside:
        reading.notes.append(
            f"{source} doesn't list {folders.shortlist(beside)}, which occur; they are classes, "
            "too."
        )
    elif beside:
        reading.notes.append(f"The classes are those that occur in {source}, sorted by name.")
    kept = [names[rank] for rank in kept_ranks(names, reading.ignore, reading.root)]
    reading.own_ids.update(enumerate(names))
    colours = [colour for name in kept if (colour := listed.get(name)) is not None]
    told = colours if len(colours) == len(kept) else None
    return Classes.of(kept, told, range(len(kept)))


def _sample(
    reading: Reading,
    sheet: Sheet,
    classes: Classes,
    class_of: Mapping[str, int],
    with_masks: bool,
) -> Sample:
    tasks: set[Task] = set()
    if sheet.shapes is not None:
        tasks.add("boxes")
        if with_masks and all_masked(sheet.shapes, class_of):
            tasks.add("instances")
    if sheet.labels is not None:
        tasks.add("labels")
    truth = partial(read_truth, sheet, class_of, classes)
    return reading.sample(sheet.name, sheet.image, truth, tasks, sheet.fault)
