"""`maskwright benchmark`: models in PyTorch and the runtimes, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from maskwright.benchmarks import LatencyRow, Study


def benchmark(
    model: Annotated[
        list[str], typer.Argument(help="Run folders, checkpoints, bundles, architectures' names.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="What was exported from the one checkpoint.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Photos: a folder; generated scenes unless given.")
    ] = None,
    size: Annotated[
        str, typer.Option(help="Input of architectures given by name, HEIGHTxWIDTH.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for results and report.")] = Path("benchmark"),
    rounds: Annotated[int, typer.Option(help="Turns of each contender, of 3 answers.")] = 30,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="torch.compile, too; takes minutes.")
    ] = True,
    int8: Annotated[
        bool, typer.Option("--int8", help="int8, too, calibrated on the images: for its speed.")
    ] = False,
    against_plain: Annotated[
        bool, typer.Option("--against-plain", help="OpenVINO's own conversion by hand, too.")
    ] = False,
) -> None:
    """Time models in PyTorch and the runtimes.

    PyTorch, ONNX Runtime and OpenVINO in turn, so that a drifting machine treats all alike; their
    answers are compared, too. Several models are timed in the same run.
    """
    from maskwright.benchmarks import benchmark_models
    from maskwright.cli.console import parse_size, say
    from maskwright.core.files import refuse_output

    refuse_output(out, "benchmark", [*model, bundle, images])
    study = benchmark_models(
        model,
        out,
        bundle=bundle,
        images=images,
        size=parse_size(size) if size else None,
        rounds=rounds,
        threads=threads,
        compiled=compiled,
        device=device,  # type: ignore[arg-type]
        int8=int8,
        against_plain=against_plain,
    )
    _show(study)
    say(f"report: {study.page}")


def _show(study: Study) -> None:
    from maskwright.benchmarks.latency import DOUBT
    from maskwright.cli.console import say, show_table

    show_table(
        ("model", "runs with", "threads", "precision", "median ms", "p95 ms", "p99 ms", "fps",
         "gain", "agrees", "roofline", "peak MiB", "file MiB"),
        [_cells(row) for row in study.rows],
    )  # fmt: skip
    if any((row.roofline or 0) > 1 for row in study.rows):
        say(DOUBT)
    for one in study.skipped:
        say(f"{one.model}, {one.name}: not measured; {one.why}")
    for model, items in study.published.items():
        for item in items:
            say(f"{model}, published, not measured here: {item.what}: {item.value:g} "
                f"({item.source})")  # fmt: skip
    for each in study.rooflines:
        ceilings = ", ".join(f"{name} {value:.0f}" for name, value in each.gflops.items())
        say(f"ceilings of {each.processor}, threads {each.threads}: {ceilings} Gop/s, "
            f"copying {each.gigabytes:.1f} GB/s")  # fmt: skip


def _cells(row: LatencyRow) -> tuple[object, ...]:
    share = row.told_roofline or "–"
    peak = "–" if row.peak_mib is None else f"{row.peak_mib:.0f}"
    size = "–" if row.bytes_on_disk is None else f"{row.bytes_on_disk / 2**20:.2f}"
    return (row.model, row.name, row.threads, row.told_precision, f"{row.median_ms:.2f}",
            f"{row.p95_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.fps:.1f}", f"{row.speed_up:.2f}x",
            f"{row.agreement:.3%}", share, peak, size)  # fmt: skip
