"""A model's speeds, as data and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.architectures.checkpoint import read_card
from maskwright.benchmarks.latency import LatencyRow, compare_latency
from maskwright.core.files import write_json
from maskwright.core.image import read_image
from maskwright.jobs.predict import find_inputs
from maskwright.report import Column, Report, Section, Speed, Table, write_report
from maskwright.report.results import semantic_sections
from maskwright.training.run_folder import environment


def benchmark_model(
    checkpoint: Path | str,
    bundle: Path | str,
    images: Path | str | Sequence[np.ndarray],
    out: Path | str,
    *,
    rounds: int = 30,
    threads: int | None = None,
) -> tuple[list[LatencyRow], Path]:
    """Compare PyTorch with the bundle's runtimes in one run; write latency.json and report.html.

    Args:
        checkpoint: the PyTorch side.
        bundle: what was exported from it.
        images: a folder of photos (sixteen of them are taken), or uint8 RGB arrays.
        out: folder for both files.
        rounds: turns of each contender.
        threads: of all contenders but the one-threaded; None takes every core.

    Returns:
        The rows, PyTorch first, and the page's path.

    Raises:
        ModelFileError: the checkpoint or bundle can't be used.
        DataError: the photos can't be read.
        MaskwrightError: the folder can't be written.
    """
    if isinstance(images, (str, Path)):
        photos = list(find_inputs(images).values())
        images = [read_image(photo) for photo in photos[:: max(1, len(photos) // 16)][:16]]
    rows = compare_latency(Path(checkpoint), bundle, images, rounds=rounds, threads=threads)
    out = Path(out)
    write_json(out / "latency.json", latency_record(rows))
    card = read_card(checkpoint)
    report = Report(
        title=f"Speed of {card.architecture}",
        subtitle=f"{fastest(rows).name} is {fastest(rows).speed_up:.1f} times as fast as PyTorch.",
        sections=[
            *semantic_sections(
                classes=card.classes, speeds=speeds(rows), environment=environment()
            ),
            latency_table(rows),
        ],
    )
    write_report(out / "report.html", report)
    return rows, out / "report.html"


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
            note=row.precision,
        )
        for row in rows
    ]


def latency_table(rows: Sequence[LatencyRow]) -> Section:
    """Every figure of the rows."""
    return Table(
        title="Latency",
        columns=(
            Column(name="Runs with"),
            Column(name="Threads"),
            Column(name="Precision"),
            Column(name="Median ms", format=".2f"),
            Column(name="p95 ms", format=".2f"),
            Column(name="Whole ms", format=".2f", hint="with resize and restoring"),
            Column(name="Gain", format=".2f"),
            Column(name="Agrees", format=".3%", hint="share of pixels, with PyTorch"),
        ),
        rows=[
            (row.name, row.threads, row.precision, row.median_ms, row.p95_ms, row.total_ms,
             row.speed_up, row.agreement)
            for row in rows
        ],
        note="Of the network alone: the uint8 image in, the class map out; contenders take turns.",
    )  # fmt: skip
