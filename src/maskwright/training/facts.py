"""What a labelled set looks like, as plain numbers: what the default settings are chosen from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BANDS = 8
"""Horizontal bands of an image in which classes are counted, to tell up from down."""


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """A training split in the pixels of the network's input.

    Attributes:
        images: labelled training images.
        input_size: (height, width) of the network's input.
        shares_K: of the labelled pixels, by class; 0..1, all together 1.
        shown_K: share of the images that show the class, 0..1.
        up_down: how differently classes lie in the upper and the lower half, 0..1: 0 where turning
            all images upside down would change nothing.
    """

    images: int
    input_size: tuple[int, int]
    shares_K: tuple[float, ...]
    shown_K: tuple[float, ...]
    up_down: float

    @property
    def commonest(self) -> float:
        """The largest share; 0 where there is no label."""
        return max(self.shares_K, default=0.0)


def facts_of(
    class_maps: Iterable[np.ndarray], classes: int, input_size: tuple[int, int]
) -> DataFacts:
    """Count classes and bands in class maps.

    Args:
        class_maps: ids [H, W] of the training images, of any size; ids from `classes` on are void.
            A few hundred tell enough.
        classes: K.
        input_size: (height, width) that each image is stretched to.

    Returns:
        The facts; `images` is the number of maps with a labelled pixel.
    """
    counts_KR = np.zeros((classes, BANDS))
    shown_K = np.zeros(classes)
    images = 0
    for ids_HW in class_maps:
        own_KR = _counts_in_bands(ids_HW, classes)
        if not own_KR.any():
            continue
        images += 1
        counts_KR += own_KR / own_KR.sum()
        shown_K += own_KR.any(axis=1)
    total = max(1, images)
    return DataFacts(
        images=images,
        input_size=input_size,
        shares_K=_plain(counts_KR.sum(axis=1) / total),
        shown_K=_plain(shown_K / total),
        up_down=float(np.abs(counts_KR - counts_KR[:, ::-1]).sum() / 2 / total),
    )


def _counts_in_bands(ids_HW: np.ndarray, classes: int) -> np.ndarray:
    """Labelled pixels of each class in each band -> float [K, BANDS]."""
    height = ids_HW.shape[0]
    bands_H = np.arange(height) * BANDS // height
    labelled_HW = ids_HW < classes
    cells_HW = ids_HW.astype(np.int64) * BANDS + bands_H[:, None]
    counts = np.bincount(cells_HW[labelled_HW], minlength=classes * BANDS)
    return counts.reshape(classes, BANDS).astype(np.float64)


def _plain(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
