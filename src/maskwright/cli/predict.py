"""`maskwright predict`: a bundle on photos, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] PHOTOS...",
            help="A .mask bundle, checkpoint or run folder; then photos, or one folder of them. "
            "Without a model, the one for football pitches that ships with Maskwright.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    overwrite: Annotated[bool, typer.Option(help="Write into a folder that has files.")] = False,
    skip_bad: Annotated[bool, typer.Option(help="Go on past damaged photos; counted.")] = False,
    tile: Annotated[
        str,
        typer.Option(
            help="For images much larger than the model's input: overlapping tiles of that size "
            "(auto), or of HEIGHTxWIDTH pixels of the image."
        ),
    ] = "",
    overlap: Annotated[
        float | None, typer.Option(help="With --tile: share of a tile's side; 0.25 unless given.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
    runtime: Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")] = "auto",
) -> None:
    """Segment photos.

    Writes masks as palette PNGs, overlays to look at, and the objects where the model finds any.
    """
    import maskwright.jobs as jobs
    from maskwright.cli.console import bar, open_predictor, put_tiles, say, split_model
    from maskwright.cli.refining import refine_as_asked

    model, images = split_model(paths)
    whole = open_predictor(model, threads, runtime)
    refine_as_asked(whole)
    predictor = put_tiles(whole, tile, overlap)
    inputs: Path | list[Path] = images[0] if len(images) == 1 else images
    with bar("predicting") as progress:
        summary = jobs.predict_files(
            predictor, inputs, out, overwrite=overwrite, skip_bad=skip_bad, progress=progress
        )
    for path, why in summary.bad:
        say(f"skipped {path}: {why}")
    times = ", ".join(f"{name} {1000 * spent:.1f} ms" for name, spent in summary.mean_times.items())
    facts = predictor.runtime
    say(f"{summary.images} images with {facts.get('name')}: {times} on average")
    say(f"masks and overlays: {summary.out}")
