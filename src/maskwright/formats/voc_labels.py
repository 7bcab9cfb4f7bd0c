"""The labels of whole images in Pascal VOC: a list of images for each class and split.

    ImageSets/Main/aeroplane_train.txt       a line an image: its name and 1, -1 or 0

1 says that the class is there, -1 that it isn't, 0 that it shows in difficult objects only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskwright.core.errors import DataError
from maskwright.core.files import write_text
from maskwright.core.segmentation import Segmentation
from maskwright.formats.text_files import read_text
from maskwright.formats.writing import Entry

_LINE = re.compile(r"(?P<name>.*\S)\s+(?P<value>-?[01])")


def parse_list(file: Path) -> dict[str, int] | None:
    """Name -> 1, -1 or 0 of a class's list; None where the file is no such list."""
    if "_" not in file.stem:
        return None
    lines = [line.strip() for line in read_text(file).splitlines()]
    found = [_LINE.fullmatch(line) for line in lines if line]
    if not found or not all(found):
        return None
    return {match["name"]: int(match["value"]) for match in found if match}


def labels_in(
    lists: Mapping[str, Mapping[str, int]], splits: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Image -> class -> 1, -1 or 0.

    Args:
        lists: name of a file -> its `parse_list`.
        splits: names of plain lists, so that classes and splits with "_" are told apart.
    """
    labels: dict[str, dict[str, int]] = {}
    for stem, own in lists.items():
        name = class_of(stem, splits)[0]
        for image, value in own.items():
            labels.setdefault(image, {})[name] = value
    return labels


def class_of(stem: str, splits: Sequence[str]) -> tuple[str, str]:
    """(class, split) of a list's file name."""
    fitting = [split for split in splits if stem.endswith(f"_{split}")]
    split = max(fitting, key=len) if fitting else stem.rpartition("_")[2]
    return stem[: -len(split) - 1], split


def label_entry(truth: Segmentation, name: str) -> dict[str, int] | None:
    """Class -> 1, or 0 where it shows in crowds only; None where no labels were given.

    Raises:
        DataError: a class that no file can be called after.
    """
    if truth.labels is None:
        return None
    unfit = next((one for one in truth.classes.names if "/" in one or one.startswith(".")), None)
    if unfit is not None:
        raise DataError(
            f"{name}: the class {unfit!r} can't be part of a file's name, as VOC's lists of image "
            "labels need; expected no slash and no dot in front. Rename the class."
        )
    names = truth.classes.names
    crowds = {names[one.class_id]: 0 for one in truth.instances or () if one.crowd}
    plain = {names[one.class_id] for one in truth.instances or () if not one.crowd}
    unsure = {name: 0 for name in crowds if name not in plain}
    return unsure | {names[one.class_id]: 1 for one in truth.labels}


def write_lists(folder: Path, split: str, entries: Sequence[Entry], names: Sequence[str]) -> None:
    """Write a list for each class, where images have labels."""
    labelled: list[tuple[str, Mapping[str, int]]] = [
        (entry["name"], entry["labels"]) for entry in entries if entry["labels"] is not None
    ]
    if not labelled:
        return
    for name in names:
        lines = (f"{image} {own.get(name, -1):2d}\n" for image, own in labelled)
        write_text(folder / f"{name}_{split}.txt", "".join(lines))
