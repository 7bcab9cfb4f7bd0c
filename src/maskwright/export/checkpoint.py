"""`export_checkpoint`: the weights of a run -> a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.export.bundle import ExportReport, export


def export_checkpoint(
    checkpoint: Path | str,
    path: Path | str,
    images: Sequence[np.ndarray],
    *,
    threads: int | None = None,
) -> ExportReport:
    """Export what a run trained, through the gate of `export`.

    Args:
        checkpoint: a .safetensors file that `train` wrote.
        path: of the bundle, ".mask".
        images: real ones for the gate, uint8 RGB [H, W, 3].
        threads: for the comparison; None takes every core.

    Raises:
        ModelFileError: no checkpoint, or torch and the runtimes disagree.
        ConfigError: no images.
        MaskwrightError: the folder can't be written or the disk is full.
    """
    network, card = load_checkpoint(checkpoint)
    return export(network, card, path, images, threads=threads)
