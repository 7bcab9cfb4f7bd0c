"""Writing Cityscapes; `cityscapes` reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.files import write_bytes, write_text
from maskwright.core.flatten import Flat, flatten, looked_up
from maskwright.core.image import encode_png
from maskwright.core.outline import outline
from maskwright.core.parts import Instance
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.cityscapes_labels import LABELS, Label, labels_of, write_labels
from maskwright.formats.recast import class_map_of, overlaps, segments_of
from maskwright.formats.text_files import compact_json
from maskwright.formats.writing import Entry, Loss, Target, Written, extras_of, lost

NO_CITY = "none"
"""The folder of images whose names tell no city."""

_MOST_OF_A_LABEL = 1000
_MOST_ID = 64


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write the files of one image.

    Raises:
        DataError: more than 254 classes, neither class map nor masks, or a name that is taken.
    """
    labels = labels_of(target.classes)
    by_class = {one.train_id: one for one in labels if one.train_id != 255}
    semantic, objects = truth.semantic, truth.instances
    if truth.panoptic is not None and semantic is None:
        semantic = class_map_of(truth.panoptic, truth.classes)
        objects = objects or segments_of(truth.panoptic, truth.classes.things)
    instances = objects or ()
    boxes = sum(one.mask is None for one in instances)
    if semantic is None and (objects is None or (instances and boxes == len(instances))):
        raise DataError(
            f"{split}/{sample.name} has neither a class map nor masks; expected one. Write this "
            "set as coco or yolo_boxes."
        )
    flat = flatten(instances, truth.size)
    values = [by_class[one.class_id].id for one in instances]
    if semantic is None:
        ids = looked_up(flat.numbers, values, 0, np.uint8)
    else:
        table = np.zeros(truth.classes.void + 1, np.uint8)
        for class_id, label in by_class.items():
            table[class_id] = label.id
        ids = table[semantic]
    place = _place(sample.name)
    _write_photo(sample, target, split, f"{place}_leftImg8bit")
    stem = target.root / "gtFine" / split / f"{place}_gtFine"
    write_bytes(stem.with_name(f"{stem.name}_labelIds.png"), encode_png(ids))
    losses = overlaps(flat.ious)
    numbered = ids.astype(np.uint16)
    if objects is not None:
        numbers, kept = _numbers(instances, by_class, flat)
        covered = flat.numbers > 0
        numbered[covered] = looked_up(flat.numbers, numbers, 0, np.uint16)[covered]
        write_bytes(stem.with_name(f"{stem.name}_instanceIds.png"), encode_png(numbered))
        losses += _losses(instances, numbers, kept, by_class, truth, flat)
    polygons = {
        "imgHeight": truth.size[0],
        "imgWidth": truth.size[1],
        "objects": list(_polygons(numbered, labels, objects is not None)),
    }
    write_text(stem.with_name(f"{stem.name}_polygons.json"), compact_json(polygons))
    return Written(entry={"place": place}, losses=losses)


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write labels.json, and the folders of splits without images.

    Raises:
        DataError: two images of a split have one place.
    """
    for split, own in entries.items():
        places = [entry["place"] for entry in own]
        if len(set(places)) < len(places):
            twice = next(place for place in places if places.count(place) > 1)
            raise DataError(f"two images of {split} would both be {twice}; rename one of them.")
    labels = labels_of(target.classes)
    if labels is not LABELS:
        write_labels(target.root / "labels.json", labels)
    for split in entries:
        for kind in ("leftImg8bit", "gtFine"):
            (target.root / kind / split).mkdir(parents=True, exist_ok=True)


def _place(name: str) -> str:
    if "/" in name:
        return name
    city, underscore, _ = name.partition("_")
    return f"{city}/{name}" if underscore and city else f"{NO_CITY}/{name}"


def _write_photo(sample: Sample, target: Target, split: str, name: str) -> None:
    folder = target.root / "leftImg8bit" / split
    if isinstance(sample.image, Path) and sample.image.suffix.lower() == ".png":
        folders.copy_image(sample, folder, target.link, name)
    else:
        write_bytes(folder / f"{name}.png", encode_png(sample.read_image()))


def _numbers(
    instances: Sequence[Instance], by_class: Mapping[int, Label], flat: Flat
) -> tuple[list[int], list[bool]]:
    """The value of each object in instanceIds.png, and whether it is told apart by it."""
    counts: dict[int, int] = {}
    numbers, kept = [], []
    for one in instances:
        label = by_class[one.class_id]
        number = counts.get(label.id, 0)
        apart = not one.crowd and label.id <= _MOST_ID and number < _MOST_OF_A_LABEL
        if apart and one.mask is not None and one.mask.area:
            counts[label.id] = number + 1
        numbers.append(label.id * 1000 + number if apart else label.id)
        kept.append(apart)
    return numbers, kept


def _losses(
    instances: Sequence[Instance],
    numbers: Sequence[int],
    kept: Sequence[bool],
    by_class: Mapping[int, Label],
    truth: Segmentation,
    flat: Flat,
) -> tuple[Loss, ...]:
    crowds = [n for n, one in zip(numbers, instances) if one.crowd]
    groups = {n for n in crowds if _label_of(n, by_class).has_instances}
    things = list(truth.classes.things)
    loose = 0
    if truth.semantic is not None:
        left = np.unique(truth.semantic[(flat.numbers == 0) & np.isin(truth.semantic, things)])
        loose = sum(by_class[int(class_id)].id not in groups for class_id in left)
    masked = [one for one in instances if one.mask is not None]
    return lost(
        {
            "{} objects that are boxes without a mask": len(instances) - len(masked),
            "the empty masks of {} objects": sum(not one.mask.area for one in masked if one.mask),
            "the boxes of {} objects that are not those around their masks": sum(
                one.mask.area > 0 and one.box_xyxy != one.mask.box_xyxy
                for one in masked
                if one.mask
            ),
            "{} crowds beside another of their class, or of stuff": len(crowds) - len(groups),
            "that {} objects are told apart": sum(
                not apart and not one.crowd for apart, one in zip(kept, instances)
            ),
            "that {} regions of things are no group of objects": loose,
        }
        | extras_of(instances)
    )


def _label_of(number: int, by_class: Mapping[int, Label]) -> Label:
    return next(label for label in by_class.values() if label.id == number)


def _polygons(
    numbered: np.ndarray, labels: Sequence[Label], told_apart: bool
) -> Iterator[dict[str, object]]:
    """The 8-connected regions of each value as one polygon each."""
    by_id = {label.id: label for label in labels}
    for value in np.unique(numbered[numbered > 0]).tolist():
        label = by_id[value // 1000 if value >= 1000 else value]
        group = told_apart and value < 1000 and label.has_instances
        pixels = (numbered == value).astype(np.uint8)
        count, regions, boxes, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8)
        for region in range(1, count):
            x, y, width, height = boxes[region, :4].tolist()
            part = regions[y : y + height, x : x + width] == region
            corners = outline(part, "centre") + np.array([x, y])
            name = f"{label.name}group" if group else label.name
            yield {"label": name, "polygon": corners.tolist()}
