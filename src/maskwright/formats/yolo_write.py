"""Writing YOLO label files, and counting what they can't hold; `yolo` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.files import write_text
from maskwright.core.outline import Vertices
from maskwright.core.parts import Instance
from maskwright.core.sample import Dataset
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders, yolo_files, yolo_rows


@dataclass(kw_only=True)
class _Losses:
    """What the files could not hold: what -> number of objects (or images), and IoUs below 1."""

    counts: Counter[str] = field(default_factory=Counter)
    changed: list[tuple[float, str]] = field(default_factory=list)


def write(dataset: Dataset, path: Path | str, vertices: Vertices = "centre") -> tuple[str, ...]:
    """Write YOLO-seg: images/{split}, labels/{split} and data.yaml, which tells `vertices`.

    A mask becomes one polygon; bridges that are walked there and back lead to its holes and parts.
    On "edge" it reads back to the pixel. On "centre", what YOLO tools expect, the bridges between
    parts add pixels. An object without mask becomes a box row. Image files are copied as they are.

    Args:
        dataset: every sample needs objects (an empty tuple of them will do).
        path: a new or empty folder.
        vertices: what a polygon's corner is to mean; see `read`.

    Returns:
        A sentence for each thing that was left out or changed.

    Raises:
        DataError: a sample without objects, or `path` holds something.
        ConfigError: `vertices` is unknown.
    """
    return _write(dataset, Path(path), yolo_files.checked_vertices(vertices))


def write_boxes(dataset: Dataset, path: Path | str) -> tuple[str, ...]:
    """Write YOLO boxes: the same files, a box row an object.

    Returns:
        A sentence for each thing that was left out.

    Raises:
        DataError: a sample without objects, or `path` holds something.
    """
    return _write(dataset, Path(path), None)


def _write(dataset: Dataset, root: Path, vertices: Vertices | None) -> tuple[str, ...]:
    folders.require_empty(root)
    reserved = sorted(yolo_files.NOT_SPLITS.intersection(dataset.splits))
    if reserved:
        raise DataError(f"data.yaml can't hold a split called {reserved[0]!r}; rename it.")
    losses = _Losses()
    alone = tuple(dataset.splits) == (folders.NO_SPLIT,)
    for split, samples in dataset.splits.items():
        inner = Path() if alone else Path(split)
        for sample in samples:
            truth = sample.read_truth()
            lines = _lines(f"{split}/{sample.name}", truth, vertices, losses)
            folders.copy_image(sample, root / "images" / inner)
            write_text(root / "labels" / inner / f"{sample.name}.txt", "".join(lines))
    places = {split: f"images/{split}" for split in dataset.splits}
    if alone:  # the tools want both; `read` takes the same images twice as one split
        places = {"train": "images", "val": "images"}
    _write_yaml(root / "data.yaml", places, dataset.classes, vertices)
    return tuple(_sentences(losses, vertices))


def _write_yaml(
    path: Path, places: Mapping[str, str], classes: Classes, vertices: Vertices | None
) -> None:
    import yaml  # see `yolo_files`

    entries: dict[str, Any] = {
        **places,
        "nc": len(classes),
        "names": dict(enumerate(classes.names)),
        "palette": [list(colour) for colour in classes.colours],
        "things": sorted(classes.things),
    }
    if vertices is not None:
        entries["vertices"] = str(vertices)
    text = yaml.safe_dump(entries, allow_unicode=True, sort_keys=False, default_flow_style=None)
    write_text(path, text)


def _lines(name: str, truth: Segmentation, vertices: Vertices | None, losses: _Losses) -> list[str]:
    if truth.instances is None:
        raise DataError(
            f"{name} has no objects labelled; expected instances or boxes. Write this set as "
            "index_masks."
        )
    losses.counts["the class maps of {} images"] += truth.semantic is not None
    scored = all(instance.score is not None for instance in truth.instances)
    lines = []
    for instance in truth.instances:
        _count(instance, scored, vertices, losses)
        shares = yolo_rows.box_row(instance.box_xyxy, truth.size)
        if vertices is not None and instance.mask is not None and instance.mask.area:
            shares, iou = yolo_rows.polygon_row(instance.mask, vertices)
            losses.changed += [(iou, name)] if iou < 1 else []
        score = instance.score if scored else None
        lines.append(yolo_rows.text_of(instance.class_id, shares, score) + "\n")
    return lines


def _count(instance: Instance, scored: bool, vertices: Vertices | None, losses: _Losses) -> None:
    counts = losses.counts
    counts["that {} objects are crowds"] += instance.crowd
    counts["the track ids of {} objects"] += instance.track_id is not None
    counts["the scores of {} objects beside some without"] += (
        instance.score is not None and not scored
    )
    if instance.mask is None:
        return
    if vertices is None:
        counts["the masks of {} objects"] += 1
    elif not instance.mask.area:
        counts["the empty masks of {} objects, now boxes"] += 1


def _sentences(losses: _Losses, vertices: Vertices | None) -> Iterator[str]:
    kind = "yolo_boxes" if vertices is None else "yolo_seg"
    for what, count in losses.counts.items():
        if count:
            yield f"{kind} can't hold {what.format(count)}."
    if losses.changed:
        worst, where = min(losses.changed)
        mean = sum(iou for iou, _ in losses.changed) / len(losses.changed)
        yield (
            f"yolo_seg changes {len(losses.changed)} masks of several parts by the bridges between "
            f"them: IoU {mean:.3f} on average, {worst:.3f} in {where}; with vertices='edge' it "
            "would not."
        )
