"""The two Gaussian kernels of a dense CRF, as sums over all pixels of one image.

* Smoothness: near pixels, exp(-|dx|^2 / 2 s^2). A separable blur.
* Appearance: near pixels of alike colour, exp(-|dx|^2 / 2 a^2 - |dc|^2 / 2 b^2). On the lattice.

Both are normalised symmetrically: kernel(i, j) / sqrt(total(i) total(j)), where a pixel's total is
the sum of its kernel over all pixels, so that a weight means the same wherever a pixel lies.

Legend: N pixels, G groups of them, H W height and width, K values a pixel, D dimensions.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from maskwright.refine.permutohedral import Lattice
from maskwright.refine.segments import Segments, SegmentSum

_REACH = 3.0
"""Standard deviations at which the blur ends; 0.3 % of a Gaussian lie beyond."""

_CHANNELS = 64
"""OpenCV's limit on the channels of an image is 512, or 128 in its newest version."""


class SmoothnessKernel:
    """Sums over near pixels.

    Args:
        size: (height, width) of the image.
        width: standard deviation s in pixels.
    """

    def __init__(self, size: tuple[int, int], width: float) -> None:
        self._size = size
        reach = max(1, math.ceil(_REACH * width))
        self._kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
        self._kernel /= self._kernel.sum()
        self._norms = [self._norm(length) for length in size]
        self._edges = [_both_ends(length, reach) for length in size]
        self._scaled: np.ndarray | None = None

    def message(self, values_NK: np.ndarray, out: np.ndarray, weight: float = 1.0) -> np.ndarray:
        """Weighted sums of all pixels' values.

        Args:
            values_NK: float32 [N, K], row by row.
            out: float32 [N, K], another array, to write into; it is returned.
            weight: factor on them.
        """
        if self._scaled is None or self._scaled.shape != values_NK.shape:
            self._scaled = np.empty_like(values_NK)
        np.copyto(self._scaled, values_NK)
        self._scale_edges(self._scaled)
        self._blur(self._scaled, out, math.sqrt(weight) * self._kernel)
        self._scale_edges(out)
        return out

    def _norm(self, length: int) -> np.ndarray:
        """float32 [length, 1, 1]: 1 / sqrt(total) along one side; 1 far from the image's border."""
        inside = np.convolve(np.ones(length), self._kernel)
        reach = len(self._kernel) // 2
        return (1 / np.sqrt(inside[reach : reach + length])).astype(np.float32)[:, None, None]

    def _scale_edges(self, values_NK: np.ndarray) -> None:
        values_HWK = values_NK.reshape(*self._size, -1)
        for end in self._edges[0]:
            values_HWK[end] *= self._norms[0][end]
        for end in self._edges[1]:
            values_HWK[:, end] *= self._norms[1][end, 0]

    def _blur(self, values_NK: np.ndarray, out: np.ndarray, kernel: np.ndarray) -> None:
        """What lies outside of the image is 0."""
        values_HWK, out_HWK = (each.reshape(*self._size, -1) for each in (values_NK, out))
        columns = values_HWK.shape[2]
        for first in range(0, columns, _CHANNELS):
            part = slice(first, first + _CHANNELS)
            blurred = cv2.sepFilter2D(
                values_HWK[..., part],
                cv2.CV_32F,
                kernel,
                kernel,
                dst=out_HWK if columns <= _CHANNELS else None,
                borderType=cv2.BORDER_CONSTANT,
            )
            if columns > _CHANNELS:
                out_HWK[..., part] = blurred.reshape(*self._size, -1)


def _both_ends(length: int, reach: int) -> tuple[slice, slice]:
    """The places closer to an end than `reach`, each once."""
    middle = (length + 1) // 2
    return slice(0, min(reach, middle)), slice(max(length - reach, middle), length)


class AppearanceKernel:
    """Sums over pixels that are near in place and colour.

    The kernel is smooth: pixels much closer to each other than its widths get almost the same
    message. So those of one small box of x, y and colour are filtered as one point at their mean,
    as heavy as they are many.

    Args:
        image_HW3: uint8 [H, W, 3].
        width: standard deviation a in pixels.
        colour_width: standard deviation b, of colours 0..255.
        cell: side of the boxes in standard deviations; 0 filters every pixel by itself.
        blur: of the lattice.

    Attributes:
        groups: G.

    Raises:
        ConfigError: a kernel so narrow that the lattice's corners can't be numbered.
    """

    def __init__(
        self,
        image_HW3: np.ndarray,
        width: float,
        colour_width: float,
        *,
        cell: float = 0.0,
        blur: bool = True,
    ) -> None:
        boxes = _boxes(image_HW3, cell * width, cell * colour_width)
        self._group_N = boxes.ids
        self._sum = SegmentSum(boxes.order, boxes.starts)
        sums_GD = self._sum(_features(image_HW3, width, colour_width))
        count_G1 = sums_GD[:, -1:]
        self._lattice = Lattice(sums_GD[:, :-1] / count_G1, blur=blur)
        self.groups = len(count_G1)
        self._norm_G1 = 1 / np.sqrt(self._lattice.filter(count_G1))

    def message(self, values_NK: np.ndarray, out: np.ndarray, weight: float = 1.0) -> np.ndarray:
        """Weighted sums of all pixels' values.

        Args:
            values_NK: float32 [N, K], row by row.
            out: float32 [N, K], to write into; it is returned.
            weight: factor on them.
        """
        sums_GK = self._sum(values_NK)
        sums_GK *= self._norm_G1
        sums_GK = self._lattice.filter(sums_GK)
        sums_GK *= np.float32(weight) * self._norm_G1
        return sums_GK.take(self._group_N, axis=0, out=out, mode="clip")


def _boxes(image_HW3: np.ndarray, side: float, colour_side: float) -> Segments:
    """The pixels of each box; the sides are pixels and levels of colour, 1 where smaller."""
    levels = _bins(256, colour_side)
    rows, columns = (_bins(length, side) for length in image_HW3.shape[:2])
    keys_HW = rows[:, None] * (columns[-1] + 1) + columns
    for channel in range(3):
        keys_HW *= levels[-1] + 1
        keys_HW += levels.take(image_HW3[..., channel])
    return Segments.of(keys_HW.ravel())


def _bins(length: int, side: float) -> np.ndarray:
    return (np.arange(length) / max(1.0, side)).astype(np.int64)


def _features(image_HW3: np.ndarray, width: float, colour_width: float) -> np.ndarray:
    """float32 [N, 6]: x, y and colour in standard deviations, and 1."""
    rows, columns = image_HW3.shape[:2]
    features_HW6 = np.ones((rows, columns, 6), np.float32)
    features_HW6[..., 0] = np.arange(columns) / width
    features_HW6[..., 1] = np.arange(rows)[:, None] / width
    np.divide(image_HW3, colour_width, out=features_HW6[..., 2:5], casting="same_kind")
    return features_HW6.reshape(-1, 6)
