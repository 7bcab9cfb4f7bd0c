"""Writing YOLO label files, and counting what they can't hold; `yolo` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.files import write_text
from maskwright.core.mask import Mask
from maskwright.core.outline import Vertices
from maskwright.core.parts import Instance
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders, yolo_files, yolo_rows
from maskwright.formats.writing import Entry, Loss, Target, Written, lost, require_objects
from maskwright.formats.yolo_polygons import polygon_rows

_OUTSIDE = "the parts of {} boxes outside their images"
_ELSEWHERE = {
    "edge": "readers that take corners for edges of pixels see {} masks otherwise",
    "centre": "readers that take corners for pixels, as YOLO tools do, see {} masks otherwise",
}
_MIXED = (
    "the label files of {} images hold polygons and boxes, which YOLO tools misread or drop; "
    "boxes='rectangle' writes polygons only, boxes='leave-out' leaves the boxes out"
)
_LEFT_OUT = "{} objects that are boxes without a mask"
_BRIDGES = (
    "{} masks of several parts without the bridges between them (with vertices='edge' it would)"
)


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image and its label file of polygons.

    Raises:
        DataError: objects weren't labelled in it.
    """
    return _write_sample(target, split, sample, truth, _vertices(target), target.options.boxes)


def write_sample_boxes(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image and its label file of boxes.

    Raises:
        DataError: objects weren't labelled in it.
    """
    return _write_sample(target, split, sample, truth, None, "row")


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> tuple[Loss, ...]:
    """Write data.yaml, with what a polygon's corner means; the source's keys that are left out."""
    return _finish(target, _vertices(target))


def finish_boxes(target: Target, entries: Mapping[str, Sequence[Entry]]) -> tuple[Loss, ...]:
    """Write data.yaml; the source's keys that are left out."""
    return _finish(target, None)


def _vertices(target: Target) -> Vertices:
    return target.options.vertices or "centre"


def _check_splits(target: Target) -> None:
    reserved = sorted(yolo_files.NOT_SPLITS.intersection(target.splits))
    if reserved:
        raise DataError(f"data.yaml can't hold a split called {reserved[0]!r}; rename it.")


def _write_sample(
    target: Target,
    split: str,
    sample: Sample,
    truth: Segmentation,
    vertices: Vertices | None,
    boxes: str,
) -> Written:
    _check_splits(target)
    require_objects(f"{split}/{sample.name}", truth)
    inner = Path() if target.alone else Path(split)
    lines, losses, remarks = _lines(truth, vertices, boxes)
    folders.copy_image(sample, target.root / "images" / inner, target.link)
    label = target.root / "labels" / inner / f"{sample.name}.txt"
    write_text(label, "".join(lines))
    return Written(losses=losses, remarks=remarks)


def _finish(target: Target, vertices: Vertices | None) -> tuple[Loss, ...]:
    import yaml  # see `yolo_files`

    about = target.about_of(next(iter(target.splits)), "yolo")
    left_out = sorted(yolo_files.NOT_WRITTEN & about.keys())
    places = {split: f"images/{split}" for split in target.splits}
    for folder in places.values():
        if not target.alone:  # a split without images is a folder, too
            (target.root / folder).mkdir(parents=True, exist_ok=True)
    if target.alone:  # the tools want both; `read` takes the same images twice as one split
        places = {"train": "images", "val": "images"}
    classes = target.classes
    entries: dict[str, Any] = {
        **{key: value for key, value in about.items() if key not in (*places, *left_out)},
        **places,
        "nc": len(classes),
        "names": dict(enumerate(classes.names)),
        "palette": [list(colour) for colour in classes.colours],
        "things": sorted(classes.things),
    }
    if vertices is not None:
        entries["vertices"] = str(vertices)
    text = yaml.safe_dump(entries, allow_unicode=True, sort_keys=False, default_flow_style=None)
    write_text(target.root / "data.yaml", text)
    what = f"what data.yaml tells beside: {', '.join(left_out)}"
    return (Loss(what=what),) if left_out else ()


def _lines(
    truth: Segmentation, vertices: Vertices | None, boxes: str
) -> tuple[list[str], tuple[Loss, ...], tuple[Loss, ...]]:
    """The rows; what they can't hold; what a reader of the other convention takes otherwise."""
    instances = truth.instances or ()
    counts: Counter[str] = Counter()
    if boxes == "leave-out":
        kept = tuple(one for one in instances if _is_drawn(one))
        counts[_LEFT_OUT] = len(instances) - len(kept)
        instances = kept
    scored = all(instance.score is not None for instance in instances)
    masks = [one.mask for one in instances if one.mask is not None and _is_drawn(one)]
    polygons = [] if vertices is None else polygon_rows(masks, vertices)
    rows = iter(polygons)
    lines, cut = [], []
    for instance in instances:
        _count(instance, scored, vertices, counts)
        box, iou = _inside(instance.box_xyxy, truth.size)
        if vertices is not None and _is_drawn(instance):
            shares = next(rows).shares
        else:
            shares = yolo_rows.box_row(box, truth.size)
            cut += [iou] if iou < 1 else []
            if boxes == "rectangle":
                counts["that {} objects are boxes without a mask, now rectangles"] += 1
                shares = _rectangle(box, truth.size, vertices or "centre")
        score = instance.score if scored else None
        lines.append(yolo_rows.text_of(instance.class_id, shares, score) + "\n")
    losses = lost(counts)
    changed = tuple(one.iou for one in polygons if one.iou < 1)
    if cut:
        losses += (Loss(what=_OUTSIDE, count=len(cut), ious=tuple(cut)),)
    if changed:
        losses += (Loss(what=_BRIDGES, count=len(changed), ious=changed),)
    remarks: tuple[Loss, ...] = ()
    if others := tuple(one.iou_elsewhere for one in polygons if one.iou_elsewhere < 1):
        what = _ELSEWHERE["edge" if vertices == "centre" else "centre"]
        remarks = (Loss(what=what, count=len(others), ious=others),)
    drawn = sum(map(_is_drawn, instances))
    if vertices is not None and boxes == "row" and 0 < drawn < len(instances):
        remarks += (Loss(what=_MIXED, count=1),)
    return lines, losses, remarks


def _is_drawn(instance: Instance) -> bool:
    """Whether there is a pixel to draw a polygon around."""
    return instance.mask is not None and instance.mask.area > 0


def _rectangle(
    box: tuple[float, float, float, float], size: tuple[int, int], vertices: Vertices
) -> np.ndarray:
    """A box as the numbers of a polygon row that fills the pixels inside; a box row if none is."""
    left, top, right, bottom = box
    mask = Mask.from_polygons([[left, top, right, top, right, bottom, left, bottom]], size)
    return polygon_rows([mask], vertices)[0].shares if mask.area else yolo_rows.box_row(box, size)


def _inside(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[tuple[float, float, float, float], float]:
    """The part of a box inside its image, and the share that it is of the box."""
    height, width = size
    left, right = min(max(box[0], 0.0), width), min(max(box[2], 0.0), width)
    top, bottom = min(max(box[1], 0.0), height), min(max(box[3], 0.0), height)
    inner = (left, top, right, bottom)
    if inner == tuple(box):
        return box, 1.0
    area = (box[2] - box[0]) * (box[3] - box[1])
    return inner, (right - left) * (bottom - top) / area if area > 0 else 0.0


def _count(
    instance: Instance, scored: bool, vertices: Vertices | None, counts: Counter[str]
) -> None:
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
