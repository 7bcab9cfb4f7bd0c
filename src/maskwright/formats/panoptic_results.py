"""COCO panoptic results: a PNG of segment ids an image, and a JSON that tells their categories.

    results.json       {"annotations": [{"file_name": "a.png", "segments_info": [...]}, ...]}
    results/a.png      segment ids, as in `panoptic`

Category ids are those of the file's own "categories", else those of the labelled set's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import panoptic
from maskwright.formats.answer_classes import AnswerClasses
from maskwright.formats.coco_entries import Entry, Known, fault_of, join_categories, stem_of
from maskwright.formats.recast import recast


def is_panoptic(content: Any) -> bool:
    """Whether the value of a JSON file looks like panoptic results or annotations."""
    entries = content.get("annotations") if isinstance(content, dict) else None
    return bool(
        isinstance(entries, list)
        and entries
        and isinstance(entries[0], dict)
        and "segments_info" in entries[0]
    )


def read(
    file: Path, content: Mapping[str, Any], dataset: Dataset, meant: AnswerClasses
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Image name -> reads its segments, given the sample and its size; and what was decided.

    Args:
        file: the JSON.
        content: its value.
        dataset: the labelled set.
        meant: what ids and names mean there.

    Raises:
        DataError: an entry is at fault, a PNG is missing, or a category is unknown.
    """
    pngs = file.with_suffix("") if file.with_suffix("").is_dir() else file.parent
    names, class_of, notes = _class_of(file, content, dataset, meant)
    known = Known(categories=class_of, segments=True)
    readers = {}
    for entry in content["annotations"]:
        fault = fault_of(entry, known)
        if fault:
            name = entry.get("file_name") if isinstance(entry, dict) else None
            raise DataError(f"{file}: the annotation of {str(name)[:80]} {fault}.")
        name = stem_of(entry["file_name"])
        if name in readers:
            raise DataError(f"{file}: {entry['file_name']} stands there twice; remove one.")
        if not (pngs / entry["file_name"]).is_file():
            raise DataError(f"{file}: {pngs / entry['file_name']} does not exist; add it.")
        readers[name] = partial(_read, entry, pngs, class_of, names, meant, file)
    return readers, notes


def _read(
    entry: Entry,
    pngs: Path,
    rank_of: Mapping[int, int],
    named: tuple[Classes, list[int]],
    meant: AnswerClasses,
    file: Path,
    sample: Sample,
    size: tuple[int, int],
) -> Segmentation:
    png, infos = pngs / entry["file_name"], entry["segments_info"]
    theirs, ids = named
    found = panoptic.read_truth(png, infos, rank_of, theirs, sample.image, file)
    if found.size != size:
        raise DataError(
            f"{png} is {found.size} (height, width), but {sample.name} is {size}; expected "
            "segments in the image's own size."
        )
    return recast(replace(found, instances=None), ids, meant.classes)


def _class_of(
    file: Path, content: Mapping[str, Any], dataset: Dataset, meant: AnswerClasses
) -> tuple[tuple[Classes, list[int]], dict[int, int], tuple[str, ...]]:
    """The file's classes with their ids in the labelled set, category id -> rank, and notes."""
    categories = content.get("categories")
    source = file
    if categories is None and dataset.format == "coco_panoptic":
        source, categories = next(iter(panoptic.categories_in(dataset.root).items()))
    if not isinstance(categories, list):
        raise DataError(
            f'{file} has no "categories", and {dataset.root} is no COCO panoptic set that would '
            "tell them; add them."
        )
    classes, rank_of = join_categories({source: {"categories": categories}}, ())
    ids, notes = meant.ids_of(classes.names, source)
    return (classes, ids), rank_of, notes if source == file else ()
