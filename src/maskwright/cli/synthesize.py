"""`maskwright synthesize`: labelled football-pitch scenes, as many as wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def synthesize(
    out: Annotated[Path, typer.Argument(help="New folder for images, masks and boxes.")],
    count: Annotated[int, typer.Option(help="How many scenes.")] = 200,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH.")] = "240x320",
    seed: Annotated[int, typer.Option(help="Which scenes.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Make labelled football-pitch scenes.

    With exact masks and boxes; the same seed makes the same scenes.
    """
    from functools import partial

    import maskwright.jobs as jobs
    from maskwright.cli.console import bar, parse_size, say
    from maskwright.core.files import refuse_output
    from maskwright.synthesis import pitch_scene

    refuse_output(out, "set", option="OUT")
    maker = partial(pitch_scene, size=parse_size(size))
    with bar("making scenes") as progress:
        made = jobs.synthesize(maker, count, out, seed, workers=workers, progress=progress)
    splits = ", ".join(f"{name} {number}" for name, number in made.images.items())
    say(f"{made.made} scenes made in {made.out}: {splits}")
