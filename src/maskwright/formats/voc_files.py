"""Where the files of a Pascal VOC set lie, and how its classes are called; `voc` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.formats import folders
from maskwright.formats.class_ids import read_classes
from maskwright.formats.label_colours import Colour, read_label_map
from maskwright.formats.text_files import read_text
from maskwright.formats.voc_labels import class_of, labels_in, parse_list

NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""The classes of the challenge, in the order of their ids from 1; 0 is "background"."""

BACKGROUND = "background"
WHOLE = "trainval"
"""The list that names all images where there are no splits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The files of one image, whether or not they exist.

    Attributes:
        name: of the sample.
        images: with that name: one, unless something is wrong.
        xml: its boxes.
        class_png: its class map.
        object_png: its objects' numbers.
        labels: class -> 1 (there), -1 (not there) or 0 (difficult) of the lists of classes; None
            where they don't name the image.
        wanted: the image's path without suffix, for messages.
    """

    name: str
    images: tuple[Path, ...]
    xml: Path
    class_png: Path
    object_png: Path
    wanted: Path
    labels: Mapping[str, int] | None = None


def find_home(root: Path) -> Path | None:
    """The folder with JPEGImages/ and annotations: `root`, or the one VOC set below it.

    Raises:
        DataError: several sets are below it.
    """
    if _is_home(root):
        return root
    below = [child for child in folders.subfolders(root) if _is_home(child)]
    below += [child for child in folders.subfolders(root / "VOCdevkit") if _is_home(child)]
    if len(below) > 1:
        raise DataError(
            f"{root} holds {len(below)} VOC sets: {', '.join(child.name for child in below)}; "
            "expected one, so name the one that is meant."
        )
    return below[0] if below else None


def find_beside(root: Path) -> dict[str, list[Place]]:
    """Split name -> its images where the XML files lie beside them, in `root` or its folders."""
    tops = {child.name: child for child in folders.subfolders(root) if _has_xml(child)}
    names = folders.name_splits(tops)
    if not tops and root.is_dir() and _has_xml(root):
        tops, names = {"": root}, {"": folders.NO_SPLIT}
    places = {}
    for folder in folders.split_order(names):
        top = tops[folder]
        places[names[folder]] = [
            Place(
                name=name,
                images=tuple(paths),
                xml=top / f"{name}.xml",
                class_png=top / "SegmentationClass" / f"{name}.png",
                object_png=top / "SegmentationObject" / f"{name}.png",
                wanted=top / name,
            )
            for name, paths in folders.group_images(top).items()
        ]
    return places


def find_places(home: Path, notes: list[str]) -> dict[str, list[Place]]:
    """Split name -> its images, sorted by name; by the lists of ImageSets, or all as one split."""
    found = folders.group_images(home / "JPEGImages")
    lists, of_classes = _lists(home)
    if not lists:
        lists = {folders.NO_SPLIT: sorted(found)}
    elif len(lists) > 1 and WHOLE in lists:
        del lists[WHOLE]
    if tuple(lists) == (WHOLE,):
        lists = {folders.NO_SPLIT: lists[WHOLE]}
    labels = labels_in(of_classes, tuple(lists))
    listed = {name for own in lists.values() for name in own}
    rest = [name for name in found if name not in listed]
    if rest:
        notes.append(f"{len(rest)} images are on no list of ImageSets: {folders.shortlist(rest)}.")
    names = folders.name_splits(lists)
    prefixed = all(name.startswith(f"{s}/") for s, own in lists.items() for name in own)
    places = {}
    for split in folders.split_order(names):
        cut = len(split) + 1 if prefixed else 0
        own = [_place(home, name, name[cut:], found, labels) for name in lists[split]]
        places[names[split]] = sorted(own, key=lambda place: place.name)
    return places


def find_classes(
    home: Path, used: set[str], with_maps: bool, notes: list[str]
) -> tuple[Classes, dict[Colour, int]]:
    """The classes, and the ids that colours of class maps mean.

    They are those of classes.json, of labelmap.txt, of the challenge, or those that occur.

    Args:
        home: where the files may lie.
        used: names in the XML files and the lists of classes.
        with_maps: whether there are class maps, in which 0 is the background.
        notes: takes a sentence where the classes are guessed.

    Raises:
        DataError: a damaged file.
    """
    if (home / "classes.json").is_file():
        return read_classes(home / "classes.json")[0], {}
    label_map = home / "labelmap.txt"
    told = read_label_map(label_map) if label_map.is_file() else None
    if told is not None:
        if with_maps:
            ids = folders.shortlist([f"{i} {name}" for i, name in enumerate(told.names)])
            notes.append(
                f"The classes are those of {label_map}: by its colours where class maps hold them, "
                f"else by its order: {ids}."
                + (
                    f" {BACKGROUND} isn't first there, though it is 0 in Pascal VOC: check that."
                    if BACKGROUND in told.names[1:]
                    else ""
                )
            )
        things = [i for i, name in enumerate(told.names) if name != BACKGROUND]
        return Classes.of(told.names, told.colours, things), told.id_of
    if with_maps and used <= set(NAMES):
        notes.append("The classes are the 20 of Pascal VOC, with background as 0.")
        return Classes.of((BACKGROUND, *NAMES), None, range(1, 21)), {}
    names = [BACKGROUND] * with_maps + sorted(used - {BACKGROUND})
    if not names:
        raise DataError(f"{home} names no class: its XML files hold no object; write classes.json.")
    notes.append(f"{home} has no classes.json: the classes are those of its XML files, sorted.")
    things = [i for i, name in enumerate(names) if name != BACKGROUND]
    return Classes.of(names, None, things), {}


def _is_home(folder: Path) -> bool:
    kinds = ("Annotations", "SegmentationClass")
    annotated = any((folder / kind).is_dir() for kind in kinds)
    lists = (folder / "ImageSets" / "Main").glob("*_*.txt")
    return (folder / "JPEGImages").is_dir() and (annotated or any(map(parse_list, lists)))


def _has_xml(folder: Path) -> bool:
    """Whether an image has an XML file beside it."""
    return any(
        any(xml.with_suffix(suffix).is_file() for suffix in (".jpg", ".jpeg", ".png"))
        for xml in folder.glob("*.xml")
    )


def _lists(home: Path) -> tuple[dict[str, list[str]], dict[str, dict[str, int]]]:
    """Split -> names of images; and the lists of classes, by the names of their files."""
    lists: dict[str, dict[str, None]] = {}
    of_classes: dict[str, dict[str, int]] = {}
    in_classes: dict[str, dict[str, None]] = {}
    for kind in ("Segmentation", "Main"):
        for file in sorted((home / "ImageSets" / kind).glob("*.txt")):
            labelled = parse_list(file)
            if labelled is not None:  # aeroplane_train.txt: which images hold the class
                of_classes[file.stem] = labelled
                split = class_of(file.stem, ())[1]
                in_classes.setdefault(split, {}).update(dict.fromkeys(labelled))
                continue
            lines = [line.strip() for line in read_text(file).splitlines()]
            names = dict.fromkeys(line for line in lines if line)
            lists.setdefault(file.stem, {}).update(names)
    return {split: list(names) for split, names in (lists or in_classes).items()}, of_classes


def _place(
    home: Path,
    key: str,
    name: str,
    found: Mapping[str, list[Path]],
    labels: Mapping[str, Mapping[str, int]],
) -> Place:
    return Place(
        name=name,
        images=tuple(found.get(key, ())),
        xml=home / "Annotations" / f"{key}.xml",
        class_png=home / "SegmentationClass" / f"{key}.png",
        object_png=home / "SegmentationObject" / f"{key}.png",
        wanted=home / "JPEGImages" / key,
        labels=labels.get(key),
    )
