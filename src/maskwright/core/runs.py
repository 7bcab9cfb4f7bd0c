"""Arithmetic on run lengths and toggles, the two forms of a run-length mask.

Pixels are counted down the columns, from left to right. *Runs* are the lengths of alternating
stretches of zeros and ones, zeros first (the first may be 0 long). *Toggles* are the positions
where the value changes: strictly increasing, below the number of pixels. Whole-array operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskwright.core.errors import DataError


def toggles_of_runs(runs: np.ndarray) -> np.ndarray:
    """Positions int64 where the value changes; runs of length 0 in the middle cancel out."""
    ends = np.cumsum(runs, dtype=np.int64)
    return cancel_pairs(ends[:-1], int(ends[-1])) if len(ends) else ends


def runs_of_toggles(toggles: np.ndarray, total: int) -> np.ndarray:
    """Run lengths uint32 of a mask with `total` pixels; only the first can be 0."""
    return np.diff(toggles, prepend=0, append=total).astype(np.uint32)


def toggles_of_pixels(pixels: np.ndarray) -> np.ndarray:
    """Positions where a flat bool array changes; before it stands a zero."""
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    return np.concatenate([[0], changes]) if pixels[0] else changes


def cancel_pairs(positions: np.ndarray, total: int) -> np.ndarray:
    """Toggles from sorted positions that may repeat: two at the same place change nothing."""
    first = np.flatnonzero(np.diff(positions, prepend=-1))
    odd = np.diff(first, append=len(positions)) % 2 == 1
    kept = positions[first[odd]]
    return kept[kept < total]


def combine(toggles: Sequence[np.ndarray], least: int) -> np.ndarray:
    """Toggles of the pixels that at least `least` of the masks cover: 1 unites, all intersect."""
    positions, depth = _depths(toggles)
    covered = depth >= least
    return positions[np.diff(covered, prepend=False)]


def common_area(first: np.ndarray, second: np.ndarray, total: int) -> int:
    """Number of pixels that two masks share."""
    positions, depth = _depths([first, second])
    return int(np.diff(positions, append=total)[depth == 2].sum())


def _depths(toggles: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    # The distinct positions, and how many masks cover the pixels from each to the next.
    positions = np.concatenate(toggles)
    steps = np.concatenate([1 - 2 * (np.arange(len(of_one)) % 2) for of_one in toggles])
    order = np.argsort(positions, kind="stable")
    positions = positions[order]
    last = np.diff(positions, append=-1) != 0
    return positions[last], np.cumsum(steps[order])[last]


def cropped(
    toggles: np.ndarray, size: tuple[int, int], box: tuple[int, int, int, int]
) -> np.ndarray:
    """Toggles inside a window (left, top, right, bottom) of a mask of `size` (height, width).

    A toggle moves to the number of kept pixels before it; where a stretch lies outside, its two
    ends meet and cancel.
    """
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    column, row = np.divmod(toggles, size[0])
    in_column = np.where((column >= left) & (column < right), np.clip(row - top, 0, height), 0)
    kept_before = np.clip(column - left, 0, width) * height + in_column
    return cancel_pairs(kept_before, height * width)


def bounds(toggles: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the ones, as pixel edges; (0, 0, 0, 0) where there are none."""
    if not len(toggles):
        return 0, 0, 0, 0
    starts = toggles[::2]
    lasts = np.append(toggles[1::2], size[0] * size[1])[: len(starts)] - 1
    left_columns, top_rows = np.divmod(starts, size[0])
    right_columns, bottom_rows = np.divmod(lasts, size[0])
    left, right = int(left_columns[0]), int(right_columns[-1]) + 1
    if (left_columns != right_columns).any():  # a run around a column's end touches both edges
        return left, 0, right, size[0]
    return left, int(top_rows.min()), right, int(bottom_rows.max()) + 1


def to_string(runs: np.ndarray) -> str:
    """COCO's compressed counts.

    From the fourth on each run is told as the difference to the one two before; each number is
    written as signed groups of 5 bits, lowest first, bit 5 set while more follow, plus 48.
    """
    numbers = runs.astype(np.int64)
    numbers[3:] -= runs[1:-2].astype(np.int64)
    groups = np.arange(7)  # 35 bits hold every difference of uint32 runs
    reach = np.int64(1) << (5 * groups + 4)
    fits = (numbers[:, None] >= -reach) & (numbers[:, None] < reach)
    last = np.argmax(fits, axis=1)[:, None]
    letters = (numbers[:, None] >> (5 * groups)) & 31 | np.where(groups < last, 32, 0)
    return (letters[groups <= last] + 48).astype(np.uint8).tobytes().decode("ascii")


def from_string(text: str | bytes) -> np.ndarray:
    """Inverse of `to_string`: the runs, int64.

    Raises:
        DataError: a character that the code does not have, or a number cut short.
    """
    data = text.encode("utf-8") if isinstance(text, str) else text
    letters = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    if ((letters < 0) | (letters > 63)).any():
        bad = data[int(np.argmax((letters < 0) | (letters > 63)))]
        raise DataError(
            f"expected compressed COCO counts of characters '0' to 'o', got {chr(bad)!r}; "
            "the annotation is damaged or in another code."
        )
    ends = np.flatnonzero(letters < 32)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if (ends[-1] if len(ends) else -1) != len(letters) - 1 or (ends - starts >= 8).any():
        raise DataError(
            f"compressed COCO counts end early or run on: {data[-20:]!r}; write them again."
        )
    if not len(ends):
        return np.zeros(0, np.int64)
    place = 5 * (np.arange(len(letters)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((letters & 31) << place, starts)
    negative = (letters[ends] & 16) != 0
    numbers -= negative.astype(np.int64) << (place[ends] + 5)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
