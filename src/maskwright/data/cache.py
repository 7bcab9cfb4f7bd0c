"""Decoded samples, kept in memory as far as a budget allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.sample import Sample
from maskwright.data.derived import check_needs, make_needs
from maskwright.data.example import Example, PackedExample, read_packed
from maskwright.data.fingerprint import print_of
from maskwright.losses.targets import Need


class Cache:
    """The examples of a split, decoded once; masks stay run-length coded.

    Fill it before loader processes start: on Linux they then share its pages. What does not fit in
    the budget is read from disk each time.

    Attributes:
        classes: K of the class maps.
        needs: what losses want made of the truth, once a sample or of each crop.
        pixels_NK: int64, labelled pixels of each image and class; zeros without semantic truth.
        objects_NK: int64, objects of each image and class.
        sizes_N2: int64, (height, width) of each image.
        prints: of each sample, by its content (`data.fingerprint`).
        nbytes: bytes held.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: int,
        budget: int,
        progress: Callable[[int], None] | None = None,
        needs: Iterable[Need] = (),
    ) -> None:
        """Read everything once.

        Args:
            samples: of one split; at least one.
            classes: K.
            budget: bytes to hold at most.
            progress: called with the number of samples read so far.
            needs: what losses want made of the truth.

        Raises:
            DataError: there is no sample, or one can't be read.
            ConfigError: a need that can't be met.
        """
        if not samples:
            raise DataError("expected at least one training image, got none; check the split.")
        self.classes = classes
        self.needs = check_needs(needs)
        self.nbytes = 0
        self._samples = tuple(samples)
        self._held: list[PackedExample | None] = [None] * len(samples)
        self.pixels_NK = np.zeros((len(samples), classes), np.int64)
        self.objects_NK = np.zeros((len(samples), classes), np.int64)
        self.sizes_N2 = np.zeros((len(samples), 2), np.int64)
        self.prints: list[int] = []
        read = partial(_read, classes=classes, needs=self.needs)
        with ThreadPoolExecutor(2) as pool:
            for index, packed in enumerate(pool.map(read, self._samples)):
                example = packed.example
                self.pixels_NK[index] = count_pixels(example, classes)
                self.objects_NK[index] = count_objects(example, classes)
                self.sizes_N2[index] = example.size
                self.prints.append(print_of(samples[index].name, packed))
                if self.nbytes + packed.nbytes <= budget:
                    self._held[index] = packed
                    self.nbytes += packed.nbytes
                if progress is not None:
                    progress(index + 1)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        held = self._held[index]
        packed = _read(self._samples[index], self.classes, self.needs) if held is None else held
        return packed.unpack()


def _read(sample: Sample, classes: int, needs: tuple[Need, ...]) -> PackedExample:
    packed = read_packed(sample)
    if not needs:
        return packed
    made = make_needs(packed.unpack(), needs, classes, "sample").made
    return replace(packed, example=replace(packed.example, made=made))


def count_pixels(example: Example, classes: int) -> np.ndarray:
    """Labelled pixels of each class, int64 [K]; zeros without a class map."""
    if example.class_map is None:
        return np.zeros(classes, np.int64)
    return np.bincount(example.class_map.ravel(), minlength=classes)[:classes]


def count_objects(example: Example, classes: int) -> np.ndarray:
    """Objects of each class, int64 [K]."""
    return np.bincount(example.class_ids, minlength=classes)[:classes]
