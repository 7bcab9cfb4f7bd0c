"""`maskwright export`: a checkpoint -> a bundle, through the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint or run folder.")],
    images: Annotated[Path, typer.Option(help="Real photos for the gate: a folder.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")] = Path("model.mask"),
    count: Annotated[int, typer.Option(help="How many photos the gate compares.")] = 16,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
) -> None:
    """Write a bundle that runs without torch.

    One file, written only if it answers as the checkpoint does on real photos.
    """
    from maskwright.cli.console import find_checkpoint, say
    from maskwright.core.errors import ConfigError
    from maskwright.core.image import read_image
    from maskwright.export import export_checkpoint
    from maskwright.jobs import find_inputs

    if count < 1:
        raise ConfigError(f"expected --count 1 or more for the gate to compare, got {count}.")
    photos = list(find_inputs(images).values())
    chosen = photos[:: max(1, len(photos) // count)][:count]
    report = export_checkpoint(
        find_checkpoint(checkpoint), out, [read_image(photo) for photo in chosen], threads=threads
    )
    for runtime, share in report.agreement.items():
        say(f"{runtime} agrees with torch on {share:.4%} of the pixels of {report.images} images "
            f"(worst {report.worst[runtime]:.4%})")  # fmt: skip
    say(f"bundle: {report.path} ({report.bytes_on_disk / 2**20:.2f} MiB)")
