"""Sorting by several keys, fast: keys become whole numbers, and those are sorted with their places.

A sort of plain int64 is several times as fast as a stable sort of indices (`np.lexsort`), so each
key takes the upper bits of a number and the place among its equals the lower ones.
"""

from __future__ import annotations

import numpy as np


def codes_of(values: np.ndarray) -> np.ndarray:
    """int64 [N], 0, 1, 2, ... by rising value; equal values have equal codes."""
    if (values[1:] >= values[:-1]).all():
        return group_numbers(values)
    order = np.argsort(values)
    codes = np.empty(len(values), np.int64)
    codes[order] = group_numbers(values[order])
    return codes


def stable_order(codes: np.ndarray) -> np.ndarray:
    """int64 [N], the places of codes of 0 and above by rising code; equal ones keep their order."""
    bits = len(codes).bit_length()
    if int(codes.max(initial=0)) >> (63 - bits):
        return np.argsort(codes, kind="stable")
    both = np.sort((codes << bits) | np.arange(len(codes)))
    return both & ((1 << bits) - 1)


def group_numbers(*keys: np.ndarray) -> np.ndarray:
    """int64 [N], which stretch of equal keys each is in; the keys are sorted already."""
    return np.cumsum(_begins(keys)) - 1


def place_in_group(*keys: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each stretch of equal keys; the keys are sorted already."""
    count = len(keys[0])
    starts = np.flatnonzero(_begins(keys))
    return np.arange(count) - np.repeat(starts, np.diff(np.append(starts, count)))


def _begins(keys: tuple[np.ndarray, ...]) -> np.ndarray:
    new = np.zeros(len(keys[0]), bool)
    new[:1] = True
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    return new
