"""`maskwright.train`: the command's names and defaults, from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import maskwright.formats as formats
from maskwright.architectures import architecture
from maskwright.architectures.darknet_files import read_cfg
from maskwright.core.files import refuse_output
from maskwright.core.pixels import RGB, Pixels
from maskwright.core.sample import Dataset, with_pixels
from maskwright.core.telling import Bars, no_bar
from maskwright.training import run
from maskwright.training.callbacks import Callback
from maskwright.training.config import parse_duration
from maskwright.training.initial_weights import find_weights, read_initial_weights
from maskwright.training.loggers import DEFAULT_LOGS
from maskwright.training.progress import Silent
from maskwright.training.recipe import LENGTHS, read_recipe, resolve
from maskwright.training.result import TrainResult

DEFAULT_MODEL = "unet-lite0"
DEFAULT_OUT = Path("runs/train")


def train(
    data: Dataset | Path | str | Sequence[Path | str],
    model: str | None = None,
    *,
    out: Path | str = DEFAULT_OUT,
    weights: Path | str = "",
    recipe: Path | str | None = None,
    ignore: Iterable[str] = (),
    channels: int = 3,
    highest: int = 255,
    overwrite: bool = False,
    logs: Sequence[str] = DEFAULT_LOGS,
    callbacks: Sequence[Callback] = (),
    progress: Callback | None = None,
    downloading: Bars = no_bar,
    **settings: Any,
) -> TrainResult:
    """Train on labelled photos, score, keep the best weights and write a report.

        maskwright.train("data", budget="30m", out="runs/mine", loss="ce + dice")

    Args:
        data: the labelled set: a folder, a COCO file, or what `maskwright.read` gave; several
            folders are read as one set.
        model: an architecture's name, or a Darknet .cfg of one; that of the recipe, or
            "unet-lite0".
        out: folder of the run.
        weights: initial weights: a file, an address, or the name of one of the authors'.
        recipe: a file of settings; those given here come first.
        ignore: classes to leave out.
        channels, highest: of the images: how many, and the value of full brightness.
        overwrite: replace a run that lies in `out`.
        logs: where figures go: csv, tensorboard, mlflow, wandb.
        callbacks: your own, told what happens; an error in one ends the run.
        progress: told the same, and what was decided about the data.
        downloading: opens a bar of this title; gives what is called with (bytes, of all).
        **settings: of the run and of the architecture, and augmentation={"flip": 0.0}, those of
            augmentation; `maskwright train --list-settings` tells them all. The length is one of
            budget (seconds, or "30m"), epochs and steps; without one it is 30 minutes.

    Raises:
        ConfigError, DataError, MaskwrightError: as `training.train`; unknown settings (the nearest
            is told).
    """
    first = int(os.environ.get("RANK", 0)) == 0  # of many processes, only that one tells
    note = (progress if progress and first else Silent()).note
    chosen = {} if recipe is None else read_recipe(recipe)
    if any(settings.get(name) is not None for name in LENGTHS):
        chosen = {name: value for name, value in chosen.items() if name not in LENGTHS}
    chosen |= _flat(settings)
    if isinstance(chosen.get("budget"), str):
        chosen["budget"] = parse_duration(chosen["budget"])
    named = model or str(chosen.pop("model", DEFAULT_MODEL))
    chosen.pop("model", None)
    if named.endswith(".cfg"):
        named, described = read_cfg(named)
        note(f"the .cfg describes {named}.")
        chosen = described | chosen
    ignored = list(ignore)
    if isinstance(data, Dataset) and not ignored:
        dataset = data
    else:
        source = data.root if isinstance(data, Dataset) else data
        roots = formats.roots_of(source) if isinstance(source, (str, Path)) else source
        refuse_output(Path(out), "run", [*map(Path, roots), weights or None])
        dataset = formats.read(source, ignore=ignored, tasks=architecture(named).card.tasks)
    if (channels, highest) != (RGB.channels, RGB.highest):
        dataset = with_pixels(dataset, Pixels(channels=channels, highest=highest))
    for told in dataset.notes:
        note(told)
    config = resolve(dataset, named, chosen, pretrained=not weights)
    initial = None
    if weights:
        with downloading("initial weights") as step:
            path = find_weights(str(weights), config.architecture, note, step)
        initial = read_initial_weights(path, config.architecture, config.options)
    return run.train(
        config,
        dataset,
        out,
        weights=initial,
        overwrite=overwrite,
        given=frozenset(chosen),
        progress=progress,
        logs=logs,
        callbacks=callbacks,
    )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """augmentation={"flip": 0} -> "augmentation.flip"; options={...} -> the architecture's own."""
    found = dict(settings)
    for group, prefix in (("augmentation", "augmentation."), ("options", "")):
        if isinstance(inner := found.get(group), Mapping):
            del found[group]
            found |= {f"{prefix}{name}": value for name, value in inner.items()}
    return found
