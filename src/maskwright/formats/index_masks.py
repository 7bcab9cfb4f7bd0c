"""Index masks: a folder of images, and a folder of PNGs whose pixels are class ids.

    root/{split}/images/a.jpg  root/{split}/masks/a.png      or
    root/images/{split}/a.jpg  root/masks/{split}/a.png      or
    root/images/a.jpg          root/masks/a.png              (one split, "all")

`root/classes.json` names the classes in the order of their ids: a list of names, or an object with
"names" and, where wanted, "palette" (RGB 0..255), "ignore_index" and "things" (ids). Id 255 (65535
in 16-bit masks) is void.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError, MaskwrightError
from maskwright.core.files import write_bytes, write_json
from maskwright.core.image import encode_png, read_bytes, read_index_png
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders

LAYOUT = (
    "index masks: SPLIT/images/ with SPLIT/masks/NAME.png, or images/ with masks/ (with or without "
    "a folder for each split), and classes.json"
)
_NO_CLASS = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapping:
    """From the ids in the files to the ids of `classes`.

    Attributes:
        classes: those that are kept.
        table: int32 [N]: file id -> class id; void's id where ignored, -1 where unknown.
    """

    classes: Classes
    table: np.ndarray

    def apply(self, ids: np.ndarray, source: Path) -> np.ndarray:
        """File ids [H, W] -> class ids [H, W], uint8 (uint16 above 255 classes).

        Raises:
            DataError: ids that no class has, naming them and `source`.
        """
        table = np.full(int(np.iinfo(ids.dtype).max) + 1, _NO_CLASS, np.int32)
        table[: min(len(self.table), len(table))] = self.table[: len(table)]
        void = self.classes.void
        for reserved in (255, len(table) - 1):  # 255 is void in 16 bits too, unless it is a class
            if table[reserved] == _NO_CLASS:
                table[reserved] = void
        present = np.flatnonzero(np.bincount(ids.ravel(), minlength=len(table)))
        unknown = present[table[present] == _NO_CLASS]
        if len(unknown):
            raise DataError(
                f"{source} holds ids {folders.shortlist([str(i) for i in unknown])}, but expected "
                f"0..{len(self.table) - 1} or void ({void}). Add the classes to "
                "classes.json, or mend the mask."
            )
        return table.astype(np.uint8 if void == 255 else np.uint16)[ids]


def detect(path: Path) -> str | None:
    """Why a path looks like index masks, or None."""
    pairs = _find_pairs(path)
    return (
        f"images and masks in {', '.join(_pair_name(path, p) for p in pairs.values())}"
        if pairs
        else None
    )


def read(path: Path | str, ignore: Iterable[str] = (), strict: bool = True) -> Dataset:
    """Read a folder of index masks.

    Masks are opened when a sample's truth is read; without classes.json they are all opened here
    once, to find their ids.

    Args:
        path: the folder that holds the splits (or images/ and masks/).
        ignore: names of classes to turn to void; the other ids move up to close the gap, as they
            do for the "ignore_index" of classes.json.
        strict: refuse the set where an image lacks its mask. Else such a sample is kept, and
            reading its truth raises the same error.

    Raises:
        DataError: no such layout, no images, a damaged classes.json, images without a mask.
        ConfigError: `ignore` names a class that isn't there, or all of them.
    """
    root = Path(path)
    pairs = _find_pairs(root)
    if not pairs:
        raise DataError(
            f"{root} holds no index masks: expected {LAYOUT}; found {folders.what_is_in(root)}."
            if root.exists()
            else f"{root} does not exist; check the path."
        )
    notes: list[str] = []
    mapping = _read_classes(root, pairs, tuple(ignore), notes)
    splits = {
        split: _read_split(split, images, masks, mapping, strict, notes)
        for split, (images, masks) in pairs.items()
    }
    if not any(splits.values()):
        raise DataError(
            f"{root} is an empty set: no image in "
            f"{', '.join(str(images) for images, _ in pairs.values())}; put images there."
        )
    return Dataset(
        root=root, format="index_masks", classes=mapping.classes, splits=splits, notes=tuple(notes)
    )


def write(dataset: Dataset, path: Path | str) -> tuple[str, ...]:
    """Write a set as index masks; `read` gives back the same ids, names and colours.

    Image files are copied as they are. The masks are palette PNGs (16-bit grey above 255 classes).

    Args:
        dataset: every sample needs semantic truth.
        path: a new or empty folder.

    Returns:
        A sentence for each thing that was left out.

    Raises:
        DataError: a sample without semantic truth, or `path` holds something.
    """
    root = Path(path)
    folders.require_empty(root)
    write_classes(dataset.classes, root)
    lost = 0
    for split, samples in dataset.splits.items():
        folder = root if tuple(dataset.splits) == (folders.NO_SPLIT,) else root / split
        for sample in samples:
            truth = sample.read_truth()
            write_sample(sample, truth, folder)
            lost += bool(truth.instances)
    return (f"index masks can't hold the objects of {lost} images; write them as coco.",) * bool(
        lost
    )


def write_sample(sample: Sample, truth: Segmentation, folder: Path) -> None:
    """Write images/NAME and masks/NAME.png below `folder`; the mask last, so that it marks the end.

    Raises:
        DataError: the truth has no class map.
    """
    if truth.semantic is None:
        raise DataError(
            f"{sample.name} has no class map (its tasks: {', '.join(sorted(sample.tasks))}); "
            "expected semantic truth. Write this set as coco."
        )
    folders.copy_image(sample, folder / "images")
    write_mask(folder / "masks" / f"{sample.name}.png", truth.semantic, truth.classes)


def write_mask(path: Path, semantic: np.ndarray, classes: Classes) -> None:
    """Write class ids [H, W] as a palette PNG, or 16-bit grey above 255 classes."""
    if semantic.dtype != np.uint8:
        write_bytes(path, encode_png(semantic))
        return
    from maskwright.core.draw import encode_index_png

    write_bytes(path, encode_index_png(semantic, classes))


def write_classes(classes: Classes, root: Path) -> None:
    """Write classes.json."""
    entries: dict[str, Any] = {
        "names": list(classes.names),
        "palette": [list(colour) for colour in classes.colours],
        "ignore_index": classes.void,
    }
    if classes.things:
        entries["things"] = sorted(classes.things)
    write_json(root / "classes.json", entries)


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


def _in_order(pairs: dict[str, tuple[Path, Path]]) -> dict[str, tuple[Path, Path]]:
    names = folders.name_splits(pairs)
    usual = ("train", "val", "test")
    ordered = sorted(pairs, key=lambda f: (usual.index(names[f]) if names[f] in usual else 3, f))
    return {names[folder]: pairs[folder] for folder in ordered}


def _pair_name(root: Path, pair: tuple[Path, Path]) -> str:
    return f"{pair[0].relative_to(root).as_posix()}/"


def _read_split(
    split: str, images: Path, masks: Path, mapping: Mapping, strict: bool, notes: list[str]
) -> tuple[Sample, ...]:
    found, drawn = folders.find_images(images), _find_masks(masks)
    without_mask = [name for name in found if name not in drawn]
    without_image = [name for name in drawn if name not in found]
    if without_mask and strict:
        raise DataError(_missing_mask(images, masks, without_mask))
    if without_image:
        notes.append(
            f"{split}: {len(without_image)} masks have no image and are left out "
            f"({folders.shortlist(without_image)})."
        )
    return tuple(
        Sample(
            name=name,
            image=image,
            truth_of=_truth_reader(name, image, images, masks, drawn, mapping),
            tasks=frozenset({"semantic"}),
        )
        for name, image in found.items()
    )


def _truth_reader(
    name: str, image: Path, images: Path, masks: Path, drawn: dict[str, Path], mapping: Mapping
) -> Callable[[], Segmentation]:
    if name in drawn:
        return partial(read_truth, drawn[name], image, mapping)
    return partial(_refuse, _missing_mask(images, masks, [name]))


def read_truth(mask: Path, image: Path, mapping: Mapping) -> Segmentation:
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
    return Segmentation(size=size, classes=mapping.classes, semantic=mapping.apply(ids, mask))


def _refuse(message: str) -> Segmentation:
    raise DataError(message)


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


def _read_classes(
    root: Path, pairs: dict[str, tuple[Path, Path]], ignore: tuple[str, ...], notes: list[str]
) -> Mapping:
    source = next(
        (f / "classes.json" for f in (root, root.parent) if (f / "classes.json").is_file()), None
    )
    if source is None:
        count = _count_ids(pairs)
        names: Sequence[str] = [f"class_{i}" for i in range(count)]
        notes.append(
            f"no classes.json in {root}: {count} classes named after the ids in the masks."
        )
        return _map_classes(Classes.of(names), {}, ignore, notes, root)
    if source.parent != root:
        notes.append(f"classes are those of {source}, one folder up.")
    classes, ignored = _parse_classes(source)
    return _map_classes(classes, ignored, ignore, notes, source)


def _parse_classes(source: Path) -> tuple[Classes, dict[int, str]]:
    """The classes of classes.json, and its ignored id with the reason."""
    try:
        data = json.loads(read_bytes(source))
    except ValueError as error:
        raise DataError(f"{source} is no valid JSON ({error}); mend or remove it.") from None
    data = {"names": data} if isinstance(data, list) else data
    names = data.get("names") if isinstance(data, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(
            f'{source}: expected a list of class names, or an object whose "names" is one, got '
            f"{str(data)[:80]}; write the names in the order of their ids."
        )
    try:
        classes = Classes.of(names, data.get("palette"), data.get("things", ()))
    except (MaskwrightError, TypeError, ValueError) as error:
        raise DataError(f"{source}: {error}") from None
    ignored = data.get("ignore_index")
    if ignored is None or ignored == classes.void:
        return classes, {}
    if not isinstance(ignored, int):
        raise DataError(f'{source}: expected "ignore_index" to be an id, got {ignored!r}; mend it.')
    return classes, {ignored: "by ignore_index"}


def _map_classes(
    classes: Classes,
    ignored: dict[int, str],
    ignore: tuple[str, ...],
    notes: list[str],
    source: Path,
) -> Mapping:
    ignored = ignored | {classes.index(name): "as asked" for name in ignore}
    kept = [i for i in range(len(classes)) if i not in ignored]
    if not kept:
        raise ConfigError(
            f"every class of {source} is ignored ({', '.join(classes.names)}); keep at least one."
        )
    for index, why in ignored.items():
        if 0 <= index < len(classes):
            moved = ", and the ids above it move down" if index + 1 < len(classes) else ""
            notes.append(f"class {classes.names[index]} (id {index}) is void {why}{moved}.")
    chosen = Classes.of(
        (classes.names[i] for i in kept),
        [classes.colours[i] for i in kept],
        (new for new, old in enumerate(kept) if old in classes.things),
    )
    table = np.full(max(len(classes), *(i + 1 for i in (-1, *ignored))), _NO_CLASS, np.int32)
    table[kept] = np.arange(len(kept))
    table[[i for i in ignored if i >= 0]] = chosen.void
    return Mapping(classes=chosen, table=table)


def _count_ids(pairs: dict[str, tuple[Path, Path]]) -> int:
    highest = 0
    for _, masks in pairs.values():
        for mask in _find_masks(masks).values():
            ids = read_index_png(mask)
            inside = ids[ids != np.iinfo(ids.dtype).max]
            highest = max(highest, int(inside.max(initial=0)))
    return highest + 1
