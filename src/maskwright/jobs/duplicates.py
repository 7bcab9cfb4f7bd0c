"""Near-duplicate photos: a hash finds candidates, a small correlation decides.

Reference of the hash: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013 (dHash).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

HASH_DISTANCE = 10
"""Bits of 64 in which the hashes of a pair may differ for it to be looked at."""

CORRELATION = 0.97
"""Of the thumbnails' grey values, from which on two photos are near-duplicates."""

_SIDE = 32  # of a thumbnail, pixels
_FLAT = 2.0  # standard deviation of grey values below which correlation means nothing
_CHUNK = 2048


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fingerprint:
    """What is kept of a photo to find its duplicates.

    Attributes:
        bits: bool [64]: whether grey falls from one pixel to its right neighbour, in a photo
            reduced to 8 rows of 9.
        thumbnail: float32 [32, 32], grey 0..255.
    """

    bits: np.ndarray
    thumbnail: np.ndarray


def fingerprint(image: np.ndarray) -> Fingerprint:
    """The fingerprint of a photo, uint8 RGB [H, W, 3]."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    thumbnail = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return Fingerprint(
        bits=(small[:, :-1] > small[:, 1:]).ravel(), thumbnail=thumbnail.astype(np.float32)
    )


def near_duplicates(
    ours: Sequence[Fingerprint], others: Sequence[Fingerprint]
) -> list[tuple[int, int, float]]:
    """The pairs that show the same picture, though resized, recompressed, or brighter.

    Returns:
        (index in `ours`, index in `others`, correlation of their thumbnails), in order.
    """
    if not ours or not others:
        return []
    signs = np.stack([o.bits for o in others]).astype(np.float32) * 2 - 1
    found = []
    for start in range(0, len(ours), _CHUNK):
        part = np.stack([o.bits for o in ours[start : start + _CHUNK]]).astype(np.float32) * 2 - 1
        distance = (64 - part @ signs.T) / 2  # each differing bit lowers the product by 2
        for row, column in np.argwhere(distance <= HASH_DISTANCE).tolist():
            index = start + row
            likeness = _correlation(ours[index].thumbnail, others[column].thumbnail)
            if likeness >= CORRELATION:
                found.append((index, column, likeness))
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    deviation = float(one.std()), float(other.std())
    if min(deviation) < _FLAT:  # flat photos are alike where they are equally grey
        return float(np.abs(one - other).max() < 3 * _FLAT)
    product = (one - one.mean()) * (other - other.mean())
    return float(product.mean() / (deviation[0] * deviation[1]))
