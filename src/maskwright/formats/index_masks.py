"""Index masks: a folder of images, and a folder of PNGs whose pixels are class ids.

    root/{split}/images/a.jpg  root/{split}/masks/a.png      or
    root/images/{split}/a.jpg  root/masks/{split}/a.png      or
    root/images/a.jpg          root/masks/a.png              (one split, "all")

`mask_folders` knows further layouts: ADE20K's, MMSegmentation's, CamVid's, Roboflow's; masks may be
PNG, TIFF or BMP, and be called a_mask.png.

`root/classes.json` names the classes in the order of their ids: a list of names, or an object with
"names" and, where wanted, "palette" (RGB 0..255), "ignore_index" and "things" (ids). Roboflow's
_classes.csv and, for masks that hold colours, class_dict.csv or labelmap.txt do, too. Id 255 (65535
in 16-bit masks) is void.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.draw import index_png
from maskwright.core.errors import DataError, MaskwrightError
from maskwright.core.files import write_bytes
from maskwright.core.image import read_index_png
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders, mask_folders
from maskwright.formats.class_ids import IdTable, leave_out, read_classes, write_classes
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.label_colours import (
    Colour,
    ColourTable,
    read_class_dict,
    read_ids,
    read_label_map,
)
from maskwright.formats.mask_folders import Place
from maskwright.formats.text_files import read_text
from maskwright.formats.writing import Entry, Target, Written

LAYOUT = (
    "index masks: SPLIT/images/ with SPLIT/masks/NAME.png, or images/ with masks/ (with or without "
    "a folder for each split; also annotations/, img_dir/ with ann_dir/, train/ with trainannot/, "
    "or NAME_mask.png beside NAME.jpg), and classes.json"
)


_VOID = 255


def detect(path: Path) -> str | None:
    """Why a path looks like index masks, or None."""
    places = mask_folders.find_places(path)
    names = [place.images.relative_to(path).as_posix() + "/" for place in places.values()]
    return f"images with masks in {', '.join(names)}" if places else None


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    """Find the pairs; without classes.json every mask is opened once, to find the ids."""
    places = mask_folders.find_places(reading.root)
    if not places:
        return None
    reading.notes.extend(_without_masks(reading.root, places))
    table, colours = _read_classes(reading, places)
    splits = {
        split: _read_split(reading, split, place, table, colours) for split, place in places.items()
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


def _without_masks(root: Path, places: Mapping[str, Place]) -> list[str]:
    """Notes on image folders beside those of `places` that have no folder of masks."""
    used = {place.images for place in places.values()}
    beside = [child / "images" for child in folders.subfolders(root)]
    if root / "images" not in used:
        beside += folders.subfolders(root / "images")
    left = [folder for folder in beside if folder.is_dir() and folder not in used]
    return [f"{folder} has no masks beside it and is left out." for folder in left]


def _read_split(
    reading: Reading,
    split: str,
    place: Place,
    table: IdTable,
    colours: Mapping[Colour, int],
) -> tuple[Sample, ...]:
    images, masks = place.images, place.masks
    found = mask_folders.images_of(place)
    drawn = mask_folders.masks_of(place, found)
    elsewhere = sum(path.stem != Path(name).name for name, path in drawn.items())
    if elsewhere:
        reading.notes.append(f"{split}: {elsewhere} masks have an ending behind the image's name.")
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
            partial(read_truth, drawn.get(name, masks / name), paths[0], table, colours),
            {"semantic"},
            faults.get(name, ""),
        )
        for name, paths in found.items()
    )


def read_truth(
    mask: Path, image: Path, table: IdTable, colours: Mapping[Colour, int] | None = None
) -> Segmentation:
    """The class map of one image.

    Args:
        mask: of ids, or of the colours in `colours`.
        image: the photo.
        table: from the files' ids to the classes.
        colours: colour -> id in the files.

    Raises:
        DataError: the mask is damaged, has another size than its image, or ids without a class.
    """
    ids = read_ids(mask, colours or {})
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


def _read_classes(
    reading: Reading, places: Mapping[str, Place]
) -> tuple[IdTable, dict[Colour, int]]:
    """What the ids in the masks mean, and the ids that colours in them mean."""
    root, notes = reading.root, reading.notes
    candidates = [folder / "classes.json" for folder in (root, root.resolve().parent)]
    source = next((file for file in candidates if file.is_file()), None)
    told = None if source else _find_table(root, places)
    ignored: int | None = None
    colours: dict[Colour, int] = {}
    if source is not None:
        classes, ignored = read_classes(source)
        if source == candidates[1]:
            notes.append(f"The classes are those of {source}, one folder up.")
    elif told is not None:
        colours, source = told.id_of, told.source
        classes = _classes_of(told)
        how = "its colours" if colours else "the ids"
        notes.append(f"The classes are those of {source}, by {how} in it: {_by_id(classes)}.")
    else:
        count = _count_ids(root, places)
        notes.append(f"{root} has no classes.json: {count} classes are named after their ids.")
        classes = Classes.of(f"class_{i}" for i in range(count))
    reasons = {} if ignored is None or ignored == classes.void else {ignored: "by ignore_index"}
    reasons |= {classes.index(name): "as asked" for name in reading.ignore}
    reading.own_ids.update(dict.fromkeys(reasons, "") | dict(enumerate(classes.names)))
    for index, why in reasons.items():
        if 0 <= index < len(classes):
            moved = ", and the ids above it move down" if index + 1 < len(classes) else ""
            notes.append(f"Class {classes.names[index]} (id {index}) is void {why}{moved}.")
    table = leave_out(classes, reasons, source or root)
    binary = len(classes) == 2 and ignored is None and _VOID not in reasons
    if binary and source is not None and _is_binary(places):
        notes.append(
            f"The masks hold {_VOID} and 0 only, though {source} names two classes: {_VOID} is "
            f"read as {classes.names[1]} (1). If it is void, say so with ignore_index {_VOID}."
        )
        table = _with_255(table)
        reading.own_ids[_VOID] = classes.names[1]
    return table, colours


def _with_255(table: IdTable) -> IdTable:
    """The table in which 255 means what 1 means."""
    wide = np.full(_VOID + 1, -1, np.int32)
    wide[: len(table.table)] = table.table
    wide[_VOID] = wide[1]
    return IdTable(classes=table.classes, table=wide)


def _find_table(root: Path, places: Mapping[str, Place]) -> ColourTable | None:
    """The table of classes that stands beside the masks instead of a classes.json."""
    tops = [root, *(place.masks for place in places.values())]
    tops += [place.images.parent for place in places.values()]
    readers = {
        "class_dict.csv": read_class_dict,
        "labelmap.txt": read_label_map,
        "_classes.csv": _read_pixel_values,
    }
    for name, read_table in readers.items():
        for top in tops:
            if (top / name).is_file() and (found := read_table(top / name)):
                return found
    return None


def _read_pixel_values(file: Path) -> ColourTable | None:
    """Roboflow's table: a line "Pixel Value, Class", then an id and a name each."""
    rows = [row for row in csv.reader(io.StringIO(read_text(file))) if len(row) >= 2]
    named = {int(row[0]): row[1].strip() for row in rows if row[0].strip().isdecimal()
             and len(row[0].strip()) < 6 and row[1].strip()}  # fmt: skip
    if not named:
        return None
    names = tuple(named.get(i, f"class_{i}") for i in range(max(named) + 1))
    return ColourTable(names=names, colours=None, source=file)


def _classes_of(told: ColourTable) -> Classes:
    try:
        return Classes.of(told.names, told.colours)
    except MaskwrightError as error:
        raise DataError(f"{told.source}: {error}") from None


def _by_id(classes: Classes) -> str:
    return folders.shortlist([f"{i} {name}" for i, name in enumerate(classes.names)])


def _all_masks(places: Mapping[str, Place]) -> Iterator[Path]:
    for place in places.values():
        yield from mask_folders.masks_of(place, mask_folders.images_of(place)).values()


def _is_binary(places: Mapping[str, Place]) -> bool:
    """Whether the masks hold 0 and 255 and nothing else; ends at the first that does."""
    seen: set[int] = set()
    for mask in _all_masks(places):
        with contextlib.suppress(DataError):  # it is met again when its truth is read
            seen.update(np.flatnonzero(np.bincount(read_index_png(mask).ravel())).tolist())
        if seen - {0, _VOID}:
            return False
    return seen == {0, _VOID}


def _count_ids(root: Path, places: Mapping[str, Place]) -> int:
    """One more than the highest id in any readable mask."""
    present: set[int] = set()
    for mask in _all_masks(places):
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
