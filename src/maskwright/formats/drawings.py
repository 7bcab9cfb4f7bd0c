"""Objects as what annotation tools draw, for writing: outlines, stencils or boxes; losses counted.

Polygons that a mask came from are written again. Else an outline is a polygon along the edges of
pixels for each 4-connected part of a mask, with bridges (walked there and back) to its holes. The
COCO API's rule fills both to the same pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.mask import Mask
from maskwright.core.outline import fill_centres
from maskwright.core.parts import Instance
from maskwright.core.segmentation import Segmentation
from maskwright.formats.coco_write import edge_polygons, stated_polygons
from maskwright.formats.writing import Loss, extras_of, lost

_NOT_PLAIN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_ELSEWHERE = (
    "readers that take corners for pixels see {} masks otherwise (written as masks, none would)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawingOptions:
    """How objects are written for annotation tools.

    Attributes:
        masks: as stencils of pixels, not as polygons: every reader sees the same pixels.
    """

    masks: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawing:
    """One object.

    Attributes:
        instance: the object.
        kind: "mask" where it is to be a stencil, "polygons", or "box".
        polygons: float64 [N, 2] each, corners as pixel edges.
        group: number from 1 where several polygons are one object, else 0.
    """

    instance: Instance
    kind: Literal["mask", "polygons", "box"]
    polygons: tuple[np.ndarray, ...] = ()
    group: int = 0


def drawings_of(
    truth: Segmentation, masks: bool
) -> tuple[list[Drawing], tuple[Loss, ...], tuple[Loss, ...]]:
    """The objects of an image; what can't be held of them; what some readers see otherwise.

    Args:
        truth: with objects.
        masks: as of `DrawingOptions`.
    """
    drawings: list[Drawing] = []
    elsewhere: list[float] = []
    groups = 0
    for one in truth.instances or ():
        if one.mask is None or not one.mask.area:
            drawings.append(Drawing(instance=one, kind="box"))
        elif masks:
            drawings.append(Drawing(instance=one, kind="mask"))
        else:
            flat = ([] if one.crowd else stated_polygons(one, one.mask)) or edge_polygons(one.mask)
            polygons = tuple(np.array(each, np.float64).reshape(-1, 2) for each in flat)
            groups += len(polygons) > 1
            group = groups if len(polygons) > 1 else 0
            drawings.append(Drawing(instance=one, kind="polygons", polygons=polygons, group=group))
            elsewhere.append(_iou_of_centres(one.mask, polygons))
    changed = tuple(iou for iou in elsewhere if iou < 1)
    remarks = (Loss(what=_ELSEWHERE, count=len(changed), ious=changed),) if changed else ()
    return drawings, _losses(truth.instances or ()), remarks


def window_of(mask: Mask) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """Left, top, right, bottom of a mask with pixels, and the pixels bool [h, w] in that window."""
    left, top, right, bottom = (int(edge) for edge in mask.box_xyxy)
    return (left, top, right, bottom), mask.crop((left, top, right, bottom)).decode()


def require_plain(names: Iterable[str], format: str) -> None:
    """Refuse names of classes or files that a line of text, or XML, can't hold.

    Args:
        names: of classes or files.
        format: that can't hold them, for the error's text.

    Raises:
        DataError: an empty name, blanks at an end, control characters, halves of surrogates.
    """
    for name in names:
        if not name or name != name.strip() or _NOT_PLAIN.search(name):
            raise DataError(f"{format} can't hold the name {name[:80]!r}; rename it.")


def _losses(instances: Sequence[Instance]) -> tuple[Loss, ...]:
    masked = [(one, one.mask) for one in instances if one.mask is not None]
    return lost(
        {
            "that {} objects are crowds": sum(one.crowd for one in instances),
            "the empty masks of {} objects, now boxes": sum(not mask.area for _, mask in masked),
            "the boxes of {} objects that are not those around their masks": sum(
                mask.area > 0 and tuple(one.box_xyxy) != mask.box_xyxy for one, mask in masked
            ),
        }
        | extras_of(instances)
    )


def _iou_of_centres(mask: Mask, polygons: Sequence[np.ndarray]) -> float:
    """The IoU of a mask with what a reader makes of it that draws the corners as pixels."""
    corners = np.concatenate(polygons)
    edges = np.array(mask.box_xyxy)
    low = np.floor(np.minimum(edges[:2], corners.min(axis=0))).astype(int)
    high = np.ceil(np.maximum(edges[2:], corners.max(axis=0))).astype(int) + 1
    left, top = np.maximum(low, 0).tolist()
    right, bottom = np.minimum(high, [mask.size[1], mask.size[0]]).tolist()
    window = mask.crop((left, top, right, bottom))
    drawn = np.zeros(window.size, np.bool_)
    for polygon in polygons:
        drawn |= fill_centres(np.rint(polygon - (left, top)).astype(np.int64), window.size)
    return window.iou(Mask.encode(drawn))
