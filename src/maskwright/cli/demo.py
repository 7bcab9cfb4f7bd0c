"""`maskwright demo`: the whole way on scenes that it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything.")] = Path("demo"),
    scenes: Annotated[int, typer.Option(help="How many scenes to make.")] = 400,
    budget: Annotated[str, typer.Option(help="Time for training.")] = "2m30s",
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the scenes.")] = "240x320",
    seed: Annotated[int, typer.Option(help="Of scenes and training.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier demo.")] = False,
) -> None:
    """Show the whole way on generated scenes.

    Makes labelled scenes, trains on them, scores, exports, benchmarks and writes a report: under
    six minutes on two cores.
    """
    from maskwright.benchmarks import run_demo
    from maskwright.cli.console import console, parse_size, say
    from maskwright.core.files import refuse_output
    from maskwright.training import Terminal, parse_duration

    refuse_output(out, "demo")
    result = run_demo(
        out,
        scenes=scenes,
        seconds=parse_duration(budget),
        size=parse_size(size),
        seed=seed,
        overwrite=overwrite,
        progress=Terminal(console),
    )
    head = result.headline
    say(f"{head.name:<10}{head.value:.3f} on {result.test_images} scenes that training never saw")
    say(f"speed     {result.fps:.0f} images a second with {result.runtime}: "
        f"{result.speed_up:.1f} times PyTorch")  # fmt: skip
    say(f"bundle    {result.bundle} ({result.bundle.stat().st_size / 2**20:.1f} MiB)")
    say(f"report    {result.report}")
