"""Objects that overlap -> one number a pixel, as pictures of ids need it, and numbers -> masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.image import STRIP_PIXELS, strips
from maskwright.core.mask import Mask
from maskwright.core.mask_lists import masks_of_toggles
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
    # Columns one after the other, some at a time: what is kept grows with the outlines alone.
    step = max(1, STRIP_PIXELS // max(1, height))
    parts = [
        _stretches(numbers[:, left : left + step], left * height) for left in range(0, width, step)
    ]
    if not parts:
        return {}
    edges = np.concatenate([part for part, _ in parts])
    owners = np.concatenate([own for _, own in parts])
    order = np.argsort(owners, kind="stable")
    present, first = np.unique(owners[order], return_index=True)
    ends = 2 * np.append(first, len(owners))
    masks = masks_of_toggles(edges[order].reshape(-1), ends, (height, width))
    return dict(zip(present.tolist(), masks))


def _stretches(numbers: np.ndarray, before: int) -> tuple[np.ndarray, np.ndarray]:
    """Where equal numbers other than 0 begin and end down the columns, int64 [S, 2]; the numbers.

    Args:
        numbers: some columns.
        before: pixels before these.
    """
    down = np.ascontiguousarray(numbers.T).reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(down[1:] != down[:-1]) + 1])
    ends = np.append(starts[1:], len(down))
    filled = down[starts] != 0
    edges = np.stack([starts[filled], ends[filled]], axis=1) + before
    return edges, down[starts[filled]]


def count_ids(ids: np.ndarray, count: int) -> np.ndarray:
    """int64 [at least `count`], the pixels of each id 0, 1, ...; strip by strip, without a copy.

    Args:
        ids: unsigned integers [H, W].
        count: ids that are told even where there are none.
    """
    total = np.zeros(max(count, int(ids.max(initial=0)) + 1), np.int64)
    for rows in strips(ids.shape):
        total += np.bincount(ids[rows].reshape(-1), minlength=len(total))
    return total
