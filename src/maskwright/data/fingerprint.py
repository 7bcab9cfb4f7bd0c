"""What tells whether a sample is still the same: its image and its truth, by content."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from maskwright.core.sample import Sample
from maskwright.data.example import PackedExample, read_packed


def print_of(name: str, packed: PackedExample) -> int:
    """CRC-32 of a sample's name, image and every part of its truth."""
    example = packed.example
    found = zlib.crc32(name.encode())
    arrays = (example.image, example.class_map, example.boxes, example.class_ids, example.crowds,
              example.labels)  # fmt: skip
    for array in arrays:
        told = "none" if array is None else f"{array.dtype}{array.shape}"
        found = zlib.crc32(told.encode(), found)
        if array is not None:
            found = zlib.crc32(np.ascontiguousarray(array).data, found)
    for mask in packed.masks or ():
        found = zlib.crc32(b"none" if mask is None else mask.packed, found)
    return found


def prints(samples: Sequence[Sample]) -> list[int]:
    """Read every sample once: its fingerprint.

    Raises:
        DataError: one can't be read.
    """
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda sample: print_of(sample.name, read_packed(sample)), samples))
