"""The input size that suits a data set."""

from __future__ import annotations

from collections import Counter

from maskwright.core.sample import Dataset

LARGEST_AREA = 512 * 512
"""Pixels: above it, a CPU trains too slowly for a default."""


def suggest_size(dataset: Dataset, largest_area: int = LARGEST_AREA) -> tuple[int, int]:
    """(height, width) of the commonest image size, reduced to an area, in multiples of 8.

    Args:
        dataset: up to 50 of its images are opened.
        largest_area: in pixels.

    Raises:
        DataError: an image can't be read.
    """
    samples = [sample for split in dataset.splits.values() for sample in split]
    chosen = samples[:: max(1, len(samples) // 50)]
    common = Counter(sample.read_image().shape[:2] for sample in chosen).most_common(1)[0][0]
    factor = min(1.0, (largest_area / (common[0] * common[1])) ** 0.5)
    height, width = (max(32, 8 * round(side * factor / 8)) for side in common)
    return height, width
