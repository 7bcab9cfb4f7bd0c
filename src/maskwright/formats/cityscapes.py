"""Cityscapes: label ids and instance ids as PNGs beside the polygons they were drawn from.

    root/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    root/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png       ids of the labels
    root/gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png    id * 1000 + number
    root/gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json

The PNGs are the truth; where they lack, the polygons are drawn. Classes are the 19 of training
(`cityscapes_labels`); other labels are void. A pixel of a label with instances that has no number
belongs to a group, a crowd here. Sets of other classes bring their table, root/labels.json.

Reference: M. Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding",
CVPR 2016, and the data set's description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.flatten import masks_of
from maskwright.core.image import read_index_png
from maskwright.core.outline import fill_centres
from maskwright.core.parts import Instance
from maskwright.core.sample import Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.cityscapes_labels import (
    LABELS,
    Label,
    classes_of,
    read_labels,
    trained_labels,
)
from maskwright.formats.cityscapes_write import NO_CITY, finish, write_sample
from maskwright.formats.class_ids import kept_ranks
from maskwright.formats.format import Format, Reading, Splits

LAYOUT = (
    "cityscapes: leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png with gtFine/SPLIT/CITY/"
    "NAME_gtFine_{labelIds.png,instanceIds.png,polygons.json}"
)

_KINDS = ("gtFine", "gtCoarse")
_PHOTO = "_leftImg8bit"


_FARTHEST = 16  # image sides: corners beyond are no annotation


@dataclass(frozen=True, kw_only=True, slots=True)
class _Files:
    """The annotation files of one image, whether or not they exist."""

    labels: Path
    instances: Path
    polygons: Path


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Table:
    """What ids mean: classes, label id -> class id, label id -> label."""

    classes: Classes
    class_of: Mapping[int, int]
    by_id: Mapping[int, Label]


def detect(path: Path) -> str | None:
    """Why a path looks like Cityscapes, or None."""
    kind = _kind(path)
    return f"Cityscapes in leftImg8bit/ and {kind}/" if kind else None


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    root, kind = reading.root, _kind(reading.root)
    if not kind:
        return None
    table = _read_table(reading)
    splits: Splits = {}
    children = {child.name: child for child in folders.subfolders(root / "leftImg8bit")}
    names = folders.name_splits(children)
    for folder in folders.split_order(names):
        truth = root / kind / folder
        if truth.is_dir():
            splits[names[folder]] = _read_split(reading, children[folder], truth, kind, table)
        else:
            reading.notes.append(f"{folder}: there is no {truth}. Left out.")
    return table.classes, splits


def read_truth(files: _Files, image: Path, table: _Table) -> Segmentation:
    """The class map and objects of one image.

    Raises:
        DataError: a file is damaged, has another size than its image, or an id without a label.
    """
    numbered: np.ndarray | None = None
    if files.labels.is_file():
        ids = _read_ids(files.labels, image).astype(np.int32)
        if files.instances.is_file():
            numbered = _read_ids(files.instances, image).astype(np.int32)
    else:
        ids, numbered = _draw(files.polygons, image, table)
    known = np.array([-1, 0, 255, *table.by_id])
    for png, found in ((files.labels, ids), (files.instances, numbered)):
        if found is not None:
            _refuse_unknown(png, found, known)
    lookup = np.full(256, table.classes.void, np.uint8)
    for label_id, class_id in table.class_of.items():
        lookup[label_id] = class_id
    semantic = lookup[ids & 255]
    instances = None if numbered is None else tuple(_instances(numbered, table))
    size = (ids.shape[0], ids.shape[1])
    return Segmentation(size=size, classes=table.classes, semantic=semantic, instances=instances)


def _refuse_unknown(png: Path, ids: np.ndarray, known: np.ndarray) -> None:
    present = np.unique(ids)
    labels = np.where(present >= 1000, present // 1000, present)
    unknown = present[~np.isin(labels, known) & (present < 65535)]
    if len(unknown):
        raise DataError(
            f"{png} holds ids {folders.shortlist([str(i) for i in unknown.tolist()])} that no "
            "label has; mend the file, or add the labels to labels.json."
        )


def _instances(numbered: np.ndarray, table: _Table) -> Iterator[Instance]:
    for number, mask in masks_of(np.where(numbered == 65535, 0, numbered)).items():
        label_id = number // 1000 if number >= 1000 else number
        told_apart = number >= 1000
        group = not told_apart and label_id in table.by_id and table.by_id[label_id].has_instances
        if label_id in table.class_of and (told_apart or group):
            class_id = table.class_of[label_id]
            yield Instance(class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask, crowd=group)


def _read_ids(png: Path, image: Path) -> np.ndarray:
    ids = read_index_png(png)
    folders.check_size(str(png), (ids.shape[0], ids.shape[1]), image)
    return ids


def _draw(polygons: Path, image: Path, table: _Table) -> tuple[np.ndarray, np.ndarray]:
    """Label ids and instance ids as the polygons' order draws them, later ones above."""
    document = folders.read_json(polygons)
    size = folders.image_sizes(image)[0]
    try:
        told = (document["imgHeight"], document["imgWidth"])
        objects = [
            (one["label"], np.rint(np.array(one["polygon"], np.float64).reshape(-1, 2)))
            for one in document["objects"]
            if not one.get("deleted")
        ]
        if not all(isinstance(name, str) for name, _ in objects):
            raise TypeError("a label is no text")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f'{polygons}: expected "imgHeight", "imgWidth" and "objects" with "label" and '
            f'"polygon", got {str(document)[:80]} ({error!r}); mend it.'
        ) from None
    folders.check_size(str(polygons), told, image)
    by_name = {label.name: label for label in table.by_id.values()}
    ids, numbered = np.zeros(size, np.int32), np.zeros(size, np.int32)
    counts: dict[int, int] = {}
    for name, corners in objects:
        group = name not in by_name and name.endswith("group")
        label = by_name.get(name.removesuffix("group") if group else name)
        if label is None:
            raise DataError(
                f"{polygons} holds the label {str(name)[:80]!r}, which is not in the table."
            )
        if not (np.abs(corners) <= _FARTHEST * max(size)).all():  # NaN, too
            raise DataError(
                f"{polygons}: expected the corners of a {name} as pixels of its image of "
                f"{size[0]}x{size[1]} (height x width), got {corners.tolist()[:3]}; mend it."
            )
        inside = fill_centres(corners.astype(np.int64), size)
        ids[inside] = numbered[inside] = label.id
        if label.has_instances and not group:
            numbered[inside] = label.id * 1000 + counts.get(label.id, 0)
            counts[label.id] = counts.get(label.id, 0) + 1
    return ids, numbered


def _kind(root: Path) -> str:
    if not (root / "leftImg8bit").is_dir():
        return ""
    return next((kind for kind in _KINDS if (root / kind).is_dir()), "")


def _read_table(reading: Reading) -> _Table:
    own = reading.root / "labels.json"
    labels = read_labels(own) if own.is_file() else LABELS
    if labels is LABELS:
        reading.notes.append(
            "The classes are the 19 that Cityscapes trains; its other labels are void."
        )
    every = classes_of(labels)
    kept_ranks(every.names, reading.ignore, reading.root)
    reading.own_ids.update({label.id: label.name for label in labels if label.id >= 0})
    kept = [label for label in trained_labels(labels) if label.name not in reading.ignore]
    classes = Classes.of(
        (label.name for label in kept),
        [label.colour for label in kept],
        (rank for rank, label in enumerate(kept) if label.has_instances),
    )
    class_of = {label.id: rank for rank, label in enumerate(kept)}
    return _Table(classes=classes, class_of=class_of, by_id={label.id: label for label in labels})


def _read_split(
    reading: Reading, photos: Path, truth: Path, kind: str, table: _Table
) -> tuple[Sample, ...]:
    samples: dict[str, Sample] = {}
    for key, paths in folders.group_images(photos).items():
        if not key.endswith(_PHOTO):
            continue
        stem = key.removesuffix(_PHOTO)
        name = _name_of(stem)
        files = _Files(
            labels=truth / f"{stem}_{kind}_labelIds.png",
            instances=truth / f"{stem}_{kind}_instanceIds.png",
            polygons=truth / f"{stem}_{kind}_polygons.json",
        )
        fault = ""
        if len(paths) > 1:
            fault = folders.same_name(photos, key, paths)
        elif name in samples:
            fault = f"{paths[0]} and {samples[name].image} both mean {name!r}; rename one."
        elif not files.labels.is_file() and not files.polygons.is_file():
            fault = f"{paths[0]} has neither {files.labels} nor {files.polygons}; add one."
        reading.refuse(fault)
        tasks: set[Task] = {"semantic"}
        if files.instances.is_file() or not files.labels.is_file():
            tasks |= {"instances", "boxes"}
        truth_of = partial(read_truth, files, paths[0], table)
        samples[name] = reading.sample(name, paths[0], truth_of, tasks, fault)
    return tuple(samples[name] for name in sorted(samples))


def _name_of(stem: str) -> str:
    """aachen/aachen_000000_000019 -> aachen_000000_000019; other folders stay in the name."""
    city, slash, name = stem.partition("/")
    return name if slash and (city == NO_CITY or name.startswith(f"{city}_")) else stem


FORMAT = Format(
    name="cityscapes",
    title="Cityscapes annotations",
    layout=LAYOUT,
    tasks=frozenset({"semantic", "instances", "boxes"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
)
"""See the top of this file. Images that are no PNG are saved as such, as the tools expect; the city
is what stands before a name's first "/" or "_". labels.json is written unless the classes are
Cityscapes' own. Without a class map, one is made of the objects."""

read, write = FORMAT.read, FORMAT.write
