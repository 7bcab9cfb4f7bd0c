"""Pascal VOC: boxes in XML, class maps and objects' numbers in palette PNGs, splits in lists.

    root/JPEGImages/a.jpg           root/Annotations/a.xml               boxes, "difficult"
    root/SegmentationClass/a.png    root/SegmentationObject/a.png        255 is void (contours)
    root/ImageSets/Segmentation/train.txt       root/ImageSets/Main/train.txt ...
    root/ImageSets/Main/cat_train.txt           labels of whole images (`voc_labels`)

or root/train/a.jpg beside root/train/a.xml, as labelling services export it: boxes, and masks where
all objects have a <polygon>. CVAT's labelmap.txt tells classes and the colours of pictures.

`voc_files` finds the files, `voc_xml` knows the XML, `voc_write` writes. A difficult object is a
crowd here: finding it is neither right nor wrong. Objects' numbers count the objects of the XML;
where they contradict boxes or classes, the object that fits best is taken.

Reference: M. Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, and
the development kit's documentation, sections 3-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.flatten import masks_of
from maskwright.core.mask import Mask
from maskwright.core.parts import Instance, Label
from maskwright.core.sample import Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders, voc_files
from maskwright.formats.class_ids import IdTable, kept_ranks, leave_out
from maskwright.formats.format import Format, Reading, Splits
from maskwright.formats.label_colours import Colour, read_ids, voc_colour
from maskwright.formats.voc_files import Place
from maskwright.formats.voc_write import finish, write_sample
from maskwright.formats.voc_xml import Annotation, Object, read_annotation

LAYOUT = (
    "voc: JPEGImages/ with Annotations/NAME.xml, SegmentationClass/NAME.png or both, and lists in "
    "ImageSets/Main or ImageSets/Segmentation"
)

_VOID = 255
_NUMBERS: dict[Colour, int] = {voc_colour(number): number for number in range(255)}
"""Colours of SegmentationObject where it is saved as a picture: those of VOC's colour map."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Table:
    """What ids, colours and names mean: `ids` and `colours` (-> file id) for class maps,
    `class_of` name -> class id, ignored ones lack."""

    ids: IdTable
    class_of: Mapping[str, int]
    file_names: tuple[str, ...]
    colours: Mapping[Colour, int]


def detect(path: Path) -> str | None:
    """Why a path looks like Pascal VOC, or None."""
    try:
        home = voc_files.find_home(path)
    except DataError as error:
        return str(error)
    if home is not None:
        return f"Pascal VOC in {home.name}/ (JPEGImages and annotations)"
    beside = voc_files.find_beside(path)
    return f"Pascal VOC, XML files beside the images of {', '.join(beside)}" if beside else None


def _scan(reading: Reading) -> tuple[Classes, Splits] | None:
    root, notes = reading.root, reading.notes
    home = voc_files.find_home(root)
    beside = voc_files.find_beside(root) if home is None else {}
    if home is None and not beside:
        return None
    places = _labelled(beside or voc_files.find_places(home or root, notes), notes)
    found, faults = _check(places)
    told = [fault for split in faults.values() for fault in split.values()]
    more = f" {len(told) - 1} more are wrong." if len(told) > 1 else ""
    reading.refuse(f"{told[0]}{more}" if told else "")
    of_files: dict[Path, str] = {}
    table = _table(reading, home or root, places, found, of_files)
    splits = {
        split: tuple(
            _sample(
                reading,
                place,
                found.get(place.xml),
                faults[split].get(place.name) or of_files.get(place.xml, ""),
                table,
            )
            for place in _unique(own)
        )
        for split, own in places.items()
    }
    return table.ids.classes, splits


def read_truth(place: Place, annotation: Annotation | None, table: _Table) -> Segmentation:
    """The class map and objects of one image.

    Raises:
        DataError: a PNG is damaged, has another size than its image, or ids without a class.
    """
    size = folders.image_sizes(place.images[0])[0]
    semantic = file_ids = None
    if place.class_png.is_file():
        file_ids = _read_ids(place.class_png, place, table.colours)
        semantic = table.ids.apply(file_ids, place.class_png)
    if annotation is not None and annotation.size is not None:
        folders.check_size(f"the <size> in {place.xml}", annotation.size, place.images[0])
    instances = None
    objects = annotation.objects if annotation is not None else ()
    if place.object_png.is_file():
        numbers = _read_ids(place.object_png, place, _NUMBERS if table.colours else {})
        masks = masks_of(np.where(numbers == _VOID, 0, numbers))
        instances = _with_masks(objects, masks, file_ids, table)
    elif annotation is not None:
        instances = [_drawn(_instance(one, None, table), one.polygons, size) for one in objects]
    kept = None if instances is None else tuple(one for one in instances if one is not None)
    return Segmentation(
        size=size,
        classes=table.ids.classes,
        semantic=semantic,
        instances=kept,
        labels=_labels(place, table),
        extras={} if annotation is None else annotation.extras,
    )


def _labels(place: Place, table: _Table) -> tuple[Label, ...] | None:
    if place.labels is None:
        return None
    shown = [name for name, value in place.labels.items() if value == 1 and name in table.class_of]
    return tuple(Label(class_id=i) for i in sorted(table.class_of[name] for name in shown))


def _read_ids(png: Path, place: Place, colours: Mapping[Colour, int]) -> np.ndarray:
    ids = read_ids(png, colours)
    if ids.dtype != np.uint8:
        raise DataError(f"{png}: expected 8 bits of id, got {ids.dtype}; save it as a palette PNG.")
    folders.check_size(str(png), (ids.shape[0], ids.shape[1]), place.images[0])
    return ids


def _with_masks(
    objects: tuple[Object, ...],
    masks: Mapping[int, Mask],
    file_ids: np.ndarray | None,
    table: _Table,
) -> list[Instance | None]:
    """The XML's objects with their masks, then masks that no object has."""
    owner: dict[int, int] = {}
    for number, mask in masks.items():
        name = _name_under(mask, file_ids, table)
        likeness = {
            i: _box_iou(one.box_xyxy, mask.box_xyxy)
            + 0.5 * (i + 1 == number)
            + 0.5 * (one.name == name)
            for i, one in enumerate(objects)
            if i not in owner
        }
        best = max(likeness, key=lambda i: likeness[i], default=-1)
        if best >= 0 and (likeness[best] > 0.8 or best + 1 == number):
            owner[best] = number
    found = [_instance(one, masks.get(owner.get(i, 0)), table) for i, one in enumerate(objects)]
    for number, mask in masks.items():
        name = _name_under(mask, file_ids, table)
        if number not in owner.values() and name in table.class_of:
            found.append(Instance(class_id=table.class_of[name], box_xyxy=mask.box_xyxy, mask=mask))
    return found


def _drawn(
    found: Instance | None, polygons: tuple[tuple[float, ...], ...], size: tuple[int, int]
) -> Instance | None:
    """An object with the mask of its polygons, which stay with it: see `Instance.extras`."""
    if found is None or not polygons:
        return found
    extras = {**found.extras, "segmentation": [list(polygon) for polygon in polygons]}
    return replace(found, mask=Mask.from_polygons(polygons, size), extras=extras)


def _instance(one: Object, mask: Mask | None, table: _Table) -> Instance | None:
    if one.name not in table.class_of:
        return None
    return Instance(
        class_id=table.class_of[one.name],
        box_xyxy=one.box_xyxy,
        mask=mask,
        crowd=one.difficult,
        extras=one.extras,
    )


def _name_under(mask: Mask, file_ids: np.ndarray | None, table: _Table) -> str:
    if file_ids is None:
        return ""
    present = np.bincount(file_ids[mask.decode()], minlength=256)[: len(table.file_names)]
    return table.file_names[int(present.argmax())] if present.any() else ""


def _box_iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / max(sum(areas) - common, 1e-9)


def _labelled(places: dict[str, list[Place]], notes: list[str]) -> dict[str, list[Place]]:
    """The splits without those of which nothing is labelled, as a challenge's test set."""
    bare = [split for split, own in places.items() if own and not any(map(_has_label, own))]
    if len(bare) == len(places):
        return places
    notes += [f"{split}: none of {len(places[split])} images is labelled. Left out."
              for split in bare]  # fmt: skip
    return {split: own for split, own in places.items() if split not in bare}


def _has_label(place: Place) -> bool:
    files = (place.xml, place.class_png, place.object_png)
    return place.labels is not None or any(file.is_file() for file in files)


def _check(
    places: Mapping[str, list[Place]],
) -> tuple[dict[Path, Annotation], dict[str, dict[str, str]]]:
    """XML -> what it holds, and split -> name -> what is wrong with it."""
    found: dict[Path, Annotation] = {}
    faults: dict[str, dict[str, str]] = {split: {} for split in places}
    for split, own in places.items():
        for place in own:
            fault = _fault_of(place)
            if not fault and place.xml.is_file():
                try:
                    found[place.xml] = read_annotation(place.xml)
                except DataError as error:
                    fault = str(error)
            if fault:
                faults[split][place.name] = fault
    return found, faults


def _fault_of(place: Place) -> str:
    if not place.images:
        return f"{place.wanted} is on a list of ImageSets, but there is no such image; add it."
    if len(place.images) > 1:
        return folders.same_name(place.wanted.parent, place.name, place.images)
    if not _has_label(place):
        return f"{place.images[0]} has neither {place.xml} nor {place.class_png}; add one."
    return ""


def _unique(places: list[Place]) -> list[Place]:
    return list({place.name: place for place in places}.values())


def _table(
    reading: Reading,
    home: Path,
    places: Mapping[str, list[Place]],
    found: Mapping[Path, Annotation],
    of_files: dict[Path, str],
) -> _Table:
    """What the files' names and ids mean; takes the faults of XML files that name other classes."""
    used = {one.name for annotation in found.values() for one in annotation.objects}
    listed = [one.labels for own in places.values() for one in own if one.labels is not None]
    labelled = {name for labels in listed for name in labels}
    unsure = sum(value == 0 for labels in listed for value in labels.values())
    if unsure:
        reading.notes.append(
            f"{unsure} image labels are 0, shown by difficult objects only; they are left out."
        )
    with_maps = any(place.class_png.is_file() for own in places.values() for place in own)
    classes, colours = voc_files.find_classes(home, used | labelled, with_maps, reading.notes)
    unlisted = sorted(labelled - set(classes.names))
    if unlisted:
        raise DataError(
            f"{home} has lists of images of {folders.shortlist(unlisted)} in ImageSets/Main, but "
            f"the classes are {', '.join(classes.names)}; add them to classes.json, or remove the "
            "lists."
        )
    unnamed = sorted(used - set(classes.names))
    for file, annotation in found.items() if unnamed else ():
        name = next((one.name for one in annotation.objects if one.name in unnamed), None)
        if name is not None:
            fault = (
                f"{file} holds an object {name!r}, but the classes are "
                f"{folders.shortlist(classes.names, 20)}; add it to classes.json, or mend the file."
            )
            reading.refuse(fault)
            of_files[file] = fault
    kept_ranks(classes.names, reading.ignore, home)
    reading.own_ids.update(enumerate(classes.names))
    ids = leave_out(classes, {classes.index(name) for name in reading.ignore}, home)
    class_of = {name: i for i, name in enumerate(ids.classes.names)}
    return _Table(ids=ids, class_of=class_of, file_names=classes.names, colours=colours)


def _sample(
    reading: Reading, place: Place, annotation: Annotation | None, fault: str, table: _Table
) -> Sample:
    tasks: set[Task] = set()
    if place.class_png.is_file():
        tasks.add("semantic")
    if annotation is not None or place.object_png.is_file():
        tasks.add("boxes")
    if place.object_png.is_file() and (annotation is None or annotation.segmented is not False):
        tasks.add("instances")
    if annotation is not None and annotation.objects and not place.object_png.is_file():
        tasks.update(["instances"] if all(one.polygons for one in annotation.objects) else [])
    if place.labels is not None:
        tasks.add("labels")
    truth = partial(read_truth, place, annotation, table)
    image = place.images[0] if place.images else place.wanted
    return reading.sample(place.name, image, truth, tasks, fault)


FORMAT = Format(
    name="voc",
    title="Pascal VOC annotations",
    layout=LAYOUT,
    tasks=frozenset({"semantic", "instances", "boxes", "labels"}),
    scan=_scan,
    detect=detect,
    write_sample=write_sample,
    finish=finish,
    holds=frozenset({"attributes", "parts"}),
    holds_of_images=frozenset({"source", "owner"}),
)
"""See the top of this file. Crowds become "difficult"; where all objects have masks but no class
map is at hand, it is made of them. "background" becomes class 0; classes.json names the classes."""

read, write = FORMAT.read, FORMAT.write
