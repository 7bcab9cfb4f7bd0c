"""Writing Pascal VOC; `voc` reads it. Class 0 is always "background"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskwright.core.classes import BACKGROUND as DARK
from maskwright.core.classes import Classes
from maskwright.core.draw import index_png
from maskwright.core.errors import DataError
from maskwright.core.files import write_bytes, write_text
from maskwright.core.flatten import Flat, flatten, looked_up
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.class_ids import write_classes
from maskwright.formats.recast import class_map_of, overlaps, segments_of
from maskwright.formats.voc_files import BACKGROUND, WHOLE
from maskwright.formats.voc_labels import label_entry, write_lists
from maskwright.formats.voc_xml import annotation_text
from maskwright.formats.writing import Entry, Target, Written, extras_of, lost

_MOST_OBJECTS = 254


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write the files of one image.

    Raises:
        DataError: more than 254 classes, or neither class map nor objects nor labels.
    """
    classes, table = voc_classes(target.classes)
    semantic, objects = truth.semantic, truth.instances
    if truth.panoptic is not None and semantic is None:
        semantic = class_map_of(truth.panoptic, truth.classes)
        objects = objects or segments_of(truth.panoptic, truth.classes.things)
    if semantic is None and objects is None and truth.labels is None:
        raise DataError(
            f"{split}/{sample.name} has neither a class map nor objects nor labels; label it."
        )
    name = f"{split}/{sample.name}" if target.shared_names else sample.name
    instances = objects or ()
    flat = flatten(instances[:_MOST_OBJECTS], truth.size)
    masked = [one.mask is not None and one.mask.area > 0 for one in instances]
    image = folders.copy_image(sample, target.root / "JPEGImages", target.link, name)
    ids: np.ndarray | None = None
    if semantic is not None:
        ids = table[np.minimum(semantic, len(table) - 1)]
    elif objects is not None and all(masked):
        values = [int(table[one.class_id]) for one in instances[:_MOST_OBJECTS]]
        ids = looked_up(flat.numbers, values, 0, np.uint8)
    if ids is not None:
        png = index_png(ids, classes)
        write_bytes(target.root / "SegmentationClass" / f"{name}.png", png)
    if any(masked):
        _write_objects(target.root / "SegmentationObject" / f"{name}.png", flat, ids)
    if objects is not None:
        file_name = image.relative_to(target.root / "JPEGImages").as_posix()
        text = annotation_text(
            file_name,
            truth.size,
            instances,
            target.classes.names,
            segmented=all(masked) and bool(masked),
            extras=truth.extras,
        )
        write_text(target.root / "Annotations" / f"{name}.xml", text)
    counts = {
        "the masks of {} objects beyond the 254th of an image": sum(masked[_MOST_OBJECTS:]),
        "the empty masks of {} objects": sum(
            one.mask is not None and not one.mask.area for one in instances
        ),
        "the scores of {} image labels": sum(one.score is not None for one in truth.labels or ()),
    } | extras_of(instances)
    entry = {
        "name": name,
        "boxes": objects is not None,
        "map": ids is not None,
        "labels": label_entry(truth, f"{split}/{sample.name}"),
    }
    return Written(entry=entry, losses=lost(counts) + overlaps(flat.ious))


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write classes.json and the lists of ImageSets."""
    write_classes(target.root / "classes.json", voc_classes(target.classes)[0])
    for split, own in entries.items():
        called = WHOLE if target.alone else split
        notes = list(own)  # they may lie on disk
        in_main = [one["name"] for one in notes if one["boxes"] or one["labels"] is not None]
        mapped = [one["name"] for one in notes if one["map"]]
        for kind, names in (("Main", in_main), ("Segmentation", mapped)):
            if names or not notes:
                text = "".join(f"{name}\n" for name in names)
                write_text(target.root / "ImageSets" / kind / f"{called}.txt", text)
        write_lists(target.root / "ImageSets" / "Main", called, notes, target.classes.names)


def voc_classes(classes: Classes) -> tuple[Classes, np.ndarray]:
    """The classes with "background" first, and a table uint8 from ids (and void, last) to theirs.

    Raises:
        DataError: more than 254 classes beside the background.
    """
    others = [i for i, name in enumerate(classes.names) if name != BACKGROUND]
    if len(others) > 254:
        raise DataError(f"voc holds 254 classes beside background, got {len(others)}; use coco.")
    dark = DARK
    if len(others) < len(classes):
        dark = classes.colours[classes.index(BACKGROUND)]
    table = np.full(classes.void + 1, 255, np.uint8)
    table[: len(classes)] = 0
    table[others] = np.arange(1, len(others) + 1)
    ordered = Classes.of(
        (BACKGROUND, *(classes.names[i] for i in others)),
        [dark, *(classes.colours[i] for i in others)],
        (new for new, old in enumerate(others, start=1) if old in classes.things),
    )
    return ordered, table


def _write_objects(path: Path, flat: Flat, ids: np.ndarray | None) -> None:
    numbers = flat.numbers.astype(np.uint8)
    if ids is not None:
        numbers[(ids == 255) & (numbers == 0)] = 255
    palette = Classes.of(f"object {i}" for i in range(255))
    write_bytes(path, index_png(numbers, palette))
