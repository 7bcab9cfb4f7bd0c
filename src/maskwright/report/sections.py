"""Each kind of section -> its HTML. Every text passes `escape`; every number is formatted here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from numbers import Real

from maskwright.core.classes import Colour
from maskwright.report.curves import COLOURS, plot
from maskwright.report.page import (
    Bars,
    Cell,
    Column,
    Curves,
    Facts,
    Gallery,
    GalleryRow,
    Picture,
    Table,
    Text,
)
from maskwright.report.parts import empty, note, scroll
from maskwright.report.pictures import data_address, reduce

NARROW = 4
"""Columns that a phone shows side by side; of a table with more, each row is a card there."""

WIDE = 10
"""Columns above which a table's cells stay on one line, and the table scrolls."""


def gallery(section: Gallery) -> str:
    """Rows of pictures with captions; a click enlarges."""
    if not section.rows:
        return empty("No pictures.")
    legend = "".join(f"<li>{_swatch(colour)}{escape(name)}</li>" for name, colour in section.legend)
    rows = "".join(_gallery_row(row) for row in section.rows)
    return (f'<ul class="legend">{legend}</ul>' if legend else "") + rows


def _gallery_row(row: GalleryRow) -> str:
    name = f'<span class="name">{escape(row.caption)}</span>' if row.caption else ""
    kind = f" {row.badge}" if row.badge in ("best", "median", "worst") else ""
    badge = f'<span class="badge{kind}">{escape(row.badge)}</span>' if row.badge else ""
    value = f'<span class="value">{escape(row.value)}</span>' if row.value else ""
    across = min(4, max(1, len(row.pictures)))
    pictures = "".join(_picture(picture, row.caption) for picture in row.pictures)
    return (
        f'<figure class="row"><figcaption>{badge}{value}{name}</figcaption>'
        f'<div class="pictures across{across}">{pictures}</div></figure>'
    )


def _picture(picture: Picture, caption: str) -> str:
    small = reduce(picture.image)
    height, width = small.shape[:2]
    alt = picture.alt or f"{picture.label}: {caption}"
    return (
        f'<div><button type="button" aria-label="{escape(f"Enlarge {alt}")}">'
        f'<img src="{data_address(small)}" width="{width}" height="{height}" alt="{escape(alt)}">'
        f"</button>{escape(picture.label)}</div>"
    )


def table(section: Table) -> str:
    """A table with sortable heads, numbers to the right, bars where a column asks for them."""
    if not section.rows:
        return empty("No rows.")
    numeric = [
        not any(isinstance(row[index], str) for row in section.rows)
        for index in range(len(section.columns))
    ]
    heads = "".join(
        f'<th scope="col" aria-sort="none"{_number_class(number)}>'
        f'<button type="button" title="{escape(column.hint or "sort")}">{escape(column.name)}'
        "</button></th>"
        for column, number in zip(section.columns, numeric)
    )
    rows = "".join(
        _table_row(section.columns, row, numeric, section.swatches[index : index + 1])
        for index, row in enumerate(section.rows)
    )
    kind = " wide" if len(section.columns) > WIDE else ""
    kind += " many" if len(section.columns) > NARROW else ""
    return scroll(
        f'<table class="data{kind}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>',
        section.title,
    )


def _table_row(
    columns: Sequence[Column],
    row: Sequence[Cell],
    numeric: Sequence[bool],
    swatch: Sequence[Colour],
) -> str:
    first = f'<th scope="row" data-value="{_sort_key(row[0])}"{_number_class(numeric[0])}>'
    parts = [f"{first}{''.join(map(_swatch, swatch))}{_cell_text(columns[0], row[0])}</th>"]
    for column, cell, number in zip(columns[1:], row[1:], numeric[1:]):
        text = _cell_text(column, cell)
        label = f' data-label="{escape(column.name)}"' if len(columns) > NARROW else ""
        if column.bar and isinstance(cell, Real) and math.isfinite(cell):
            width = _width(cell, column.bar)
            track = f'<span class="track"><i style="width:{width}%"></i></span>'
            text = f'<div class="meter">{track}<span>{text}</span></div>'
        parts.append(
            f'<td data-value="{_sort_key(cell)}"{_number_class(number)}{label}>{text}</td>'
        )
    return f"<tr>{''.join(parts)}</tr>"


def curves(section: Curves) -> str:
    """Panels side by side; a panel without finite points is left out."""
    parts = []
    for panel in section.panels:
        drawing = plot(panel)
        if not drawing:
            continue
        keys = "".join(
            f'<li><span class="key s{index % COLOURS}"></span>{escape(series.name)}</li>'
            for index, series in enumerate(panel.series)
        )
        legend = f'<ul class="legend">{keys}</ul>' if len(panel.series) > 1 else ""
        parts.append(
            f"<div><h3>{escape(panel.title)}</h3>{drawing}{legend}{note(panel.note)}</div>"
        )
    return f'<div class="panels">{"".join(parts)}</div>' if parts else empty("Nothing recorded.")


def bars(section: Bars) -> str:
    """Horizontal bars on one scale."""
    if not section.bars:
        return empty("Nothing measured.")
    top = max((_finite_or_zero(bar.value) for bar in section.bars), default=0.0) or 1.0
    items = "".join(
        f'<div class="{"strong" if bar.strong else "plain"}"><dt>{escape(bar.label)}'
        f"<span>{escape(_number(bar.value, section.format))} {escape(section.unit)}"
        f"{escape(f' · {bar.note}') if bar.note else ''}</span></dt>"
        f'<dd><i style="width:{_width(bar.value, top)}%"></i></dd></div>'
        for bar in section.bars
    )
    return f'<dl class="bars">{items}</dl>'


def facts(section: Facts) -> str:
    """Names and values in two columns."""
    if not section.facts:
        return empty("Nothing recorded.")
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in section.facts
    )
    return f'<dl class="facts">{items}</dl>'


def text(section: Text) -> str:
    """Paragraphs, or code as it stands."""
    if section.code:
        return f"<pre>{escape(section.text)}</pre>"
    paragraphs = [part.strip() for part in section.text.split("\n\n") if part.strip()]
    return "".join(f"<p>{escape(part)}</p>" for part in paragraphs)


def _swatch(colour: Colour) -> str:
    red, green, blue = (int(value) for value in colour)
    return f'<span class="swatch" style="background:rgb({red} {green} {blue})"></span>'


def _number_class(number: bool) -> str:
    return ' class="number"' if number else ""


def _cell_text(column: Column, cell: Cell) -> str:
    return escape(cell) if isinstance(cell, str) else escape(_number(cell, column.format))


def _number(value: float | None, format_: str) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return format(value, format_)


def _sort_key(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    return "" if cell is None or not math.isfinite(cell) else repr(float(cell))


def _finite_or_zero(value: Cell) -> float:
    return float(value) if isinstance(value, Real) and math.isfinite(value) else 0.0


def _width(value: Cell, full: float) -> str:
    """A bar's length in percent of `full`, kept in 0..100."""
    return f"{100 * min(1.0, max(0.0, _finite_or_zero(value) / full)):.1f}"
