"""Objects that overlap -> one number a pixel, as pictures of ids need it, and numbers -> masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.mask import Mask
from maskwright.core.parts import Instance


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Flat:
    """Objects laid above each other.

    Attributes:
        numbers: int32 [H, W]; the position of the object that is seen, counted from 1; 0 is none.
        ious: position (from 0) -> IoU of what is seen of the object with its mask; only of those
            that are covered in part.
    """

    numbers: np.ndarray
    ious: dict[int, float]


def flatten(instances: Sequence[Instance], size: tuple[int, int]) -> Flat:
    """Lay the masks of objects above each other: crowds lowest, then the larger below the smaller.

    Args:
        instances: those without a mask are not seen.
        size: (height, width).
    """
    numbers = np.zeros(size, np.int32)
    masks = [(i, one.mask) for i, one in enumerate(instances) if one.mask is not None]
    areas = {i: mask.area for i, mask in masks}
    for i, mask in sorted(masks, key=lambda each: (not instances[each[0]].crowd, -areas[each[0]])):
        if not areas[i]:
            continue
        left, top, right, bottom = (int(edge) for edge in mask.box_xyxy)
        window = mask.crop((left, top, right, bottom)).decode()
        numbers[top:bottom, left:right][window] = i + 1
    seen = np.bincount(numbers.ravel(), minlength=len(instances) + 1)
    ious = {i: int(seen[i + 1]) / area for i, area in areas.items() if seen[i + 1] < area}
    return Flat(numbers=numbers, ious=ious)


def looked_up(numbers: np.ndarray, values: Sequence[int], outside: int, dtype: type) -> np.ndarray:
    """Numbers from 1 -> the value of each, and 0 -> `outside`; of the given type."""
    return np.array([outside, *values], dtype)[numbers]


def masks_of(numbers: np.ndarray) -> dict[int, Mask]:
    """Number -> the mask of the pixels that have it, of all numbers but 0, in one pass.

    Args:
        numbers: integers [H, W].
    """
    height, width = numbers.shape
    down = np.ascontiguousarray(numbers.T).ravel()
    places = np.flatnonzero(down)
    order = np.argsort(down[places], kind="stable")
    places = places[order]
    owner = down[places]
    breaks = np.flatnonzero((np.diff(owner) != 0) | (np.diff(places) != 1)) + 1
    starts = places[np.concatenate([[0], breaks])] if len(places) else places
    ends = places[np.concatenate([breaks - 1, [len(places) - 1]])] + 1 if len(places) else places
    owners = owner[np.concatenate([[0], breaks])] if len(places) else owner
    present, first = np.unique(owners, return_index=True)
    bounds = [*first.tolist(), len(owners)]
    masks = {}
    for number, low, high in zip(present.tolist(), bounds, bounds[1:]):
        edges = np.stack([starts[low:high], ends[low:high]], axis=1).ravel()
        runs = np.diff(np.concatenate([[0], edges, [height * width]]))
        masks[number] = Mask.from_runs(runs, (height, width))
    return masks
