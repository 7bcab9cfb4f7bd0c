"""`maskwright benchmark`: PyTorch against the bundle's runtimes, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def benchmark(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint or run folder.")],
    bundle: Annotated[Path, typer.Argument(help="What was exported from it.")],
    images: Annotated[Path, typer.Option(help="Real photos: a folder.")],
    out: Annotated[Path, typer.Option(help="Folder for results and report.")] = Path("benchmark"),
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 30,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
) -> None:
    """Time a model in PyTorch and the runtimes.

    PyTorch, ONNX Runtime and OpenVINO in turn, so that a drifting machine treats all alike; their
    answers are compared, too.
    """
    from maskwright.benchmarks import benchmark_model
    from maskwright.cli.console import find_checkpoint, say, show_table

    rows, page = benchmark_model(
        find_checkpoint(checkpoint), bundle, images, out, rounds=rounds, threads=threads
    )
    show_table(
        ("runs with", "threads", "precision", "median ms", "p95 ms", "fps", "gain", "agrees"),
        [
            (row.name, row.threads, row.precision, f"{row.median_ms:.2f}", f"{row.p95_ms:.2f}",
             f"{row.fps:.1f}", f"{row.speed_up:.2f}x", f"{row.agreement:.3%}")
            for row in rows
        ],
    )  # fmt: skip
    say(f"report: {page}")
