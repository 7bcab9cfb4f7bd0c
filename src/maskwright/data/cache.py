"""Decoded samples, kept in memory as far as a budget allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.sample import Sample
from maskwright.data.example import Example, read_example


class Cache:
    """The examples of a split, decoded once.

    Fill it before loader processes start: on Linux they then share its pages. What does not fit in
    the budget is read from disk each time.

    Attributes:
        classes: K of the class maps.
        pixels_NK: int64, labelled pixels of each image and class; zeros without semantic truth.
        nbytes: bytes held.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: int,
        budget: int,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Read everything once.

        Args:
            samples: of one split; at least one.
            classes: K.
            budget: bytes to hold at most.
            progress: called with the number of samples read so far.

        Raises:
            DataError: there is no sample, or one can't be read.
        """
        if not samples:
            raise DataError("expected at least one training image, got none; check the split.")
        self.classes = classes
        self.nbytes = 0
        self._samples = tuple(samples)
        self._held: list[Example | None] = [None] * len(samples)
        self.pixels_NK = np.zeros((len(samples), classes), np.int64)
        with ThreadPoolExecutor(2) as pool:
            for index, example in enumerate(pool.map(read_example, self._samples)):
                self.pixels_NK[index] = count_pixels(example, classes)
                if self.nbytes + example.nbytes <= budget:
                    self._held[index] = example
                    self.nbytes += example.nbytes
                if progress is not None:
                    progress(index + 1)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        return self._held[index] or read_example(self._samples[index])


def count_pixels(example: Example, classes: int) -> np.ndarray:
    """Labelled pixels of each class, int64 [K]; zeros without a class map."""
    if example.class_map is None:
        return np.zeros(classes, np.int64)
    return np.bincount(example.class_map.ravel(), minlength=classes)[:classes]
