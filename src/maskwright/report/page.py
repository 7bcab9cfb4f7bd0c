"""What a page is made of: frozen plain data, with no HTML in it.

Every text may hold anything, class and file names of strangers included: rendering escapes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.classes import Colour

Cell = str | int | float | None
"""One value of a table; None and NaN are shown as a dash and sorted last."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of the headline.

    Attributes:
        label: what it is, such as "mIoU".
        value: as it is to be read, unit included, such as "0.712" or "31 ms".
        note: a few words of context.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image of a gallery row.

    Attributes:
        image: uint8 RGB [H, W, 3]; embedded at most `pictures.LONGEST_SIDE` pixels long.
        label: what stands below it, such as "truth".
        alt: what somebody who can't see it should know; the label and caption where empty.
    """

    image: np.ndarray
    label: str
    alt: str = ""


@dataclass(frozen=True, kw_only=True)
class GalleryRow:
    """Pictures that belong together, side by side.

    Attributes:
        pictures: from left to right.
        caption: such as the file's name.
        badge: one word in front of the caption, such as "worst".
        value: a number behind it, such as "mIoU 0.431".
    """

    pictures: Sequence[Picture]
    caption: str = ""
    badge: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows of pictures; `legend` explains the colours as (name, RGB) pairs."""

    title: str
    rows: Sequence[GalleryRow]
    legend: Sequence[tuple[str, Colour]] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A table's column.

    Attributes:
        name: its head.
        format: Python's format specification of numbers, such as ".3f", ".1%" or ",".
        bar: the value whose bar fills the cell; None for no bars.
        hint: shown when the pointer rests on the head.
    """

    name: str
    format: str = ""
    bar: float | None = None
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells; a click on a column's head sorts.

    Attributes:
        title: of the section.
        columns: heads and formats.
        rows: one sequence of cells per row, as long as the columns.
        swatches: an RGB colour per row, shown in its first cell; or none at all.
        note: a lead sentence.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    swatches: Sequence[Colour] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A named line through (x, y); points that aren't finite are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot: its series share the axes."""

    title: str
    series: Sequence[Series]
    x_label: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Small plots side by side."""

    title: str
    panels: Sequence[Panel]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One thing of a scatter plot.

    Attributes:
        name: what it is.
        x, y: where it is; a point that isn't finite is left out.
        strong: set off from the others; strong points are joined by a line.
        from_x: a faint line comes from here, such as from what it was before.
    """

    name: str
    x: float
    y: float
    strong: bool = False
    from_x: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Points over a logarithmic x axis; those with x <= 0 are left out.

    Attributes:
        title: of the plot.
        points: in any order.
        x_label, y_label: what the axes tell, unit included.
        note: a sentence below.
    """

    title: str
    points: Sequence[Point]
    x_label: str = ""
    y_label: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Scatters:
    """Scatter plots side by side; one alone is drawn large, with more names."""

    title: str
    plots: Sequence[Scatter]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix as a heat map, each row as shares of its truth; counts on hover.

    Attributes:
        title: of the section.
        names: of the K classes.
        counts: integers [K, K], or [K, K + 1] with a last column "unpredicted" that is shown only
            where it holds something. Row = truth.
        note: a lead sentence.
    """

    title: str
    names: Sequence[str]
    counts: np.ndarray
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One horizontal bar; `strong` sets it off from the others."""

    label: str
    value: float
    note: str = ""
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars on a common scale from 0; values are written as `format` and `unit`."""

    title: str
    bars: Sequence[Bar]
    unit: str = ""
    format: str = ".1f"
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Pairs of name and value, such as the environment or a configuration.

    Attributes:
        title: of the section.
        facts: in the order shown; a value with line breaks keeps them.
        folded: shown after a click only (and in print).
        note: a lead sentence.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    folded: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Text:
    """Paragraphs, parted by blank lines; or a block of code, as it stands."""

    title: str
    text: str
    code: bool = False
    note: str = ""


Section = Gallery | Table | Curves | Scatters | Matrix | Bars | Facts | Text


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page.

    Attributes:
        title: what was done and to what.
        subtitle: the result in one sentence.
        headline: figures; the first one is set largest.
        sections: from top to bottom.
    """

    title: str
    subtitle: str = ""
    headline: Sequence[Figure] = ()
    sections: Sequence[Section] = ()
