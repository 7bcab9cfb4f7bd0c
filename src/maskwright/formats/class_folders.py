"""Image labels as folders: an image lies in the folder of its class. No masks, no boxes.

    root/train/crack/a.jpg     root/val/sound/b.jpg     as torchvision and YOLO classify read it, or
    root/crack/a.jpg           root/sound/b.jpg         (one split, "all")

classes.json names the classes where their order matters; else they are the folders' names, sorted.
An image is called as below its class's folder, unless two classes of a split share a name: then all
names of the split begin with the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.image import IMAGE_SUFFIXES
from maskwright.core.parts import Label
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.class_ids import kept_ranks, read_classes, subset, write_classes
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.writing import Entry, Target, Written, lost

LAYOUT = "folders: SPLIT/CLASS/NAME.jpg, or CLASS/NAME.jpg, the folder telling the image's class"

_OTHERS = frozenset(
    {"images", "masks", "labels", "annotations", "jpegimages", "leftimg8bit", "gtfine", "overlays"}
)
"""Folders of other layouts, which are no classes unless this format is asked for."""

Found = dict[str, dict[str, Path]]
"""Split -> class -> its folder."""


def detect(path: Path) -> str | None:
    """Why a path looks like folders of classes (two at least), or None."""
    if any(_is_of_other(child) for child in folders.subfolders(path)):
        return None
    names = {name for own in _find(path).values() for name in own}
    if len(names) < 2 or any(map(_is_split, names)):
        return None
    return f"images in folders of their classes ({folders.shortlist(sorted(names))})"


def read_truth(image: Path, class_id: int, classes: Classes) -> Segmentation:
    """The label of one image.

    Raises:
        DataError: it can't be read.
    """
    label = Label(class_id=class_id)
    return Segmentation(size=folders.image_sizes(image)[0], classes=classes, labels=(label,))


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image to the folder of its class: of several labels, the surest or first.

    Raises:
        DataError: it has no label, or class or split can't be told by a folder's name.
    """
    labels = truth.labels or ()
    if not labels:
        raise DataError(
            f"{split}/{sample.name} has no image label; expected one class of the whole image. "
            "Write this set in the format of its masks or boxes."
        )
    chosen = max(labels, key=lambda one: 1.0 if one.score is None else one.score)
    name = truth.classes.names[chosen.class_id]
    _check_names(target, name)
    folders.copy_image(sample, target.folder(split) / name, target.link)
    return Written(
        losses=lost(
            {
                "{} further labels of images that have several": len(labels) - 1,
                "the scores of {} image labels": int(chosen.score is not None),
            }
        )
    )


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write classes.json, and every class's folder in every split."""
    for split in entries:
        for name in target.classes.names:
            _check_names(target, name)
            (target.folder(split) / name).mkdir(parents=True, exist_ok=True)
    write_classes(target.root / "classes.json", target.classes)


def _check_names(target: Target, name: str) -> None:
    """Refuse names that `read` would take for something else."""
    as_split = target.alone and name.lower() in folders.SPLIT_NAMES
    if name != Path(name).name or name.startswith(".") or name.strip() != name or as_split:
        raise DataError(
            f"the class {name!r} can't be the name of a folder here; expected no slash, no dot in "
            "front and no name of a split. Rename the class."
        )
    if not target.alone and not {split.lower() for split in target.splits} & set(
        folders.SPLIT_NAMES
    ):
        raise DataError(
            f"the splits {', '.join(target.splits)} would be read as classes; expected one of them "
            "to be train, val or test. Rename one."
        )


def _is_of_other(folder: Path) -> bool:
    """Whether a folder, or one in that of a split, is called as those of other layouts."""
    names = {folder.name.lower()}
    if folder.name.lower() in folders.SPLIT_NAMES:
        names |= {child.name.lower() for child in folders.subfolders(folder)}
    return bool(_OTHERS & names)


def _is_split(name: str) -> bool:
    """Whether it means a split rather than a class: train, train2017, val_1."""
    return name.lower().rstrip("0123456789_-") in folders.SPLIT_NAMES


def _find(root: Path) -> Found:
    """Splits where a folder is called so, else the classes right below."""
    children = folders.subfolders(root)
    if any(child.name.lower() in folders.SPLIT_NAMES for child in children):
        splits = {child.name: own for child in children if (own := _classes_in(child))}
        names = folders.name_splits(splits)
        return {names[folder]: splits[folder] for folder in folders.split_order(names)}
    alone = _classes_in(root)
    return {folders.NO_SPLIT: alone} if alone else {}


def _classes_in(folder: Path) -> dict[str, Path]:
    """The folders below that hold images or nothing; none where no image is in any."""
    found = {
        child.name: child
        for child in folders.subfolders(folder)
        if _holds_image(child) or not any(child.iterdir())
    }
    return found if any(map(_holds_image, found.values())) else {}


def _holds_image(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    root, found = reading.root, _find(reading.root)
    if not found:
        return None
    used = sorted({name for own in found.values() for name in own})
    source = root / "classes.json"
    every = read_classes(source)[0] if source.is_file() else Classes.of(used)
    unnamed = [name for name in used if name not in every.names]
    if unnamed:
        fault = (
            f"{root} has the folders {folders.shortlist(unnamed)}, but the classes of {source} are "
            f"{', '.join(every.names)}; add them there, or move the folders away."
        )
        reading.refuse(fault)
        reading.notes.append(f"{fault} Left out.")
    reading.own_ids.update(enumerate(every.names))
    classes = subset(every, kept_ranks(every.names, reading.ignore, root))
    if reading.ignore:
        reading.notes.append(f"Images of {', '.join(reading.ignore)} are left out, as asked.")
    return classes, {split: _read_split(reading, own, classes) for split, own in found.items()}


def _read_split(reading: Reading, own: Mapping[str, Path], classes: Classes) -> tuple[Sample, ...]:
    groups = {
        name: folders.group_images(folder) for name, folder in own.items() if name in classes.names
    }
    keys = [key for group in groups.values() for key in group]
    shared = len(set(keys)) < len(keys)
    samples = []
    for name, group in groups.items():
        for key, paths in group.items():
            fault = folders.same_name(own[name], key, paths) if len(paths) > 1 else ""
            reading.refuse(fault)
            truth = partial(read_truth, paths[0], classes.index(name), classes)
            called = f"{name}/{key}" if shared else key
            samples.append(reading.sample(called, paths[0], truth, {"labels"}, fault))
    return tuple(sorted(samples, key=lambda sample: sample.name))


FORMAT = Format(
    name="folders",
    title="folders of classes",
    layout=LAYOUT,
    tasks=frozenset({"labels"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
)
"""See the top of this file."""

read, write = FORMAT.read, FORMAT.write
