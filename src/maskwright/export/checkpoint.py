"""The weights of a run -> a bundle: plainly, or in the best precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.architectures.contract import Network
from maskwright.core.card import ModelCard, Postprocess
from maskwright.core.sample import Dataset, with_pixels
from maskwright.export.bundle import ExportReport, export
from maskwright.export.precision import PrecisionReport, Tell, export_precise
from maskwright.export.routes import PrecisionName


def export_checkpoint(
    checkpoint: Path | str,
    path: Path | str,
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    probabilities: bool = False,
    postprocess: Postprocess | None = None,
) -> ExportReport:
    """Export what a run trained, through the gate of `export`.

    Args:
        checkpoint: a .safetensors file that `train` wrote.
        path: of the bundle, ".mask".
        images: real ones for the gate, uint8 RGB [H, W, 3] or as the pixels of its card tell.
        threads: for the comparison; None takes every core.
        probabilities: see `export`.
        postprocess: for the card: the bundle is exported with probabilities then, and what it
            answers, and what is compared, is refined.

    Raises:
        ModelFileError: no checkpoint, or torch and the runtimes disagree.
        ConfigError: no images, or probabilities of a network that has none.
        MaskwrightError: the folder can't be written or the disk is full.
    """
    network, card = _load(checkpoint, postprocess)
    return export(network, card, path, images, threads=threads, probabilities=probabilities)


def export_checkpoint_precise(
    checkpoint: Path | str,
    path: Path | str,
    dataset: Dataset,
    *,
    precision: PrecisionName | Literal["auto"] = "auto",
    max_drop: float = 0.5,
    threads: int | None = None,
    probabilities: bool = False,
    postprocess: Postprocess | None = None,
    progress: Tell | None = None,
) -> PrecisionReport:
    """Export what a run trained, in the precision that `export_precise` chooses.

    Args:
        checkpoint: a .safetensors file that `train` wrote.
        path: of the bundle, ".mask".
        dataset: that it was trained on, with its splits; read as the pixels of the card tell.
        precision, max_drop, threads, probabilities, progress: see `export_precise`.
        postprocess: see `export_checkpoint`.

    Raises:
        ModelFileError: no checkpoint, torch and the runtimes disagree, or too much is lost.
        ConfigError: a precision that is unknown or that this machine lacks, or other classes.
        DataError: a split is missing or unlabelled.
        MaskwrightError: the folder can't be written or the disk is full.
    """
    network, card = _load(checkpoint, postprocess)
    return export_precise(
        network,
        card,
        path,
        with_pixels(dataset, card.pixels),
        precision=precision,
        max_drop=max_drop,
        threads=threads,
        probabilities=probabilities,
        progress=progress,
    )


def _load(checkpoint: Path | str, postprocess: Postprocess | None) -> tuple[Network, ModelCard]:
    network, card = load_checkpoint(checkpoint)
    return network, replace(card, postprocess=postprocess or card.postprocess)
