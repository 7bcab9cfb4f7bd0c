"""The rows of a training log -> the panels of its curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maskwright.report.page import Curves, Panel, Series

POINTS = 150
"""A longer series is drawn as averages of so many groups of neighbours."""

_PANELS = {
    "Loss": ("loss",),
    "Score": ("mean_score", "iou", "accuracy", "dice", "ap_", "pq", "map", "boundary_f"),
    "Learning rate": ("lr", "learning_rate"),
}


def history_curves(history: Sequence[Mapping[str, Any]]) -> Curves:
    """Loss, scores and learning rate over the steps (or epochs, or rows).

    Args:
        history: rows as in a CSV, numbers or their text; what is blank or missing is left out, as
            are columns that are none of the three.
    """
    axis = next((name for name in ("step", "epoch") if any(name in row for row in history)), "row")
    names = list(dict.fromkeys(name for row in history for name in row))
    panels, averaged = [], False
    for title, words in _PANELS.items():
        chosen = [name for name in names if _belongs(name, words)]
        series = [_series(history, axis, name) for name in chosen]
        series = [one for one in series if one.x]
        averaged = averaged or any(len(one.x) > POINTS for one in series)
        if series:
            panels.append(
                Panel(
                    title=title,
                    series=[_averages(one) for one in series],
                    x_label=axis,
                    note=_best(series[0], axis) if title == "Score" else "",
                )
            )
    note = "Each point is the average of several neighbouring rows of the log." if averaged else ""
    return Curves(title="Training", panels=panels, note=note)


def _belongs(name: str, words: Iterable[str]) -> bool:
    lower = name.lower()
    if "lr" in words:
        return lower in words or lower.startswith(("lr_", "lr/"))
    return any(word in lower for word in words)


def _series(history: Sequence[Mapping[str, Any]], axis: str, name: str) -> Series:
    points = []
    for number, row in enumerate(history):
        x = float(number) if axis == "row" else _value(row.get(axis))
        y = _value(row.get(name))
        if x is not None and y is not None:
            points.append((x, y))
    return Series(name=name, x=[x for x, _ in points], y=[y for _, y in points])


def _value(cell: Any) -> float | None:
    """A finite number, or None for blanks, words, NaN and infinity."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _averages(series: Series) -> Series:
    size = math.ceil(len(series.x) / POINTS)
    if size <= 1:
        return series
    groups = range(0, len(series.x), size)
    return Series(
        name=series.name,
        x=[_mean(series.x[start : start + size]) for start in groups],
        y=[_mean(series.y[start : start + size]) for start in groups],
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _best(series: Series, axis: str) -> str:
    value, x = max(zip(series.y, (-x for x in series.x)))
    return f"Best {series.name}: {value:.3f} at {axis} {-x:,.0f}."
