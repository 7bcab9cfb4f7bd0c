"""Measured speeds -> data for JSON, and sections of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from maskwright.benchmarks.contenders import Skipped
from maskwright.benchmarks.latency import DOUBT, LatencyRow
from maskwright.report import Column, Facts, Report, Section, Speed, Table, settings
from maskwright.report.page import Cell
from maskwright.report.results import speed_bars
from maskwright.training.run_folder import environment


def latency_record(rows: Sequence[LatencyRow]) -> dict[str, Any]:
    """The rows with what a measurement must name: command, machine, date."""
    return {
        **environment(),
        "rows": [row.to_dict() for row in rows],
    }


def fastest(rows: Sequence[LatencyRow]) -> LatencyRow:
    """The row with the smallest median."""
    return min(rows, key=lambda row: row.median_ms)


def speeds(rows: Sequence[LatencyRow]) -> list[Speed]:
    """The rows as the report's bars, PyTorch first."""
    return [
        Speed(
            label=row.name if row.threads == 1 else f"{row.name}, {row.threads} threads",
            milliseconds=row.median_ms,
            note=row.told_precision,
        )
        for row in rows
    ]


def latency_table(rows: Sequence[LatencyRow]) -> Section:
    """Every figure of the rows; a column that none of them fills is left out."""
    several = len({row.model for row in rows}) > 1
    columns: list[tuple[Column, Callable[[LatencyRow], Cell]]] = [
        (Column(name="Model"), lambda row: row.model if several else None),
        (Column(name="Runs with"), lambda row: row.name),
        (Column(name="Threads"), lambda row: row.threads),
        (Column(name="Computes in", hint="int8: the share of its operations; the rest in floats"),
         lambda row: row.told_precision),
        (Column(name="Median", format=".2f", hint="ms"), lambda row: row.median_ms),
        (Column(name="p95", format=".2f", hint="ms"), lambda row: row.p95_ms),
        (Column(name="p99", format=".2f", hint="ms"), lambda row: row.p99_ms),
        (Column(name="Whole", format=".2f", hint="ms, with resize and restoring; the median"),
         lambda row: row.total_ms),
        (Column(name="Gain", format=".2f", hint="over the model's first row"),
         lambda row: row.speed_up),
        (Column(name="Agrees", format=".2%", hint="share of pixels, with the model's first row"),
         lambda row: row.agreement),
        (Column(name="Roof", format=".0%", hint="share of what the measured ceilings allow"),
         lambda row: row.told_roofline if (row.roofline or 0) > 1 else row.roofline),
        (Column(name="Peak", format=".0f", hint="MiB of a process that only predicts, no torch"),
         lambda row: row.peak_mib),
        (Column(name="File", format=".1f", hint="MiB"),
         lambda row: None if row.bytes_on_disk is None else row.bytes_on_disk / 2**20),
    ]  # fmt: skip
    filled = [
        (column, value) for column, value in columns if any(value(row) is not None for row in rows)
    ]
    return Table(
        title="Latency",
        columns=[column for column, _ in filled],
        rows=[[value(row) for _, value in filled] for row in rows],
        note="In ms, of the network alone: the uint8 image in, the class map out; contenders take "
        "turns. Peak (of memory) and File are in MiB."
        + (f" {DOUBT}" if any((row.roofline or 0) > 1 for row in rows) else ""),
    )


def study_report(
    rows: Sequence[LatencyRow], skipped: Sequence[Skipped], record: Mapping[str, Any]
) -> Report:
    """The page: bars of each model, every figure, what others published, the machine.

    Args:
        rows: a model's contenders together.
        skipped: what could not be run.
        record: as it is written to latency.json.
    """
    models = {model: list(group) for model, group in groupby(rows, key=lambda row: row.model)}
    bars = [
        replace(speed_bars(speeds(group)), title=f"{model} at {told_size(group[0].size)}")
        for model, group in models.items()
    ]
    known = {"rows", "skipped", "rooflines", "published_gpu"}
    facts = {name: value for name, value in record.items() if name not in known}
    machine = settings("Environment", facts)
    return Report(
        title="Speed of " + ", ".join(models),
        subtitle=" ".join(_sentence(model, group) for model, group in models.items()),
        sections=[
            *bars,
            latency_table(rows),
            *_published(record["published_gpu"]),
            *_skipped(skipped),
            _ceilings(record["rooflines"]),
            machine,
        ],
    )


def told_size(size: Sequence[int]) -> str:
    """ "416x416", height first."""
    return f"{size[0]}x{size[1]}"


def _sentence(model: str, rows: Sequence[LatencyRow]) -> str:
    best = fastest(rows)
    found = f"{model}: {best.median_ms:.3g} ms with {best.name}"
    return f"{found}, {best.speed_up:.1f} times as fast as {rows[0].name}."


def _published(published: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Section]:
    rows = [
        (model, item["what"], item["value"], item["source"])
        for model, items in published.items()
        for item in items
    ]
    if not rows:
        return []
    columns = [Column(name="Model"), Column(name="What"), Column(name="fps", format="g"),
               Column(name="Source")]  # fmt: skip
    note = "Published by others on their machines at their sizes; not measured here."
    return [Table(title="Published GPU figures", columns=columns, rows=rows, note=note)]


def _skipped(skipped: Sequence[Skipped]) -> list[Section]:
    facts = [(f"{one.model}: {one.name}", one.why) for one in skipped]
    return [Facts(title="Not measured", facts=facts)] if facts else []


def _ceilings(rooflines: Sequence[Mapping[str, Any]]) -> Section:
    facts = [
        (
            f"{each['threads']} thread{'s' if each['threads'] > 1 else ''}",
            ", ".join(f"{name} {value:.0f} Gop/s" for name, value in each["gflops"].items())
            + f", copying {each['gigabytes']:.1f} GB/s",
        )
        for each in rooflines
    ]
    note = "The fastest matrix product of each precision and the fastest copy, before or after the "
    note += "models. Operations of int8 are of integers."
    return Facts(title="This machine's ceilings", facts=facts, note=note)
