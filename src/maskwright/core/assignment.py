"""The assignment problem: pairs of rows and columns of the highest sum.

R. Jonker, A. Volgenant: A Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment
Problems, Computing 38, 1987.
"""

from __future__ import annotations

import numpy as np


def best_pairs(gain_NM: np.ndarray, above: float = 0.0) -> list[tuple[int, int]]:
    """Rows and columns, each in one pair at most, whose gains have the highest sum.

    Args:
        gain_NM: finite floats.
        above: pairs whose gain isn't above it are none.

    Returns:
        (row, column) of each pair, by row.
    """
    wanted_NM = np.where(gain_NM > above, gain_NM - above, 0.0)
    rows = np.flatnonzero(wanted_NM.any(axis=1))
    columns = np.flatnonzero(wanted_NM.any(axis=0))
    small_NM = wanted_NM[np.ix_(rows, columns)]
    turned = len(rows) > len(columns)
    pairs = _solve(-small_NM.T if turned else -small_NM)
    found = ((column, row) if turned else (row, column) for row, column in pairs)
    return sorted(
        (int(rows[row]), int(columns[column])) for row, column in found if small_NM[row, column] > 0
    )


def _solve(cost_NM: np.ndarray) -> list[tuple[int, int]]:
    """A column for each row, of the lowest sum; no more rows than columns.

    Rows are added one by one, each along the shortest path that gives all before it a column, too.
    """
    count, width = cost_NM.shape
    row_of = np.full(width + 1, -1)  # the last place is where a path begins
    price_N, price_M = np.zeros(count), np.zeros(width + 1)
    for row in range(count):
        row_of[width] = row
        distance_M = np.full(width, np.inf)
        before_M = np.full(width, width)
        seen_M = np.zeros(width + 1, bool)
        at = width
        while row_of[at] >= 0:
            seen_M[at] = True
            own = row_of[at]
            reached_M = cost_NM[own] - price_N[own] - price_M[:width]
            nearer_M = ~seen_M[:width] & (reached_M < distance_M)
            distance_M[nearer_M], before_M[nearer_M] = reached_M[nearer_M], at
            open_M = np.where(seen_M[:width], np.inf, distance_M)
            following = int(open_M.argmin())
            step = open_M[following]
            price_N[row_of[seen_M]] += step
            price_M[seen_M] -= step
            distance_M[~seen_M[:width]] -= step
            at = following
        while at != width:
            row_of[at] = row_of[before_M[at]]
            at = int(before_M[at])
    return [(int(row), column) for column, row in enumerate(row_of[:width]) if row >= 0]
