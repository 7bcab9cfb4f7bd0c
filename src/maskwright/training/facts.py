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
        widths_K: typical width of a class's regions in pixels of the input: a stripe's width, a
            disc's radius; 0 for classes that never occur.
        up_down: how differently classes lie in the upper and the lower half, 0..1: 0 where turning
            all images upside down would change nothing.
    """

    images: int
    input_size: tuple[int, int]
    shares_K: tuple[float, ...]
    shown_K: tuple[float, ...]
    widths_K: tuple[float, ...]
    up_down: float

    @property
    def rarest(self) -> float:
        """The smallest share among the classes that occur; 0 where none does."""
        return min((share for share in self.shares_K if share > 0), default=0.0)

    @property
    def thinnest(self) -> float:
        """The smallest width among the classes that occur, in pixels; 0 where none does."""
        return min((width for width in self.widths_K if width > 0), default=0.0)


def facts_of(
    class_maps: Iterable[np.ndarray], classes: int, input_size: tuple[int, int]
) -> DataFacts:
    """Count classes, edges and bands in class maps.

    Args:
        class_maps: ids [H, W] of the training images, of any size; ids from `classes` on are void.
            A few hundred tell enough.
        classes: K.
        input_size: (height, width) that each image is stretched to.

    Returns:
        The facts; `images` is the number of maps with a labelled pixel.
    """
    counts_KR = np.zeros((classes, BANDS))
    area_K, edge_K, shown_K = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    images = 0
    for ids_HW in class_maps:
        own_KR = _counts_in_bands(ids_HW, classes)
        if not own_KR.any():
            continue
        images += 1
        counts_KR += own_KR / own_KR.sum()
        shown_K += own_KR.any(axis=1)
        scale = float(np.sqrt(np.prod(input_size) / ids_HW.size))
        area_K += own_KR.sum(axis=1) * scale**2
        edge_K += _edge_pixels(ids_HW, classes) * scale
    total = max(1, images)
    return DataFacts(
        images=images,
        input_size=input_size,
        shares_K=_plain(counts_KR.sum(axis=1) / total),
        shown_K=_plain(shown_K / total),
        # a class without an edge fills its images: it is as wide as they are
        widths_K=_plain(np.minimum(2 * area_K / np.maximum(edge_K, 1), min(input_size))),
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


def _edge_pixels(ids_HW: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of each class that touch another class above, below, left or right -> float [K].

    Void is no class: a region that ends there may go on.
    """
    edge_HW = np.zeros(ids_HW.shape, bool)
    for one, other in (
        (np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]),
        (np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :-1], np.s_[:, 1:]),
    ):  # fmt: skip
        edge_HW[one] |= (ids_HW[one] != ids_HW[other]) & (ids_HW[other] < classes)
    edges = ids_HW[edge_HW & (ids_HW < classes)]
    return np.bincount(edges, minlength=classes)[:classes].astype(np.float64)


def _plain(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
