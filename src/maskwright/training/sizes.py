"""The input size that suits a data set, and how its images come to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from maskwright.core.resize import Fit
from maskwright.core.sample import Dataset
from maskwright.training.config import TrainConfig

LARGEST_AREA = 512 * 512
"""Pixels: above it, a CPU trains too slowly for a default."""

LARGEST_AREA_OF_MANY = 640 * 640
"""Pixels: up to it, an input holds images of many sizes as they are.

Nuclei, 3 minutes, one seed, mIoU on test: 0.922, 0.925 and 0.927 in inputs of 384x384, 512x512 and
448x592, which shrink the largest; 0.937 in 544x704 (benchmarks/results/choices-many-sizes.json).
"""

HELD = 0.8
"""Share of all pixels, those of the images that fit into an input made for many sizes."""

ASPECT_KEPT = 1.1
"""An aspect that changes by less is within what training draws, and is stretched."""


def suggest_size(dataset: Dataset, largest_area: int = LARGEST_AREA) -> tuple[int, int]:
    """(height, width) of the input: that of the images, as far as they and the area allow.

    Where at least half of the images share a size, it is theirs, reduced to the area, in multiples
    of 8. Else it holds images with four fifths of all pixels as they are, where
    `LARGEST_AREA_OF_MANY` allows; or it is their mean area at their median aspect, reduced: in
    multiples of 32, as the commonest of many sizes is an accident.

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
    if 2 * count >= len(sizes):
        return _reduced(height, width, largest_area, 8)
    sizes_N2: np.ndarray = np.array(sizes)
    holding = _holding(sizes_N2, max(largest_area, LARGEST_AREA_OF_MANY))
    if holding is not None:
        return holding
    side = float(sizes_N2.prod(axis=1).mean()) ** 0.5
    aspect = float(np.median(sizes_N2[:, 1] / sizes_N2[:, 0])) ** 0.5
    return _reduced(side / aspect, side * aspect, largest_area, 32)


def _holding(sizes_N2: np.ndarray, largest_area: int) -> tuple[int, int] | None:
    """The smallest (height, width) in which images with enough of all pixels fit, if any does."""
    heights, widths = (np.unique(-(-sides_N // 32) * 32) for sides_N in sizes_N2.T)
    found = [
        (height, width)
        for height in heights.tolist()
        for width in widths.tolist()
        if height * width <= largest_area and _held((height, width), sizes_N2) >= HELD
    ]
    return min(found, key=lambda size: size[0] * size[1]) if found else None


def _held(size: tuple[int, int], sizes_N2: np.ndarray) -> float:
    """Share of all pixels that lie in images which fit."""
    areas_N = sizes_N2.prod(axis=1)
    return float(areas_N[(sizes_N2 <= np.array(size)).all(axis=1)].sum() / areas_N.sum())


def _reduced(height: float, width: float, largest_area: int, multiple: int) -> tuple[int, int]:
    factor = min(1.0, (largest_area / (height * width)) ** 0.5)
    sides = [max(32, multiple * round(one * factor / multiple)) for one in (height, width)]
    return sides[0], sides[1]


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
    fit = _padded_fit(config.size, sizes_N2) if config.resize == "auto" else config.resize
    lowest, highest = aspects_N.min(), aspects_N.max()
    seen = f"{lowest:.2f}" if lowest == highest else f"{lowest:.2f} to {highest:.2f}"
    does = {
        "letterbox": "they keep their aspect and are padded (--resize letterbox)",
        "pad": "they keep their pixels where they fit, and are padded (--resize pad)",
        "stretch": "they are stretched, here and in use (--resize stretch)",
    }
    note(
        f"{changed} of {len(sizes_N2)} training images have another aspect (width / height {seen}) "
        f"than the input {config.size[0]}x{config.size[1]}: {does[fit]}."
    )
    return fit


def _padded_fit(size: tuple[int, int], sizes_N2: np.ndarray) -> Fit:
    """Whether images are enlarged: not where nearly all fit, and the typical one half fills it."""
    areas_N = sizes_N2.prod(axis=1)
    typical = float((areas_N**2).sum() / areas_N.sum())  # of the image that a pixel lies in
    holds = _held(size, sizes_N2) >= HELD and typical >= size[0] * size[1] / 2
    return "pad" if holds else "letterbox"
