"""`maskwright evaluate`: a checkpoint or bundle on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[Path, typer.Argument(help="A .mask bundle, checkpoint or run folder.")],
    data: Annotated[Path, typer.Argument(help="The labelled set.")],
    split: Annotated[str, typer.Option(help="Which split; val, test or all unless given.")] = "",
    ignore: Annotated[list[str] | None, typer.Option(help="Class to leave out.")] = None,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
    runtime: Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Write the scores as JSON.")] = None,
) -> None:
    """Score a model on labelled photos.

    At the images' own resolution, from one confusion matrix over all pixels.
    """
    import maskwright.formats as formats
    import maskwright.jobs as jobs
    from maskwright.cli.console import bar, open_predictor, say, show_table
    from maskwright.core.files import write_json

    dataset = formats.read(data, ignore=ignore or ())
    for note in dataset.notes:
        say(note)
    predictor = open_predictor(model, threads, runtime)
    jobs.require_same_classes(predictor.card.classes, dataset.classes)
    samples = dataset.split(split) if split else dataset.split("val", "test", "all", "train")
    with bar("scoring") as progress:
        found = jobs.evaluate(samples, predictor.predict, dataset.classes, progress)
    scores = found.scores
    show_table(
        ("class", "IoU", "precision", "recall", "Dice"),
        [
            (name, *(_three(value) for value in values))
            for name, *values in zip(
                scores.names, scores.iou, scores.precision, scores.recall, scores.dice
            )
        ],
    )
    say(f"mIoU {scores.miou:.4f}  FwIoU {scores.fwiou:.4f}  pixel accuracy "
        f"{scores.pixel_accuracy:.4f}  over {len(found.images)} images")  # fmt: skip
    if out is not None:
        write_json(out, found.to_dict())
        say(f"scores: {out}")


def _three(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"
