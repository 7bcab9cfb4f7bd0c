"""A confusion matrix as a heat map: blue is right, red is wrong, the more of it the stronger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from maskwright.report.page import Matrix
from maskwright.report.parts import empty, note, scroll

NUMBERED_CLASSES = 16
"""Up to this size the shares are written into the cells."""

SHOWN_CLASSES = 48
"""Of a larger matrix, the classes with the most pixels are shown: a page is no data base."""


def matrix(section: Matrix) -> str:
    """One row per true class; cells are shares of all its pixels, with the count on hover."""
    counts = np.asarray(section.counts, np.int64)
    if not counts.any():
        return empty("No pixels were counted.")
    rows, columns = _shown(counts, len(section.names))
    heads = [*section.names, "unpredicted"]
    dense = len(rows) > NUMBERED_CLASSES
    head = "".join(
        f'<th scope="col" title="{escape(heads[column])}"><span>{escape(heads[column])}</span></th>'
        for column in columns
    )
    body = "".join(_row(row, columns, counts[row], heads, dense) for row in rows)
    table = (
        f'<table class="{"heat dense" if dense else "heat"}"><thead><tr>'
        f'<td class="corner">truth &darr; seen as &rarr;</td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    words = "Rest the pointer on a cell for its numbers." if dense else "In % of the row's pixels."
    if len(rows) < len(section.names):
        words += f" The {len(rows)} classes with the most pixels, of {len(section.names)}."
    return scroll(table, section.title) + note(words)


def _shown(counts: np.ndarray, classes: int) -> tuple[list[int], list[int]]:
    """Indices of rows and columns: the largest classes, and "unpredicted" where it holds any."""
    pixels = counts[:, :classes].sum(axis=0) + counts.sum(axis=1)
    kept = np.sort(np.argsort(-pixels, kind="stable")[:SHOWN_CLASSES]).tolist()
    extra = [classes] if counts.shape[1] > classes and counts[:, classes].any() else []
    return kept, kept + extra


def _row(
    row: int, columns: Sequence[int], counts: np.ndarray, heads: Sequence[str], dense: bool
) -> str:
    total = max(1, int(counts.sum()))
    cells = [f'<th scope="row" title="{escape(heads[row])}">{escape(heads[row])}</th>']
    for column in columns:
        count = int(counts[column])
        hint = f"{heads[row]} seen as {heads[column]}: {count / total:.1%}, {count:,} px"
        cells.append(_cell(count / total, hint, row == column, dense))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(share: float, hint: str, right: bool, dense: bool) -> str:
    text = "" if dense else _percent(share)
    # The root makes a share of 1 % visible; 0.55 keeps black or white text readable on it.
    style = f' style="--share:{0.55 * math.sqrt(share):.3f}"' if share else ""
    kind = "zero" if not share else "right" if right else "wrong"
    return f'<td class="{kind}"{style} title="{escape(hint)}">{text}</td>'


def _percent(share: float) -> str:
    if not share:
        return "·"
    return "&lt;1" if share < 0.005 else "&gt;99" if 0.995 <= share < 1 else f"{100 * share:.0f}"
