"""The bands of many masks from the ends of their stretches: no pixel is painted.

What stays of a mask under a square is what lies, in each column, below the lowest upper end and
above the highest lower end of the columns around (both moved in by the band's width), and outside
what the gaps in those columns grow to. Gaps of neighbouring columns that meet when they are grown
form a chain: of a chain's gaps around a column, one stretch reaches from the highest to the lowest.

Legend: N masks, S stretches, C columns, G gaps; rows and columns of the masks' images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwright.metrics.objects import ragged
from maskwright.metrics.ordering import group_numbers, place_in_group, stable_order

_FAR = 1 << 40


def lie_in_columns(edges: np.ndarray, first: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """bool [N]: whether a mask has a stretch in each of its columns, and none in two of them.

    Args:
        edges: int64 [S, 2], where the stretches of all masks begin, and one behind their last.
        first: int64 [N + 1]: mask i owns the stretches first[i] to first[i + 1], and one at least.
        heights: int64 [N], of their images.
    """
    height = np.repeat(heights, np.diff(first))
    column = edges[:, 0] // height
    wrong = column != (edges[:, 1] - 1) // height
    jumps = np.diff(column, prepend=column[:1]) > 1
    jumps[first[:-1]] = False
    fitting: np.ndarray = ~np.logical_or.reduceat(jumps | wrong, first[:-1])
    return fitting


def bands_of_columns(
    edges: np.ndarray, counts: np.ndarray, heights: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The bands of masks that lie in columns, each wider than twice its band.

    Args:
        edges: int64 [S, 2], of all masks.
        counts: int64 [N], stretches of each mask.
        heights: int64 [N], of their images.
        reach: int64 [N], the bands' widths.

    Returns:
        The bands' stretches int64 [B, 2], and int64 [N], how many each has.
    """
    columns = _Columns.of(edges, counts, heights, reach)
    lowest, highest = columns.inner()
    grown = _grown_gaps(columns)
    stays = _without(lowest, highest, *grown, columns.stride)
    # What stays lies inside the mask, so that the ends of both, sorted, are those of the band.
    own = columns.whose[:, None] * columns.stride + np.stack([columns.begin, columns.end], axis=1)
    ends = np.sort(np.concatenate([own.ravel(), stays]))
    column = ends // columns.stride
    # A column's first row stands elsewhere in its image than here.
    moved = columns.number * columns.height - np.arange(len(columns.number)) * columns.stride
    found = (ends + moved[column]).reshape(-1, 2)
    per_column = np.bincount(column[::2], minlength=len(columns.number))
    return found, np.add.reduceat(per_column, columns.first)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Columns:
    """The columns of all masks, one after the other.

    Attributes:
        begin, end: int64 [S], rows of the stretches.
        whose: int64 [S], the column of each.
        number: int64 [C], of a column in its image.
        height, reach: int64 [C], of its image, of the band.
        mask: int64 [C].
        first: int64 [N], each mask's first column.
        stride: more than any height.
    """

    begin: np.ndarray
    end: np.ndarray
    whose: np.ndarray
    number: np.ndarray
    height: np.ndarray
    reach: np.ndarray
    mask: np.ndarray
    first: np.ndarray
    stride: int

    @classmethod
    def of(
        cls, edges: np.ndarray, counts: np.ndarray, heights: np.ndarray, reach: np.ndarray
    ) -> _Columns:
        """From stretches; arguments as of `bands_of_columns`."""
        mask = np.repeat(np.arange(len(counts)), counts)
        height = heights[mask]
        number = edges[:, 0] // height
        begin = edges[:, 0] - number * height
        whose = group_numbers(mask, number)
        heads = np.flatnonzero(np.diff(whose, prepend=-1))
        return cls(
            begin=begin,
            end=begin + edges[:, 1] - edges[:, 0],
            whose=whose,
            number=number[heads],
            height=height[heads],
            reach=reach[mask[heads]],
            mask=mask[heads],
            first=whose[np.cumsum(counts) - counts],
            stride=int(heights.max()) + 1,
        )

    def inner(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [C] twice: from where to where a column could stay, had it no gaps."""
        heads = np.flatnonzero(np.diff(self.whose, prepend=-1))
        begin, end = self.begin[heads], self.end[np.append(heads[1:], len(self.whose)) - 1]
        place = np.arange(len(heads)) - self.first[self.mask]
        last = np.append(self.first[1:], len(heads))[self.mask] - 1 - self.first[self.mask]
        lowest, highest = np.zeros((2, len(heads)), np.int64)
        for one in np.unique(self.reach[self.first]).tolist():
            inside = (self.reach == one) & (place >= one) & (place <= last - one)
            at = np.flatnonzero(inside)
            lowest[at] = _sliding(np.maximum, begin, 2 * one + 1)[at - one] + one
            highest[at] = _sliding(np.minimum, end, 2 * one + 1)[at - one] - one
        return lowest, highest


def _grown_gaps(columns: _Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where gaps between stretches reach to, grown by the bands' widths: column, first row, end."""
    gap = np.flatnonzero(columns.whose[1:] == columns.whose[:-1])
    column, begin, end = columns.whose[gap], columns.end[gap], columns.begin[gap + 1]
    # Blocks of neighbouring columns with equally many gaps; the first gaps of a block, its second
    # ones and so on stand together then, by their columns.
    number = np.bincount(columns.whose, minlength=len(columns.mask))
    block = group_numbers(number, columns.mask)
    lane = block[column] * int(number.max(initial=0)) + place_in_group(column)
    order = stable_order(lane)
    lane, column, begin, end = lane[order], column[order], begin[order], end[order]
    reach = columns.reach[column]
    begin, end = begin - reach, end + reach
    linked = (lane[1:] == lane[:-1]) & (begin[1:] <= end[:-1]) & (begin[:-1] <= end[1:])
    heads = np.flatnonzero(np.append(True, ~linked)[: len(lane)])
    lengths = np.diff(np.append(heads, len(lane)))
    found = [np.zeros((3, 0), np.int64)]
    for one in np.unique(columns.reach[columns.first]).tolist():
        chains = np.flatnonzero(reach[heads] == one)
        members = ragged(heads[chains], lengths[chains])
        # 2 reach free places before and behind each chain, so that a window sees one chain only.
        room = lengths[chains] + 4 * one
        starts = np.cumsum(room) - room
        at = ragged(starts + 2 * one, lengths[chains])
        lows, highs = np.full(room.sum(), _FAR), np.full(room.sum(), -_FAR)
        lows[at], highs[at] = begin[members], end[members]
        seen = ragged(starts, room - 2 * one)
        around = seen + np.repeat(column[heads[chains]] - one - starts, room - 2 * one)
        low = _sliding(np.minimum, lows, 2 * one + 1)[seen]
        high = _sliding(np.maximum, highs, 2 * one + 1)[seen]
        own = np.repeat(columns.mask[column[heads[chains]]], room - 2 * one)
        inside = (around >= 0) & (around < len(columns.mask))
        inside[inside] = columns.mask[around[inside]] == own[inside]
        found.append(np.stack([around, low, high])[:, inside])
    around, low, high = np.concatenate(found, axis=1)
    return around, low, high


def _without(
    lowest: np.ndarray,
    highest: np.ndarray,
    column: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    stride: int,
) -> np.ndarray:
    """The ends of what stays of each column's stretch without some others, in any order.

    Args:
        lowest, highest: int64 [C], each column's stretch; empty where they meet.
        column, begin, end: of the others, int64 [K].
        stride: column k's row r stands at k * stride + r.
    """
    begin, end = np.maximum(begin, lowest[column]), np.minimum(end, highest[column])
    kept = np.flatnonzero(begin < end)
    column, begin, end = (each[kept] for each in (column, begin, end))
    order = np.argsort(column * stride + begin)
    column, begin, end = (each[order] for each in (column, begin, end))
    reached = np.maximum.accumulate(column * stride + end)
    before = np.append(-1, reached)[:-1]
    starts = np.maximum(before, column * stride + lowest[column])
    filled = np.flatnonzero(lowest < highest)
    last = np.append(-1, reached)[np.searchsorted(column, filled, side="right")]
    starts = np.append(starts, np.maximum(last, filled * stride + lowest[filled]))
    ends = np.append(column * stride + begin, filled * stride + highest[filled])
    stays = starts < ends
    return np.append(starts[stays], ends[stays])


def _sliding(operation: np.ufunc, values: np.ndarray, length: int) -> np.ndarray:
    """The largest (or smallest) of each `length` values in a row, [len(values) - length + 1]."""
    size, best = 1, values
    while 2 * size <= length:
        best, size = operation(best[:-size], best[size:]), 2 * size
    last = length - size
    found: np.ndarray = operation(best[: len(best) - last], best[last:])
    return found
