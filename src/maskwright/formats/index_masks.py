"""Index masks: a folder of images, and a folder of PNGs whose pixels are class ids.

    root/{split}/images/a.jpg  root/{split}/masks/a.png      or
    root/images/{split}/a.jpg  root/masks/{split}/a.png      or
    root/images/a.jpg          root/masks/a.png              (one split, "all")

`root/classes.json` names the classes in the order of their ids: a list of names, or an object with
"names" and, where wanted, "palette" (RGB 0..255), "ignore_index" and "things" (ids). Id 255 (65535
in 16-bit masks) is void.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.draw import index_png
from maskwright.core.errors import DataError
from maskwright.core.files import write_bytes
from maskwright.core.image import read_index_png
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.class_ids import IdTable, leave_out, read_classes, write_classes
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.writing import Entry, Target, Written

LAYOUT = (
    "index masks: SPLIT/images/ with SPLIT/masks/NAME.png, or images/ with masks/ (with or without "
    "a folder for each split), and classes.json"
)


_VOID = 255


def detect(path: Path) -> str | None:
    """Why a path looks like index masks, or None."""
    pairs = _find_pairs(path)
    names = [images.relative_to(path).as_posix() + "/" for images, _ in pairs.values()]
    return f"images with masks in {', '.join(names)}" if pairs else None


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    """Find the pairs; without classes.json every mask is opened once, to find the ids."""
    root, notes = reading.root, reading.notes
    pairs = _find_pairs(root)
    if not pairs:
        return None
    notes += _without_masks(root, pairs)
    table = _read_classes(reading, pairs)
    splits = {
        split: _read_split(reading, split, images, masks, table)
        for split, (images, masks) in pairs.items()
    }
    return table.classes, splits


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write images/NAME and masks/NAME.png of one image; the mask last, so that it marks the end.

    Raises:
        DataError: the truth has no class map.
    """
    if truth.semantic is None:
        raise DataError(
            f"{sample.name} has no class map (its tasks: {', '.join(sorted(sample.tasks))}); "
            "expected semantic truth. Write this set as coco."
        )
    folder = target.folder(split)
    folders.copy_image(sample, folder / "images", target.link)
    mask = index_png(truth.semantic, truth.classes)
    write_bytes(folder / "masks" / f"{sample.name}.png", mask)
    return Written()


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write classes.json, and the folders of splits without images."""
    for split in entries:
        for kind in ("images", "masks"):
            (target.folder(split) / kind).mkdir(parents=True, exist_ok=True)
    write_classes(target.root / "classes.json", target.classes)


def _find_pairs(root: Path) -> dict[str, tuple[Path, Path]]:
    """Split name -> its images' and masks' folders."""
    whole = (root / "images", root / "masks")
    if not all(folder.is_dir() for folder in whole):
        inside = {
            child.name: (child / "images", child / "masks")
            for child in folders.subfolders(root)
            if (child / "images").is_dir() and (child / "masks").is_dir()
        }
        return _in_order(inside)
    images, masks = whole
    inner = {
        child.name: (child, masks / child.name)
        for child in folders.subfolders(images)
        if child.name.lower() in folders.SPLIT_NAMES and (masks / child.name).is_dir()
    }
    return _in_order(inner) if inner else {folders.NO_SPLIT: whole}


def _without_masks(root: Path, pairs: dict[str, tuple[Path, Path]]) -> list[str]:
    """Notes on image folders beside those of `pairs` that have no folder of masks."""
    used = {images for images, _ in pairs.values()}
    beside = [child / "images" for child in folders.subfolders(root)]
    if root / "images" not in used:
        beside += folders.subfolders(root / "images")
    left = [folder for folder in beside if folder.is_dir() and folder not in used]
    return [f"{folder} has no masks beside it and is left out." for folder in left]


def _in_order(pairs: dict[str, tuple[Path, Path]]) -> dict[str, tuple[Path, Path]]:
    names = folders.name_splits(pairs)
    return {names[folder]: pairs[folder] for folder in folders.split_order(names)}


def _read_split(
    reading: Reading, split: str, images: Path, masks: Path, table: IdTable
) -> tuple[Sample, ...]:
    found, drawn = folders.group_images(images), _find_masks(masks)
    twins = {name: paths for name, paths in found.items() if len(paths) > 1}
    without_mask = [name for name in found if name not in drawn]
    without_image = [name for name in drawn if name not in found]
    faults = {name: folders.same_name(images, name, paths) for name, paths in twins.items()}
    faults |= {name: _missing_mask(images, masks, [name]) for name in without_mask}
    reading.refuse(_missing_mask(images, masks, without_mask) if without_mask else "")
    reading.refuse(next(iter(faults.values()), ""))
    if without_image:
        reading.notes.append(
            f"{split}: {len(without_image)} masks have no image and are left out "
            f"({folders.shortlist(without_image)})."
        )
    return tuple(
        reading.sample(
            name,
            paths[0],
            partial(read_truth, drawn.get(name, masks / name), paths[0], table),
            {"semantic"},
            faults.get(name, ""),
        )
        for name, paths in found.items()
    )


def read_truth(mask: Path, image: Path, table: IdTable) -> Segmentation:
    """The class map of one image.

    Raises:
        DataError: the mask is damaged, has another size than its image, or ids without a class.
    """
    ids = read_index_png(mask)
    if ids.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{mask}: expected 8 or 16 bits of class id, got {ids.dtype}; save it again."
        )
    size = (ids.shape[0], ids.shape[1])
    folders.check_size(str(mask), size, image)
    return Segmentation(size=size, classes=table.classes, semantic=table.apply(ids, mask))


def _missing_mask(images: Path, masks: Path, names: list[str]) -> str:
    return (
        f"{len(names)} of the images in {images} lack a mask: {folders.shortlist(names)}. Expected "
        f"{masks}/{names[0]}.png; add the masks, or move these images away."
    )


def _find_masks(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() == ".png" and not path.name.startswith(".")
    }


def _read_classes(reading: Reading, pairs: dict[str, tuple[Path, Path]]) -> IdTable:
    root, notes = reading.root, reading.notes
    places = [folder / "classes.json" for folder in (root, root.resolve().parent)]
    source = next((place for place in places if place.is_file()), None)
    if source is None:
        count = _count_ids(root, pairs)
        notes.append(f"{root} has no classes.json: {count} classes are named after their ids.")
        classes, ignored = Classes.of(f"class_{i}" for i in range(count)), None
    else:
        classes, ignored = read_classes(source)
        if source == places[1]:
            notes.append(f"The classes are those of {source}, one folder up.")
    reasons = {} if ignored is None or ignored == classes.void else {ignored: "by ignore_index"}
    reasons |= {classes.index(name): "as asked" for name in reading.ignore}
    reading.own_ids.update(dict.fromkeys(reasons, "") | dict(enumerate(classes.names)))
    for index, why in reasons.items():
        if 0 <= index < len(classes):
            moved = ", and the ids above it move down" if index + 1 < len(classes) else ""
            notes.append(f"Class {classes.names[index]} (id {index}) is void {why}{moved}.")
    return leave_out(classes, reasons, source or root)


def _count_ids(root: Path, pairs: dict[str, tuple[Path, Path]]) -> int:
    """One more than the highest id in any readable mask."""
    present: set[int] = set()
    for _, masks in pairs.values():
        for mask in _find_masks(masks).values():
            with contextlib.suppress(DataError):  # it is met again when its truth is read
                present.update(np.unique(read_index_png(mask)).tolist())
    named = present - {_VOID, 65535}
    if named <= {0} and _VOID in present:
        raise DataError(
            f"the masks in {root} hold the ids {sorted(present)} only, and {_VOID} means void: "
            f"nothing is left to tell apart. Expected class ids from 0; save {_VOID} as 1."
        )
    return max(named, default=0) + 1


FORMAT = Format(
    name="index_masks",
    title="index masks",
    layout=LAYOUT,
    tasks=frozenset({"semantic"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
)
"""See the top of this file; the masks are palette PNGs (16-bit grey above 255 classes)."""

read, write = FORMAT.read, FORMAT.write
