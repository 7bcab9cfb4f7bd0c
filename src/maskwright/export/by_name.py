"""`maskwright.export`: the command's names and defaults, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import maskwright.formats as formats
from maskwright.architectures.checkpoint import read_card
from maskwright.core.errors import ConfigError
from maskwright.core.files import find_checkpoint, refuse_output
from maskwright.core.machine import thread_count
from maskwright.core.pixels import read_as
from maskwright.core.sample import Dataset
from maskwright.core.telling import Bars, Note, no_bar, no_note
from maskwright.export.bundle import ExportReport
from maskwright.export.checkpoint import export_checkpoint, export_checkpoint_precise
from maskwright.export.precision import PrecisionReport
from maskwright.jobs import find_inputs, tasks_of
from maskwright.refine import Refinement

DEFAULT_OUT = Path("model.mask")


def export(
    checkpoint: Path | str,
    *,
    images: Path | str | None = None,
    data: Dataset | Path | str | None = None,
    precision: str = "auto",
    max_drop: float = 0.5,
    out: Path | str = DEFAULT_OUT,
    probabilities: bool = False,
    postprocess: str = "",
    settings: Mapping[str, Any] | None = None,
    count: int = 16,
    threads: int | None = None,
    note: Note = no_note,
    bar: Bars = no_bar,
) -> ExportReport | PrecisionReport:
    """Write a bundle that runs without torch, if it answers as the checkpoint does on real photos.

        maskwright.export("runs/train", data="data", out="model.mask")

    Args:
        checkpoint: a checkpoint or run folder.
        images: a folder of real photos for the gate: writes fp32.
        data: instead of them the labelled set, a path or what `maskwright.read` gave: the bundle
            is then in the fastest precision that loses little enough on it.
        precision: with `data`: auto, fp32, fp16, bf16 or int8.
        max_drop: with `data`: points of the score that a precision may lose.
        out: the bundle to write.
        probabilities: whether it can give class probabilities, to blend tiles.
        postprocess: let the bundle refine its answers: dense-crf or guided-filter.
        settings: of `postprocess`, such as {"iterations": 3}.
        count: how many of `images` the gate compares.
        threads: to measure with; all cores unless given.
        note: told what was read.
        bar: opens a progress bar of this title.

    Returns:
        What was written and measured; with `data`, also of each precision.

    Raises:
        ModelFileError: no checkpoint, torch and the runtimes disagree, or too much is lost:
            nothing is written.
        ConfigError: neither or both of `images` and `data`; settings that make no sense; an
            output that would replace an input.
        DataError: a split is missing or unlabelled, a photo can't be read.
        MaskwrightError: the folder can't be written or the disk is full.
    """
    thread_count(threads)
    if (images is None) == (data is None):
        raise ConfigError(
            "expected either --images PHOTOS (plain fp32) or --data SET (choose the precision), "
            f"got {'neither' if data is None else 'both'}."
        )
    if settings and not postprocess:
        raise ConfigError(f"expected postprocess beside settings {dict(settings)}, got none.")
    weights = find_checkpoint(Path(checkpoint))
    root = data.root if isinstance(data, Dataset) else data
    refuse_output(out, "bundle", [checkpoint, weights, images, root])
    refined = Refinement.of(postprocess, settings).to_postprocess() if postprocess else None
    if images is not None and precision not in ("auto", "fp32"):
        raise ConfigError(
            f"--precision {precision} needs labelled photos to measure its loss on: give --data "
            "SET instead of --images."
        )
    common: dict[str, Any] = {
        "threads": threads,
        "probabilities": probabilities,
        "postprocess": refined,
    }
    if images is not None:
        return export_checkpoint(weights, out, _photos(images, weights, count), **common)
    dataset = (
        data
        if isinstance(data, Dataset)
        else formats.read(data or Path(), tasks=tasks_of(read_card(weights).tasks))
    )
    for told in dataset.notes:
        note(told)
    with bar("scoring") as progress:
        return export_checkpoint_precise(
            weights,
            out,
            dataset,
            precision=precision,  # type: ignore[arg-type]  # checked there
            max_drop=max_drop,
            progress=progress,
            **common,
        )


def _photos(images: Path | str, weights: Path, count: int) -> Sequence[np.ndarray]:
    """Some of a folder, spread over it, as the checkpoint's card has them."""
    if count < 1:
        raise ConfigError(f"expected --count 1 or more for the gate to compare, got {count}.")
    photos = list(find_inputs(images).values())
    chosen = photos[:: max(1, len(photos) // count)][:count]
    pixels = read_card(weights).pixels
    return [read_as(photo, pixels) for photo in chosen]
