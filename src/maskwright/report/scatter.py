"""Scatter plots as inline SVG: names where they find room, the rest on hover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from maskwright.report.curves import short, ticks
from maskwright.report.page import Point, Scatter, Scatters
from maskwright.report.parts import empty, note

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 12, 42
_LETTER, _LINE = 6.3, 13
"""Pixels that a letter and a line of the page's small type take, about."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Data -> SVG pixels, the x axis logarithmic."""

    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    width: float
    height: float

    def right(self, x: float) -> float:
        low, high = math.log(self.x_ticks[0]), math.log(self.x_ticks[-1])
        share = (math.log(x) - low) / (high - low)
        return round(_LEFT + share * (self.width - _LEFT - _RIGHT), 1)

    def down(self, y: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        share = (y - low) / (high - low)
        return round(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM), 1)


def scatters(section: Scatters) -> str:
    """Plots side by side, one alone large; a plot without points is left out."""
    alone = len(section.plots) == 1
    size = (1000.0, 500.0) if alone else (400.0, 280.0)
    parts = [
        f"<div>{'' if alone else f'<h3>{escape(plot.title)}</h3>'}{drawing}{note(plot.note)}</div>"
        for plot in section.plots
        if (drawing := scatter(plot, size))
    ]
    kind = "panels alone" if alone else "panels"
    return f'<div class="{kind}">{"".join(parts)}</div>' if parts else empty("Nothing measured.")


def scatter(plot: Scatter, size: tuple[float, float]) -> str:
    """The SVG of one plot; an empty string where it has no point.

    Args:
        plot: with its points.
        size: (width, height) in SVG pixels.
    """
    points = [one for one in plot.points if _drawable(one)]
    if not points:
        return ""
    starts = [one.from_x for one in points if one.from_x is not None and one.from_x > 0]
    span = min(one.y for one in points), max(one.y for one in points)
    room = 0.04 * (span[1] - span[0]) or 0.1 * abs(span[0]) or 1.0
    axes = _Axes(
        x_ticks=log_ticks(min([one.x for one in points] + starts),
                          max([one.x for one in points] + starts)),
        y_ticks=ticks((span[0] - room, span[1] + room), 5),
        width=size[0],
        height=size[1],
    )  # fmt: skip
    front = sorted((one for one in points if one.strong), key=lambda one: one.x)
    path = " ".join(f"{axes.right(one.x)},{axes.down(one.y)}" for one in front)
    line = f'<polyline class="front" points="{path}"/>' if len(front) > 1 else ""
    dots = "".join(_dot(one, axes) for one in sorted(points, key=lambda one: one.strong))
    label = f"{plot.title}: " + "; ".join(
        f"{one.name} {short(one.y)} at {short(one.x)}" for one in front or points
    )
    return (
        f'<svg viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" aria-label="{escape(label)}">'
        f"{_grid(plot, axes)}{line}{dots}{_names(points, axes)}</svg>"
    )


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... that enclose low..high, both above 0; at least two of them."""
    rungs = [
        mantissa * 10.0**power
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
        for mantissa in (1, 2, 5)
    ]
    first = max(index for index, rung in enumerate(rungs) if rung <= low * (1 + 1e-9))
    last = min(index for index, rung in enumerate(rungs) if rung >= high * (1 - 1e-9))
    return [float(f"{rung:.6g}") for rung in rungs[first : max(last, first + 1) + 1]]


def _drawable(point: Point) -> bool:
    return math.isfinite(point.x) and math.isfinite(point.y) and point.x > 0


def _grid(plot: Scatter, axes: _Axes) -> str:
    floor, parts = axes.height - _BOTTOM, []
    for y in axes.y_ticks:
        down = axes.down(y)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{axes.width - _RIGHT}" y1="{down}" y2="{down}"/>'
            f'<text x="{_LEFT - 7}" y="{down + 4}" text-anchor="end">{short(y)}</text>'
        )
    every = max(1, math.ceil(len(axes.x_ticks) * 34 / (axes.width - _LEFT - _RIGHT)))
    for x in axes.x_ticks[::every]:
        right = axes.right(x)
        parts.append(
            f'<line class="grid" x1="{right}" x2="{right}" y1="{_TOP}" y2="{floor}"/>'
            f'<text x="{right}" y="{floor + 17}" text-anchor="middle">{short(x)}</text>'
        )
    middle = (_LEFT + axes.width - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{axes.height - 6}" text-anchor="middle">{escape(plot.x_label)}'
        f'</text><text x="13" y="{(_TOP + floor) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 13 {(_TOP + floor) / 2})">{escape(plot.y_label)}</text>'
    )
    return "".join(parts)


def _dot(point: Point, axes: _Axes) -> str:
    right, down = axes.right(point.x), axes.down(point.y)
    way = ""
    if point.from_x is not None and point.from_x > 0:
        start = axes.right(point.from_x)
        way = f'<line class="way" x1="{start}" x2="{right}" y1="{down}" y2="{down}"/>'
    kind = "point strong" if point.strong else "point"
    told = f"{point.name}: {short(point.y)} at {short(point.x)}"
    return (
        f'{way}<circle class="{kind}" cx="{right}" cy="{down}" r="{5 if point.strong else 4}"/>'
        f'<circle class="hit" cx="{right}" cy="{down}" r="9"><title>{escape(told)}</title></circle>'
    )


def _names(points: Sequence[Point], axes: _Axes) -> str:
    """Each name beside its point, the strong ones first, where it covers nothing."""
    centres = [(axes.right(one.x), axes.down(one.y)) for one in points]
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in centres]
    parts = []
    for index in sorted(range(len(points)), key=lambda index: not points[index].strong):
        point, (right, down) = points[index], centres[index]
        others = taken[:index] + taken[index + 1 :]
        for anchor, x, y in _places(right, down):
            box = _box(point.name, anchor, x, y)
            inside = box[0] >= _LEFT and box[2] <= axes.width and box[1] >= 0
            if inside and box[3] <= axes.height - _BOTTOM and not _covers(box, others):
                taken.append(box)
                kind = ' class="strong"' if point.strong else ""
                parts.append(
                    f'<text{kind} x="{x:g}" y="{y:g}" text-anchor="{anchor}">'
                    f"{escape(point.name)}</text>"
                )
                break
    return "".join(parts)


def _places(right: float, down: float) -> list[tuple[str, float, float]]:
    """Where a name may stand: right, left, above, below, and the corners."""
    return [
        ("start", right + 8, down + 4), ("end", right - 8, down + 4),
        ("middle", right, down - 9), ("middle", right, down + 17),
        ("start", right + 6, down - 7), ("end", right - 6, down - 7),
        ("start", right + 6, down + 15), ("end", right - 6, down + 15),
    ]  # fmt: skip


def _box(text: str, anchor: str, x: float, y: float) -> Box:
    width = _LETTER * len(text)
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return left, y - _LINE + 3, left + width, y + 3


def _covers(box: Box, others: Sequence[Box]) -> bool:
    return any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
        for other in others
    )
