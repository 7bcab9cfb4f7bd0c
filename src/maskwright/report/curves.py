"""A plot as inline SVG. Written by hand, so that it takes the page's colours, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from maskwright.report.page import Panel, Series

COLOURS = 6
"""Series colours in the style sheet, `--s0` to `--s5`."""

_WIDTH, _HEIGHT = 400, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 22, 12, 40

Range = tuple[float, float]


def plot(panel: Panel) -> str:
    """The SVG of one panel; an empty string where no series has a finite point."""
    series = [
        (index % COLOURS, one.name, points)
        for index, one in enumerate(panel.series)
        if (points := _finite(one))
    ]
    if not series:
        return ""
    x_ticks = ticks(_range([x for *_, points in series for x, _ in points]), 5)
    y_ticks = ticks(_range([y for *_, points in series for _, y in points]), 4)
    spans = (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1])
    lines = "".join(_line(name, points, colour, spans) for colour, name, points in series)
    summary = "; ".join(
        f"{name} from {short(points[0][1])} to {short(points[-1][1])}" for _, name, points in series
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(f"{panel.title}: {summary}")}">'
        f"{_axes(x_ticks, y_ticks, panel.x_label)}{lines}</svg>"
    )


def ticks(span: Range, wanted: int) -> list[float]:
    """Round numbers that enclose `span`, about `wanted` of them, at least two."""
    low, high = span
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = 12 - math.floor(math.log10(step))  # of the step, however small it is
    return [round(number * step, digits) for number in range(first, max(last, first + 1) + 1)]


def short(value: float) -> str:
    """A number in few characters: 1200 -> "1200", 0.00025 -> "2.5e-4", 25000 -> "25k"."""
    size = abs(value)
    if size >= 10_000:
        return f"{value / 1e6:g}M" if size >= 1e6 else f"{value / 1e3:.4g}k"
    if 0 < size < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.4g}"


def _finite(series: Series) -> list[tuple[float, float]]:
    pairs = zip(series.x, series.y)
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _range(values: Sequence[float]) -> Range:
    """Lowest and highest, opened a little where they are equal."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    return low, high


def _place(x: float, y: float, spans: tuple[Range, Range]) -> tuple[float, float]:
    """Data -> SVG pixels."""
    (x0, x1), (y0, y1) = spans
    right = _LEFT + (x - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)
    down = _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)
    return round(right, 1), round(down, 1)


def _axes(x_ticks: list[float], y_ticks: list[float], x_label: str) -> str:
    spans = (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1])
    floor = _HEIGHT - _BOTTOM
    parts = []
    for value in y_ticks:
        _, down = _place(x_ticks[0], value, spans)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down}" y2="{down}"/>'
        )
        parts.append(
            f'<text x="{_LEFT - 7}" y="{down + 4}" text-anchor="end">{short(value)}</text>'
        )
    for value in x_ticks:
        right, _ = _place(value, y_ticks[0], spans)
        parts.append(
            f'<text x="{right}" y="{floor + 17}" text-anchor="middle">{short(value)}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">{escape(x_label)}</text>'
    )
    return "".join(parts)


def _line(
    name: str, points: list[tuple[float, float]], colour: int, spans: tuple[Range, Range]
) -> str:
    """The line, a dot at its end, and an invisible target on each point that tells its value."""
    places = [_place(x, y, spans) for x, y in points]
    path = " ".join(f"{right},{down}" for right, down in places)
    end_right, end_down = places[-1]
    targets = "".join(
        f'<circle class="hit" cx="{right}" cy="{down}" r="7">'
        f"<title>{escape(name)} {short(y)} at {short(x)}</title></circle>"
        for (right, down), (x, y) in zip(places, points)
    )
    return (
        f'<polyline class="s{colour}" points="{path}"/>'
        f'<circle class="dot s{colour}" cx="{end_right}" cy="{end_down}" r="3.5"/>{targets}'
    )
