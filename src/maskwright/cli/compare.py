"""`maskwright compare`: which network is worth its time on this data and this processor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from maskwright.benchmarks import Comparison


def compare(
    data: Annotated[Path, typer.Argument(help="The labelled set: a folder or a COCO file.")],
    models: Annotated[
        str,
        typer.Option(
            help="Names with commas between (maskwright models); small: a small one of each family."
        ),
    ] = "",
    pareto_of: Annotated[
        Path | None,
        typer.Option(help="An earlier comparison, whose best at each speed are compared again."),
    ] = None,
    most: Annotated[int, typer.Option(help="Of those, at most so many.")] = 8,
    budget: Annotated[str, typer.Option(help="Training for each, such as 5m.")] = "5m",
    size: Annotated[str, typer.Option(help="Network input, HEIGHTxWIDTH.")] = "",
    out: Annotated[Path, typer.Option(help="Folder; run again, it goes on.")] = Path("comparison"),
    jobs: Annotated[int, typer.Option(help="Networks that train side by side.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Of each training; the jobs share the cores unless given.")
    ] = None,
    answer_threads: Annotated[
        int | None, typer.Option(help="Of the timed answers; all cores unless given.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Timed turns of each model, of 3 answers; 0: later.")
    ] = 20,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of all, such as lr=3e-4 or batch=4 (repeatable)."),
    ] = None,
) -> None:
    """Train several networks alike and compare them.

    Each gets the same time on the same data; accuracy stands against latency (PyTorch, and the
    fastest runtime), parameters, operations and memory, in a table and on a page. What is done is
    kept after each model; one that fails doesn't stop the rest; the same command goes on.
    """
    import maskwright.api as api
    from maskwright.cli.console import parse_settings, parse_size, say

    comparison = api.compare(
        data,
        models,
        pareto_of=pareto_of,
        most=most,
        budget=budget,
        size=parse_size(size) if size else None,
        out=out,
        jobs=jobs,
        threads=threads,
        answer_threads=answer_threads,
        rounds=rounds,
        settings=parse_settings(set_ or ()),
        note=say,
    )
    _show(comparison)
    say(f"report: {out / 'report.html'}")


def _show(comparison: Comparison) -> None:
    from maskwright.benchmarks.comparison_report import headline_of, ranked
    from maskwright.cli.console import say, show_table

    rows = ranked(list(comparison.rows.values()))
    show_table(
        ("model", headline_of(rows), "shipped", "test", "boundary", "PyTorch ms", "best ms", "by",
         "M par.", "GFLOP", "MiB", "epochs"),
        [
            (
                row.name, _told(row.score), _told(row.best_score), _told(row.test_score),
                _told(row.boundary_iou), _told(row.basic_ms, 1), _told(row.best_ms, 1),
                row.best or "–", _told(row.parameters and row.parameters / 1e6, 2),
                _told(row.gflops, 1), _told(row.peak_mib, 0), _told(row.epochs, 1),
            )
            for row in rows
        ],
    )  # fmt: skip
    for row in rows:
        for told in filter(None, (row.error, row.unsure)):
            say(f"{row.name}: {told}")


def _told(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
