"""COCO results: a list of scored boxes or masks, and COCO annotations used as predictions.

    [{"image_id": 42, "category_id": 18, "bbox": [x, y, width, height], "score": 0.236}, ...]
    [{"image_id": 42, "category_id": 18, "segmentation": RLE or polygons, "score": 0.236}, ...]

Ids are those of the labelled set's own files. Where it is no COCO set, an image id is a name (or
the number that a name is). Ultralytics counts the categories of such sets from 1, in a file that
it calls predictions.json; that is recognised, and told.

Reference: cocodataset.org, "Results Format".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError, MaskwrightError
from maskwright.core.mask import Mask
from maskwright.core.mask_lists import boxes_of, masks_from_coco, runs_from_coco
from maskwright.core.object_arrays import ObjectArrays
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Instance, Segmentation
from maskwright.formats import coco_entries, coco_files
from maskwright.formats.answer_classes import AnswerClasses
from maskwright.formats.coco_entries import Entry, Known, fault_of, is_set, stem_of, unwrapped

FILE_NAMES = ("instances.json", "results.json", "predictions.json")
"""In the order in which they are preferred where a folder has several."""

_ULTRALYTICS = "predictions.json"

_COCO = ("coco", "coco_panoptic")  # formats whose files have ids of categories


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """The entries of a file, each image's together.

    Attributes:
        entries: name of an image -> its entries, in the file's order.
        class_of: category id -> class id of the labelled set; void's where it is left out.
        classes: of the labelled set.
        masks: whether there are any.
        covers_set: whether images without an entry were looked at: a list of results tells only
            of images where something was found.
        notes: what was decided.
    """

    entries: Mapping[str, Sequence[Entry]]
    class_of: Mapping[int, int]
    classes: Classes
    masks: bool
    covers_set: bool
    notes: tuple[str, ...] = ()


def read(file: Path, content: Any, dataset: Dataset, meant: AnswerClasses) -> Results:
    """Read a list of results, or annotations with scores.

    Args:
        file: the JSON.
        content: its value.
        dataset: the labelled set, whose ids the results use.
        meant: what they mean.

    Raises:
        DataError: it is neither, or an entry is at fault (the text names it).
    """
    if isinstance(content, list):
        return _results(file, content, dataset, meant)
    return _annotations(file, coco_entries.checked(content, file), meant)


def read_image(
    entries: Sequence[Entry], results: Results, file: Path, sample: Sample, size: tuple[int, int]
) -> Segmentation:
    """The objects of one image, masks decoded.

    Args:
        entries: of the image.
        results: that they belong to.
        file: for the errors' text.
        sample: the image.
        size: its (height, width).

    Raises:
        DataError: a mask is malformed, or of another size.
    """
    ids = [results.class_of[entry["category_id"]] for entry in entries]
    kept, class_ids = entries, ids
    if results.classes.void in ids:
        wanted = [place for place, i in enumerate(ids) if i != results.classes.void]
        kept, class_ids = [entries[place] for place in wanted], [ids[place] for place in wanted]
    instances: Sequence[Instance] | None = _together(kept, class_ids, size)
    if instances is None:
        masks = masks_from_coco([unwrapped(entry.get("segmentation")) for entry in kept])
        boxes = boxes_where_none(kept, masks)
        instances = tuple(
            _instance(entry, class_id, size, file, sample, mask, box)
            for entry, class_id, mask, box in zip(kept, class_ids, masks, boxes)
        )
    return Segmentation(size=size, classes=results.classes, instances=instances)


def _together(
    entries: Sequence[Entry], class_ids: Sequence[int], size: tuple[int, int]
) -> ObjectArrays | None:
    """The objects as arrays, as detectors' answers are: compressed run lengths, none a crowd.

    Args:
        entries: checked.
        class_ids: of each.
        size: (height, width) of the image.

    Returns:
        None where any is something else, or has a fault: `_instance` tells which.
    """
    boxes = [entry.get("bbox") for entry in entries]
    bare = boxes.count(None)
    if bare not in (0, len(boxes)) or any(entry.get("iscrowd") for entry in entries):
        return None
    found = runs_from_coco([unwrapped(entry.get("segmentation")) for entry in entries], size)
    if found is None:
        return None
    told = None if bare else np.array(boxes, np.float64)
    if told is not None:
        with np.errstate(over="ignore"):  # infinite corners are refused with their image
            told[:, 2:] += told[:, :2]
    scores = [entry.get("score") for entry in entries]
    return ObjectArrays(
        size=size,
        class_id=np.array(class_ids, np.int64),
        score=np.array([1.0 if score is None else score for score in scores], np.float64),
        runs=found[0],
        first=found[1],
        told_boxes=told,
    )


def boxes_where_none(
    entries: Sequence[Entry], masks: Sequence[Mask | None]
) -> list[tuple[float, float, float, float] | None]:
    """The box of each mask whose entry tells none, measured together; None for the others."""
    bare = [
        (place, mask)
        for place, (entry, mask) in enumerate(zip(entries, masks))
        if mask is not None and entry.get("bbox") is None
    ]
    boxes: list[tuple[float, float, float, float] | None] = [None] * len(entries)
    for (place, _), box in zip(bare, boxes_of([mask for _, mask in bare]).tolist()):
        boxes[place] = (box[0], box[1], box[2], box[3])
    return boxes


def _instance(
    entry: Entry,
    class_id: int,
    size: tuple[int, int],
    file: Path,
    sample: Sample,
    mask: Mask | None,
    edges: tuple[float, float, float, float] | None,
) -> Instance:
    """One object; its mask and box where they were read with the others'."""
    if mask is None and entry.get("segmentation"):
        coded = unwrapped(entry["segmentation"])
        try:
            mask = Mask.from_polygons(coded, size) if isinstance(coded, list) else _mask(coded)
        except (MaskwrightError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{file}: {_called(entry)} has no usable mask: {error}") from None
    if mask is not None and mask.size != size:
        raise DataError(
            f"{file}: {_called(entry)} has a mask of {mask.size} (height, width), but "
            f"{sample.name} is {size}; expected masks in the image's own size."
        )
    box = entry.get("bbox")
    if box is None:
        if mask is None:
            raise DataError(f'{file}: {_called(entry)} has neither "bbox" nor "segmentation".')
        edges = mask.box_xyxy if edges is None else edges
    else:
        left, top, width, height = (float(edge) for edge in box)
        edges = (left, top, left + width, top + height)
    score = entry.get("score")
    return Instance(
        class_id=class_id,
        box_xyxy=edges,
        mask=mask,
        score=1.0 if score is None else float(score),
        crowd=is_set(entry, "iscrowd"),
    )


def _mask(coded: object) -> Mask:
    if not isinstance(coded, dict):
        raise DataError(f"expected polygons or run lengths, got {str(coded)[:60]}.")
    return Mask.from_coco(coded)


def _results(
    file: Path, content: Sequence[Entry], dataset: Dataset, meant: AnswerClasses
) -> Results:
    names = _image_names(dataset)
    class_of, notes = _categories(file, content, dataset, meant)
    known = Known(categories=class_of)
    entries: dict[str, list[Entry]] = {}
    whole = _are_whole(content, class_of)
    for number, entry in enumerate(content):
        fault = "" if whole else fault_of(entry, known)
        if fault:
            raise DataError(f"{file}: entry {number} {fault}.")
        name = names.get(entry["image_id"])
        if name is None:
            raise DataError(
                f"{file}: entry {number} has image_id {entry['image_id']!r}, which no image of "
                f"{dataset.root} has; score on the set that the results are for."
            )
        entries.setdefault(name, []).append(entry)
    return Results(
        entries=entries,
        class_of=class_of,
        classes=meant.classes,
        masks=any(entry.get("segmentation") for entry in content),
        covers_set=True,
        notes=notes + _unscored(file, content),
    )


def _are_whole(content: Sequence[Entry], categories: Mapping[int, int]) -> bool:
    """Whether no entry has a fault, seen column by column; False where `fault_of` is to tell."""

    def column(key: str) -> list[Any]:
        return [entry.get(key) for entry in content]

    if {*map(type, content)} != {dict} or not {*map(type, column("image_id"))} <= {int, str}:
        return False
    ids, boxes = column("category_id"), column("bbox")
    if {*map(type, ids)} != {int} or not categories.keys() >= {*ids}:
        return False
    if {*map(type, column("iscrowd"))} != {type(None)} or not _are_finite(column("score")):
        return False
    if {*map(type, boxes)} == {type(None)}:
        return all(column("segmentation"))
    if {*map(type, boxes)} != {list} or {*map(len, boxes)} != {4}:
        return False
    sides = chain.from_iterable([box[2:] for box in boxes])
    return _are_finite(chain.from_iterable(boxes)) and min(sides) >= 0


def _are_finite(values: Iterable[Any]) -> bool:
    """Whether all are finite numbers."""
    known = list(values)
    try:
        return {*map(type, known)} <= {int, float} and all(map(math.isfinite, known))
    except OverflowError:  # a whole number too long for a float
        return False


def _annotations(file: Path, document: coco_entries.Document, meant: AnswerClasses) -> Results:
    classes, rank_of = coco_entries.join_categories({file: document}, ())
    ids, notes = meant.ids_of(classes.names, file)
    class_of = {i: ids[rank] for i, rank in rank_of.items()}
    images = coco_entries.images_by_id(document["images"], file)
    known = Known(images=images, categories=class_of)
    names = {i: stem_of(image["file_name"]) for i, image in images.items()}
    entries: dict[str, list[Entry]] = {name: [] for name in names.values()}
    for entry in document["annotations"]:
        fault = fault_of(entry, known)
        if fault:
            raise DataError(f"{file}: {coco_entries.called(entry)} {fault}.")
        entries[names[entry["image_id"]]].append(entry)
    return Results(
        entries=entries,
        class_of=class_of,
        classes=meant.classes,
        masks=any(entry.get("segmentation") for entry in document["annotations"]),
        covers_set=False,
        notes=notes + _unscored(file, document["annotations"]),
    )


def _unscored(file: Path, entries: Sequence[Entry]) -> tuple[str, ...]:
    count = sum(entry.get("score") is None for entry in entries)
    return (f"{file}: {count} objects have no score and count as certain (1).",) if count else ()


def _categories(
    file: Path, content: Sequence[Entry], dataset: Dataset, meant: AnswerClasses
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Category id -> class id, and what was decided where the set has no categories."""
    own = dict(meant.by_id)
    if dataset.format in _COCO:
        return own, ()
    used = {
        entry["category_id"]
        for entry in content
        if isinstance(entry, dict) and isinstance(entry.get("category_id"), int)
    }
    start = f"{dataset.root} is no COCO set: image ids are taken as names, category ids"
    end = "To be sure, convert the set to coco and predict with its ids."
    from_one = {rank + 1: own[i] for rank, i in enumerate(sorted(own))}
    beyond = used - own.keys() and used <= from_one.keys()
    if 0 in own and 0 not in used and (beyond or file.name == _ULTRALYTICS):
        why = "as an id beyond the set's shows" if beyond else "as Ultralytics does in such a file"
        return from_one, (f"{start} as counted from 1, {why}. {end}",)
    return own, (f"{start} as {meant.told_ids()}.",)


def _image_names(dataset: Dataset) -> dict[int | str, str]:
    """Image id -> sample name."""
    names: dict[int | str, str] = {}
    if dataset.format == "coco":
        for file in (part.file for part in coco_files.find_parts(dataset.root)):
            images = coco_entries.images_by_id(coco_entries.load(file)["images"], file)
            for image_id, image in images.items():
                stem = stem_of(image["file_name"])
                if names.setdefault(image_id, stem) != stem:
                    raise DataError(
                        f"{dataset.root}: image id {image_id} means {names[image_id]} in one split "
                        f"and {stem} in another; give one split's .json file instead."
                    )
        return names
    for samples in dataset.splits.values():
        for sample in samples:
            stem = sample.name.rpartition("/")[2]
            names[sample.name] = names[stem] = sample.name
            if stem.isdigit():
                names[int(stem)] = sample.name
    return names


def _called(entry: Entry) -> str:
    return f"the object of image {entry.get('image_id')!r} with category {entry.get('category_id')}"
