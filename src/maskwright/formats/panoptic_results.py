"""COCO panoptic results: a PNG of segment ids an image, and a JSON that tells their categories.

    results.json       {"annotations": [{"file_name": "a.png", "segments_info": [...]}, ...]}
    results/a.png      segment ids, as in `panoptic`

Category ids are those of the file's own "categories", else those of the labelled set's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from maskwright.core.errors import DataError
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders, panoptic
from maskwright.formats.coco_entries import Entry, Known, fault_of, join_categories, stem_of


def is_panoptic(content: Any) -> bool:
    """Whether the value of a JSON file looks like panoptic results or annotations."""
    entries = content.get("annotations") if isinstance(content, dict) else None
    return bool(
        isinstance(entries, list)
        and entries
        and isinstance(entries[0], dict)
        and "segments_info" in entries[0]
    )


def read(file: Path, content: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Image name -> reads its segments, given the sample and its size.

    Args:
        file: the JSON.
        content: its value.
        dataset: the labelled set.

    Raises:
        DataError: an entry is at fault, a PNG is missing, or a category is unknown.
    """
    pngs = file.with_suffix("") if file.with_suffix("").is_dir() else file.parent
    class_of = _class_of(file, content, dataset)
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
        readers[name] = partial(_read, entry, pngs, class_of, dataset, file)
    return readers


def _read(
    entry: Entry,
    pngs: Path,
    class_of: Mapping[int, int],
    dataset: Dataset,
    file: Path,
    sample: Sample,
    size: tuple[int, int],
) -> Segmentation:
    png, infos = pngs / entry["file_name"], entry["segments_info"]
    found = panoptic.read_truth(png, infos, class_of, dataset.classes, sample.image, file)
    if found.size != size:
        raise DataError(
            f"{png} is {found.size} (height, width), but {sample.name} is {size}; expected "
            "segments in the image's own size."
        )
    return Segmentation(
        size=size, classes=dataset.classes, semantic=found.semantic, panoptic=found.panoptic
    )


def _class_of(file: Path, content: Mapping[str, Any], dataset: Dataset) -> dict[int, int]:
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
    lacking = [name for name in classes.names if name not in dataset.classes.names]
    if lacking and source == file:
        raise DataError(
            f"{file} names the categories {folders.shortlist(lacking)}, which the labelled set "
            f"lacks (it has {', '.join(dataset.classes.names)})."
        )
    known = {name: class_id for class_id, name in enumerate(dataset.classes.names)}
    return {i: known[n] for i, rank in rank_of.items() if (n := classes.names[rank]) in known}
