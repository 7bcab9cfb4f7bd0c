"""Many objects' polygons at once, as masks: the numbers are those of `Mask.from_polygons`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from maskwright.core.mask import Mask
from maskwright.core.mask_lists import masks_of_toggles
from maskwright.core.polygon import crossings_of_polygons

_FARTHEST = 16  # image sides; what lies beyond is told, or walked, one by one
_MOST_POINTS = 50_000_000  # of the walk along a polygon


def masks_from_polygons(drawn: Sequence[Any], size: tuple[int, int]) -> list[Mask | None]:
    """Masks of objects that are drawn as lists of polygons, those that can be filled together.

    Args:
        drawn: of N objects, whatever a file holds: polygons x, y, x, y, ..., run lengths, None.
        size: (height, width) of the image.

    Returns:
        The mask that `Mask.from_polygons` gives, or None where there is something else, or a fault:
        `Mask.from_polygons` tells which.
    """
    found: list[Mask | None] = [None] * len(drawn)
    at = [place for place, one in enumerate(drawn) if _can_be_filled(one, size)]
    if not at:
        return found
    polygons = [polygon for place in at for polygon in drawn[place]]
    counts = np.array([len(polygon) // 2 for polygon in polygons], np.int64)
    corners = np.array(list(chain.from_iterable(polygons)), np.float64).reshape(-1, 2)
    first = np.append(0, np.cumsum(counts))
    sizes = np.broadcast_to(np.array(size), (len(polygons), 2))
    whose, column, row = crossings_of_polygons(corners, first, sizes)
    total = size[0] * size[1]
    toggles = np.sort(whose * (total + 1) + column * size[0] + row)
    begins = np.flatnonzero(np.diff(toggles, prepend=-1))
    toggles = toggles[begins[np.diff(begins, append=len(toggles)) % 2 == 1]]  # the others cancel
    own = np.searchsorted(toggles, np.arange(len(polygons) + 1) * (total + 1))
    places = toggles - np.repeat(np.arange(len(polygons)) * (total + 1), np.diff(own))
    parts = iter(masks_of_toggles(places, own, size))
    for place in at:
        masks = [next(parts) for _ in drawn[place]]
        found[place] = masks[0] if len(masks) == 1 else Mask.merge(masks)
    return found


def _can_be_filled(drawn: Any, size: tuple[int, int]) -> bool:
    """Whether there is a list of flat polygons of finite, near numbers."""
    if not isinstance(drawn, list) or not drawn:
        return False
    farthest = _FARTHEST * max(size)
    for polygon in drawn:
        if not isinstance(polygon, list) or len(polygon) % 2:
            return False
        if not {*map(type, polygon)} <= {int, float} or not all(map(_is_number, polygon)):
            return False
        reach = max(max(polygon), -min(polygon)) if polygon else 0
        if reach > farthest or 5 * len(polygon) * reach > _MOST_POINTS:
            return False
    return True


def _is_number(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too long for a float
        return False
