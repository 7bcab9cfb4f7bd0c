"""Annotation files <-> samples: one file a format, each with `read` and `write`.

Any format reads to a `core.Dataset` and writes from one, so any converts to any other. `read`
detects the layout and says in `Dataset.notes` what it saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.outline import Vertices
from maskwright.core.sample import Dataset, Sample
from maskwright.formats import cityscapes, coco, index_masks, panoptic, voc, yolo
from maskwright.formats.folders import refuse, what_is_in
from maskwright.formats.format import Format
from maskwright.formats.predictions import Predictions, find_predictions

FORMATS: dict[str, Format] = {
    "index_masks": Format(
        name="index_masks",
        layout=index_masks.LAYOUT,
        tasks=frozenset({"semantic"}),
        read=index_masks.read,
        write=index_masks.write,
        detect=index_masks.detect,
        write_sample=index_masks.write_sample,
        finish=index_masks.finish,
    ),
    "coco": Format(
        name="coco",
        layout=coco.LAYOUT,
        tasks=frozenset({"instances", "boxes"}),
        read=coco.read,
        write=coco.write,
        detect=coco.detect,
        write_sample=coco.write_sample,
        finish=coco.finish,
    ),
    "yolo_seg": Format(
        name="yolo_seg",
        layout=yolo.SEG_LAYOUT,
        tasks=frozenset({"instances", "boxes"}),
        read=yolo.read,
        write=yolo.write,
        detect=yolo.detect_seg,
        write_sample=yolo.write_sample,
        finish=yolo.finish,
    ),
    "yolo_boxes": Format(
        name="yolo_boxes",
        layout=yolo.BOX_LAYOUT,
        tasks=frozenset({"boxes"}),
        read=yolo.read_boxes,
        write=yolo.write_boxes,
        detect=yolo.detect_boxes,
        write_sample=yolo.write_sample_boxes,
        finish=yolo.finish_boxes,
    ),
    "coco_panoptic": Format(
        name="coco_panoptic",
        layout=panoptic.LAYOUT,
        tasks=frozenset({"panoptic", "semantic", "instances", "boxes"}),
        read=panoptic.read,
        write=panoptic.write,
        detect=panoptic.detect,
        write_sample=panoptic.write_sample,
        finish=panoptic.finish,
    ),
    "voc": Format(
        name="voc",
        layout=voc.LAYOUT,
        tasks=frozenset({"semantic", "instances", "boxes"}),
        read=voc.read,
        write=voc.write,
        detect=voc.detect,
        write_sample=voc.write_sample,
        finish=voc.finish,
    ),
    "cityscapes": Format(
        name="cityscapes",
        layout=cityscapes.LAYOUT,
        tasks=frozenset({"semantic", "instances", "boxes"}),
        read=cityscapes.read,
        write=cityscapes.write,
        detect=cityscapes.detect,
        write_sample=cityscapes.write_sample,
        finish=cityscapes.finish,
    ),
}
"""Every format, in the order in which a layout is tried."""


def read(
    path: Path | str,
    format: str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = True,
    vertices: Vertices | None = None,
) -> Dataset:
    """Read a labelled set, whatever its format.

    Args:
        path: a folder or an annotation file.
        format: key in `FORMATS`; None detects it.
        ignore: names of classes to leave out: void in class maps, objects dropped.
        strict: refuse the set at the first sample whose files are missing or contradict each
            other. Else every sample is kept, and a faulty one raises when it is read; `jobs.check`
            collects those faults.
        vertices: of yolo_seg alone: what a polygon's corner means, where data.yaml doesn't say it
            or says it wrong.

    Returns:
        The set; `notes` says which layout was seen and what was decided.

    Raises:
        DataError: no layout matches (the text lists the known ones), or the files are at fault.
        ConfigError: no such format, `ignore` names no class, or `vertices` of another format.
    """
    root = Path(path)
    if not root.exists():
        raise DataError(f"{root} does not exist; expected a folder of images and annotations.")
    if format is not None and format not in FORMATS:
        raise ConfigError(f"no format {format!r}; the formats are {', '.join(FORMATS)}.")
    if format is not None:
        return _read_as(format, root, ignore, strict, vertices)
    seen = {name: why for name, known in FORMATS.items() if (why := known.detect(root)) is not None}
    if not seen:
        layouts = "\n".join(f"  {known.layout}" for known in FORMATS.values())
        raise DataError(
            f"{root} has no layout that is known; found {what_is_in(root)}. "
            f"Expected one of\n{layouts}"
        )
    chosen = next(iter(seen))
    dataset = _read_as(chosen, root, ignore, strict, vertices)
    notes = [f"{root} is read as {chosen}: {seen.pop(chosen)}."]
    notes += [f"It also holds {why}; read it with format {name!r}." for name, why in seen.items()]
    return replace(dataset, notes=(*notes, *dataset.notes))


def read_predictions(
    path: Path | str,
    dataset: Dataset,
    samples: Sequence[Sample],
    vertices: Vertices = "centre",
) -> Predictions:
    """Find what anybody's model predicted for some samples of a labelled set.

    Args:
        path: a folder, or one .json file; `predictions` lists the layouts.
        dataset: the labelled set.
        samples: those that are to be scored.
        vertices: what the corners of YOLO polygons mean.

    Raises:
        DataError: nothing is there that could be read; files that belong to no sample; classes
            that the labelled set lacks; two files for one image.
    """
    return find_predictions(path, dataset, samples, vertices, read)


def _read_as(
    name: str, root: Path, ignore: Iterable[str], strict: bool, vertices: Vertices | None
) -> Dataset:
    if vertices is None:
        found = FORMATS[name].read(root, ignore=ignore, strict=strict)
    elif name == "yolo_seg":
        found = yolo.read(root, ignore=ignore, strict=strict, vertices=vertices)
    else:
        raise ConfigError(f"vertices={vertices!r} are told, but {root} is {name}, not yolo_seg.")
    return _without_claims(found, strict)


def _without_claims(dataset: Dataset, strict: bool) -> Dataset:
    """The set, in which an image that several splits claim is at fault in all but the first."""
    owner: dict[Path, str] = {}
    splits = {}
    for split, samples in dataset.splits.items():
        kept = []
        for one in samples:
            before = owner.setdefault(one.image, split) if isinstance(one.image, Path) else split
            fault = f"{one.image} is claimed by {before} and by {split}; take it out of one."
            if before != split and strict:
                raise DataError(f"{dataset.root}: {fault}")
            kept.append(replace(one, truth_of=partial(refuse, fault)) if before != split else one)
        splits[split] = tuple(kept)
    return replace(dataset, splits=splits)


__all__ = ["FORMATS", "Format", "Predictions", "read", "read_predictions"]
