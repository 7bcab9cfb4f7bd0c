"""The input size that suits a data set, and how its images come to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from maskwright.core.sample import Dataset
from maskwright.data.augment import Fit
from maskwright.training.config import TrainConfig

LARGEST_AREA = 512 * 512
"""Pixels: above it, a CPU trains too slowly for a default."""

ASPECT_KEPT = 1.1
"""An aspect that changes by less is within what training draws, and is stretched."""


def suggest_size(dataset: Dataset, largest_area: int = LARGEST_AREA) -> tuple[int, int]:
    """(height, width) of the input, reduced to an area: that of the images, or their mean.

    Where at least half of the images share a size, it is theirs, in multiples of 8. Else it is the
    mean area at the median aspect, in multiples of 32: the commonest of many sizes is an accident,
    and a small one shrinks what the others show (of nuclei, 256x256 is the commonest and the
    least).

    Args:
        dataset: up to 50 of its images are opened.
        largest_area: in pixels.

    Raises:
        DataError: an image can't be read.
    """
    samples = [sample for split in dataset.splits.values() for sample in split]
    chosen = samples[:: max(1, len(samples) // 50)]
    sizes = [sample.read_image().shape[:2] for sample in chosen]
    (height, width), count = Counter(sizes).most_common(1)[0]
    multiple = 8
    if 2 * count < len(sizes):
        side = float(np.mean([one[0] * one[1] for one in sizes])) ** 0.5
        aspect = float(np.median([one[1] / one[0] for one in sizes]))
        height, width, multiple = side / aspect**0.5, side * aspect**0.5, 32
    factor = min(1.0, (largest_area / (height * width)) ** 0.5)
    height, width = (max(32, multiple * round(one * factor / multiple)) for one in (height, width))
    return height, width


def choose_fit(config: TrainConfig, sizes_N2: np.ndarray, note: Callable[[str], None]) -> Fit:
    """How images come to the input: as set; "auto" stretches where no aspect changes much.

    Args:
        config: with `size` and `resize`.
        sizes_N2: (height, width) of the training images.
        note: told what is chosen, and what it does to the images.
    """
    aspects_N = sizes_N2[:, 1] / sizes_N2[:, 0]
    changes_N = (config.size[1] / config.size[0]) / aspects_N
    changed = int((np.maximum(changes_N, 1 / changes_N) > ASPECT_KEPT).sum())
    if not changed:
        return "stretch" if config.resize == "auto" else config.resize
    fit: Fit = "letterbox" if config.resize == "auto" else config.resize
    lowest, highest = aspects_N.min(), aspects_N.max()
    seen = f"{lowest:.2f}" if lowest == highest else f"{lowest:.2f} to {highest:.2f}"
    does = {
        "letterbox": "they keep their aspect and are padded (--resize letterbox)",
        "stretch": "they are stretched, here and in use (--resize stretch)",
    }
    note(
        f"{changed} of {len(sizes_N2)} training images have another aspect (width / height {seen}) "
        f"than the input {config.size[0]}x{config.size[1]}: {does[fit]}."
    )
    return fit
