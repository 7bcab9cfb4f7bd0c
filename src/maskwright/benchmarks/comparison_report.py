"""A comparison -> its page: accuracy against what it costs, and which network at which speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maskwright.benchmarks.comparison_row import ComparisonRow, pareto
from maskwright.report import (
    Column,
    Facts,
    Figure,
    Point,
    Report,
    Scatter,
    Scatters,
    Section,
    Table,
    settings,
)
from maskwright.report.page import Cell

SPEEDS = (10, 30, 100)
"""Images a second that an answer is given for."""


def comparison_report(
    rows: Sequence[ComparisonRow], told: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]
) -> Report:
    """The page of all that is known so far.

    Args:
        rows: of a comparison, trained, timed or neither.
        told: its settings.
        facts: what a measurement must name: "training" and "timing" -> machine, versions ...
    """
    rows = ranked(rows)
    timed = [row for row in rows if row.best_ms is not None]
    minutes = float(told["budget"]) / 60
    speeds: list[Section] = [_latency(timed), at_speeds(timed)] if timed else []
    costs: list[Section] = [_costs(rows)] if timed else []
    machines = [settings(f"Machine of the {name}", own, folded=True) for name, own in facts.items()]
    return Report(
        title=f"{len(rows)} networks on {told['data']}",
        subtitle=_subtitle(rows, minutes),
        headline=_headline(rows, timed),
        sections=[
            *speeds,
            _table(rows),
            *costs,
            _classes(rows),
            _training(rows),
            *_failures(rows),
            *_unsure(rows),
            *machines,
            settings("Settings of all", told, folded=True),
        ],
    )


def ranked(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """The most accurate first, those without a score last."""
    return sorted(rows, key=lambda row: -1.0 if row.score is None else row.score, reverse=True)


def headline_of(rows: Sequence[ComparisonRow]) -> str:
    """The name of the score that rows are compared by: that of the first which has one."""
    return next((row.headline for row in rows if row.score is not None), "score")


def best_within(rows: Sequence[ComparisonRow], fps: float) -> ComparisonRow | None:
    """The most accurate that answers so many images a second; None where none does."""
    fast = [row for row in rows if row.best_ms is not None and row.best_ms <= 1000 / fps]
    return ranked(fast)[0] if fast else None


def at_speeds(rows: Sequence[ComparisonRow]) -> Table:
    """Which network at which speed."""
    found = [(fps, best_within(rows, fps)) for fps in SPEEDS]
    return Table(
        title="Which one at which speed",
        columns=[
            Column(name="Images a second", format="g"), Column(name="The most accurate"),
            Column(name=headline_of(rows), format=".3f"), Column(name="ms", format=".1f"),
            Column(name="Runs with"),
        ],
        rows=[
            (fps, "none is as fast", None, None, None) if row is None
            else (fps, row.name + _by_a_hair(row, fps), row.score, row.best_ms, row.best)
            for fps, row in found
        ],
        note="Of those that answer at least so many images a second here, the network alone.",
    )  # fmt: skip


def _by_a_hair(row: ComparisonRow, fps: float) -> str:
    """What is said of a network whose times don't tell whether it is fast enough."""
    if row.best_span is None or row.best_span[1] <= 1000 / fps:
        return ""
    return f" (unsure: {row.best_span[0]:.1f} to {row.best_span[1]:.1f} ms)"


def _subtitle(rows: Sequence[ComparisonRow], minutes: float) -> str:
    scored = [row for row in rows if row.score is not None]
    if not scored:
        return "None has been trained."
    return (
        f"{scored[0].name} is the most accurate after {minutes:g} minutes of training each: "
        f"{scored[0].headline} {scored[0].score:.3f}."
    )


def _headline(rows: Sequence[ComparisonRow], timed: Sequence[ComparisonRow]) -> list[Figure]:
    figures = [
        Figure(label=row.headline, value=f"{row.score:.3f}", note=row.name)
        for row in rows[:1]
        if row.score is not None
    ]
    for fps in SPEEDS:
        row = best_within(timed, fps)
        if row is not None and row.score is not None:
            note = f"{row.name}, {row.best_ms:.1f} ms"
            label = f"{row.headline} at {fps} fps"
            figures.append(Figure(label=label, value=f"{row.score:.3f}", note=note))
    return figures


def _latency(rows: Sequence[ComparisonRow]) -> Scatters:
    front = {row.name for row in pareto(rows, most=len(rows))}
    plot = Scatter(
        title="Accuracy against latency",
        points=[
            Point(
                name=row.name,
                x=row.best_ms or 0.0,
                y=row.score or 0.0,
                strong=row.name in front,
                from_x=row.basic_ms,
            )
            for row in rows
        ],
        x_label="ms an image, the network alone",
        y_label=headline_of(rows),
    )
    return Scatters(
        title="Accuracy against latency",
        plots=[plot],
        note="Each dot is a network in its fastest runtime; the faint line comes from PyTorch. No "
        "network is better in both than those on the blue line.",
    )


def _costs(rows: Sequence[ComparisonRow]) -> Scatters:
    costs = {
        "PyTorch latency": ("basic_ms", "ms an image"),
        "Parameters": ("parameters", "parameters"),
        "Operations": ("gflops", "GFLOP an image"),
        "Memory": ("peak_mib", "MiB of a process that only answers"),
    }
    plots = []
    for title, (field, label) in costs.items():
        front = {row.name for row in pareto(rows, len(rows), field)}
        points = [
            Point(
                name=row.name,
                x=float(getattr(row, field)),
                y=row.score,
                strong=row.name in front,
            )
            for row in rows
            if row.score is not None and getattr(row, field) is not None
        ]
        plots.append(Scatter(title=title, points=points, x_label=label, y_label=headline_of(rows)))
    return Scatters(title="Accuracy against other costs", plots=plots)


def _table(rows: Sequence[ComparisonRow]) -> Table:
    columns: list[tuple[Column, Callable[[ComparisonRow], Cell]]] = [
        (Column(name="Network"), lambda row: row.name),
        (Column(name=headline_of(rows), format=".3f", hint="by PyTorch, on the validation split"),
         lambda row: row.score),
        (Column(name="shipped", format=".3f", hint="of the fastest runtime's answers"),
         lambda row: row.best_score),
        (Column(name="95 %", hint="of that, over the images"), _interval),
        (Column(name="test", format=".3f", hint="on the test split, by PyTorch"),
         lambda row: row.test_score),
        (Column(name="boundary", format=".3f", hint="mean boundary IoU, shipped"),
         lambda row: row.boundary_iou),
        (Column(name="thin", format=".3f", hint="mean IoU in thin parts, shipped"),
         lambda row: row.thin_iou),
        (Column(name="PyTorch", format=".1f", hint="ms"), lambda row: row.basic_ms),
        (Column(name="Best", format=".1f", hint="ms"), lambda row: row.best_ms),
        (Column(name="95 % ms", hint="of that, over the turns"), lambda row: _span(row.best_span)),
        (Column(name="by"), lambda row: row.best),
        (Column(name="M par.", format=".2f"),
         lambda row: None if row.parameters is None else row.parameters / 1e6),
        (Column(name="GFLOP", format=".1f"), lambda row: row.gflops),
        (Column(name="MiB", format=".0f", hint="of a process that only answers"),
         lambda row: row.peak_mib),
    ]  # fmt: skip
    note = "The same time, recipe and data for all; scored are the last weights, averaged."
    return _filled("Every figure", columns, rows, note)


def _training(rows: Sequence[ComparisonRow]) -> Table:
    columns: list[tuple[Column, Callable[[ComparisonRow], Cell]]] = [
        (Column(name="Network"), lambda row: row.name),
        (Column(name="Initial weights", hint="of the encoder"), lambda row: row.initial_weights),
        (Column(name="Epochs", format=".1f"), lambda row: row.epochs),
        (Column(name="GiB", format=".1f", hint="that training had resident at most"),
         lambda row: None if row.training_mib is None else row.training_mib / 1024),
    ]  # fmt: skip
    return _filled("Training", columns, rows, "")


def _filled(
    title: str,
    columns: Sequence[tuple[Column, Callable[[ComparisonRow], Cell]]],
    rows: Sequence[ComparisonRow],
    note: str,
) -> Table:
    """Without the columns that no row fills."""
    filled = [
        (column, value) for column, value in columns if any(value(row) is not None for row in rows)
    ]
    return Table(
        title=title,
        columns=[column for column, _ in filled],
        rows=[[value(row) for _, value in filled] for row in rows],
        note=note,
    )


def _span(span: tuple[float, float] | None) -> str | None:
    return None if span is None else f"{span[0]:.1f}–{span[1]:.1f}"


def _interval(row: ComparisonRow) -> str | None:
    return None if row.interval is None else f"{row.interval[0]:.3f}–{row.interval[1]:.3f}"


def _classes(rows: Sequence[ComparisonRow]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.of_classes))
    return Table(
        title="Each class",
        columns=[Column(name="Network"), *(Column(name=name, format=".2f") for name in names)],
        rows=[
            (row.name, *(row.of_classes.get(name) for name in names))
            for row in rows
            if row.of_classes
        ],
    )


def _failures(rows: Sequence[ComparisonRow]) -> list[Section]:
    facts = [(row.name, row.error) for row in rows if row.error]
    return [Facts(title="What failed", facts=facts)] if facts else []


def _unsure(rows: Sequence[ComparisonRow]) -> list[Section]:
    facts = [(row.name, row.unsure) for row in rows if row.unsure]
    return [Facts(title="What the times leave open", facts=facts)] if facts else []
