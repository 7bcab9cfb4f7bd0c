"""The guided filter: each window's maps told as a linear function of the image, edges included.

References: K. He, J. Sun, X. Tang, "Guided Image Filtering", TPAMI 2013 (ECCV 2010), equations 5, 6
and 8, for colour guidance 14 to 16. K. He, J. Sun, "Fast Guided Filter", arXiv 1505.00996, 2015:
the linear functions vary slowly, so they can be found on a smaller image.

Legend: K maps, C channels of the guide (1 or 3), H W height and width, h w of the smaller image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedFilter:
    """How large windows are, and what counts as an edge.

    Attributes:
        radius: of the square windows, in pixels: their sides are 2 radius + 1.
        epsilon: variances of the image, in 0..1 squared, well below it are flat: maps are averaged.
        colour: be guided by three channels; False takes the grey image, which is faster.
        subsample: find the linear functions on an image reduced so many times; 1 is exact.

    Raises:
        ConfigError: a number that makes no sense.
    """

    radius: int = 6
    epsilon: float = 1e-6
    colour: bool = True
    subsample: int = 6

    def __post_init__(self) -> None:
        if self.radius < 1 or self.subsample < 1:
            raise ConfigError(
                "guided-filter: expected radius and subsample of 1 or more, got "
                f"{self.radius} and {self.subsample}."
            )
        if not 0 < self.epsilon < math.inf:
            raise ConfigError(f"guided-filter: expected epsilon > 0, got {self.epsilon}.")


def guided_filter(
    maps_KHW: np.ndarray, image_HW3: np.ndarray, settings: GuidedFilter | None = None
) -> np.ndarray:
    """Filter maps so that their edges are the image's.

    The filter is linear in the maps, and keeps constants: of probabilities, the sum stays 1, though
    a single one may leave 0..1 by a little.

    Args:
        maps_KHW: float [K, H, W].
        image_HW3: uint8 [H, W, 3], RGB; or [H, W] grey.
        settings: windows and edges; `GuidedFilter()` unless given.

    Returns:
        float32 [K, H, W].

    Raises:
        DataError: sizes or types that don't fit.
    """
    settings = settings or GuidedFilter()
    _check(maps_KHW, image_HW3)
    if image_HW3.ndim == 3 and not settings.colour:
        image_HW3 = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)
    guide_CHW = _planes(image_HW3)
    height, width = image_HW3.shape[:2]
    small = [max(1, length // settings.subsample) for length in (height, width)]
    radius = max(1, round(settings.radius / settings.subsample))
    *slopes_CKhw, refined_Khw = _linear_functions(
        _resize(maps_KHW, small), _resize(guide_CHW, small), radius, settings.epsilon
    )
    refined_KHW = _resize(refined_Khw.astype(np.float32), (height, width))
    for slope_Khw, channel_HW in zip(slopes_CKhw, guide_CHW):
        slope_KHW = _resize(slope_Khw.astype(np.float32), (height, width))
        slope_KHW *= channel_HW
        refined_KHW += slope_KHW
    return refined_KHW


def _check(maps_KHW: np.ndarray, image_HW3: np.ndarray) -> None:
    sizes = (*maps_KHW.shape[1:],), (*maps_KHW.shape[1:], 3)
    if (
        maps_KHW.ndim != 3
        or maps_KHW.dtype.kind != "f"
        or image_HW3.dtype != np.uint8
        or image_HW3.shape not in sizes
        or not maps_KHW.size
    ):
        raise DataError(
            "expected maps [K, height, width] of a float type and their image [height, width, 3] "
            f"or [height, width] of uint8, got {maps_KHW.shape} of {maps_KHW.dtype} and "
            f"{image_HW3.shape} of {image_HW3.dtype}."
        )


def _planes(image_HW3: np.ndarray) -> np.ndarray:
    """float32 [C, H, W] in -0.5..0.5: the middle is 0, so that squares stay small and exact."""
    channels = cv2.split(image_HW3)
    return np.stack([channel / np.float32(255) - np.float32(0.5) for channel in channels])


def _linear_functions(
    maps_Khw: np.ndarray, guide_Chw: np.ndarray, radius: int, epsilon: float
) -> list[np.ndarray]:
    """The windows' functions, averaged over the windows that hold a pixel (equation 8).

    In float64: a variance is the small difference of two large means.

    Returns:
        For each channel the slopes float64 [K, h, w]; last the offsets.
    """
    maps_Khw, guide_Chw = maps_Khw.astype(np.float64), guide_Chw.astype(np.float64)
    window = _Window(guide_Chw.shape[1:], radius)
    mean_Khw, mean_Chw = window.mean(maps_Khw), window.mean(guide_Chw)
    covariances = [
        window.mean(maps_Khw * channel_hw) - mean_Khw * mean_hw
        for channel_hw, mean_hw in zip(guide_Chw, mean_Chw)
    ]
    slopes = [
        sum(factor_hw * each_Khw for factor_hw, each_Khw in zip(row, covariances))
        for row in _inverse(_variances(guide_Chw, mean_Chw, window), epsilon)
    ]
    offset_Khw = mean_Khw - sum(a_Khw * mean_hw for a_Khw, mean_hw in zip(slopes, mean_Chw))
    return [window.mean(each_Khw) for each_Khw in (*slopes, offset_Khw)]


def _variances(
    guide_Chw: np.ndarray, mean_Chw: np.ndarray, window: _Window
) -> list[list[np.ndarray]]:
    """[h, w] for each two channels: the windows' covariance matrices."""
    return [
        list(window.mean(guide_Chw * channel_hw) - mean_Chw * mean_hw)
        for channel_hw, mean_hw in zip(guide_Chw, mean_Chw)
    ]


def _inverse(variances: list[list[np.ndarray]], epsilon: float) -> list[list[np.ndarray]]:
    """(variances + epsilon 1)^-1 of symmetric matrices of 1 or 3 rows, by cofactors."""
    for index, row in enumerate(variances):
        row[index] = row[index] + epsilon
    if len(variances) == 1:
        return [[1 / variances[0][0]]]
    (a, b, c), (_, d, e), (_, _, f) = variances
    first = [d * f - e * e, c * e - b * f, b * e - c * d]
    rest = [a * f - c * c, b * c - a * e, a * d - b * b]
    determinant = a * first[0] + b * first[1] + c * first[2]
    cofactors = [first, [first[1], rest[0], rest[1]], [first[2], rest[1], rest[2]]]
    return [[each / determinant for each in row] for row in cofactors]


class _Window:
    """Means over the square window around each pixel, as far as it lies in the image."""

    def __init__(self, size: Sequence[int], radius: int) -> None:
        self._side = (2 * radius + 1, 2 * radius + 1)
        self._share_hw = 1 / self._sum(np.ones(size))

    def mean(self, maps_Khw: np.ndarray) -> np.ndarray:
        means_Khw = np.stack([self._sum(each_hw) for each_hw in maps_Khw])
        means_Khw *= self._share_hw
        return means_Khw

    def _sum(self, map_hw: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(
            map_hw, cv2.CV_64F, self._side, normalize=False, borderType=cv2.BORDER_CONSTANT
        )


def _resize(maps_KHW: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Averaged where maps shrink, bilinear where they grow."""
    height, width = size
    if maps_KHW.shape[1:] == (height, width):
        return maps_KHW
    how = cv2.INTER_AREA if height < maps_KHW.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(each, (width, height), interpolation=how) for each in maps_KHW])
