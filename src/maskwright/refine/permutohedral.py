"""Gaussian filtering of points in many dimensions, on the permutohedral lattice.

Reference: A. Adams, J. Baek, M. A. Davis, "Fast High-Dimensional Filtering Using the Permutohedral
Lattice", Eurographics 2010, section 3. The value of each point goes to the corners of the simplex
that holds it, by barycentric weights (splat); the corners are blurred with 1 2 1 along each of the
lattice's axes; each point reads its corners back (slice). Together that is close to a Gaussian of
standard deviation 1 in every direction.

Notable: a corner is one integer here, a mixed-radix number of its coordinates. Such keys add like
the coordinates do, so that the other corners of a simplex, and neighbours along an axis, are a sum
away. Nothing is hashed: the keys are sorted.

Legend: N points, D dimensions, C = D + 1 corners of a simplex (and coordinates of a corner), M
corners in use, K values a point.
"""

from __future__ import annotations

import math

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.refine.segments import Segments, SegmentSum


class Lattice:
    """The corners around given points, and the filter between the points.

    Args:
        features_ND: float [N, D], the points in units of the Gaussian's standard deviation.
        blur: False leaves the blur out and makes the simplices twice as large, which spread the
            values as far by themselves: a coarser kernel from a fifth of the corners.

    Attributes:
        corners: M.

    Raises:
        ConfigError: the points are spread so far that their corners can't be numbered.
    """

    def __init__(self, features_ND: np.ndarray, *, blur: bool = True) -> None:
        elevated_CN = elevate(features_ND, blur)
        origin_CN, rank_CN = enclosing_simplex(elevated_CN)
        offset_CN = np.empty_like(elevated_CN)
        np.put_along_axis(offset_CN, rank_CN, elevated_CN - origin_CN, axis=0)
        self._weights_CN = barycentric(offset_CN)
        strides_C = _strides(origin_CN)
        segments = Segments.of(_corner_keys(origin_CN, rank_CN, strides_C).ravel())
        points = len(features_ND)
        self.corners = len(segments.keys)
        self._corner_CN = segments.ids.reshape(-1, points)
        self._splat = SegmentSum(
            segments.order % points, segments.starts, self._weights_CN.ravel()[segments.order]
        )
        steps = _axis_steps(strides_C) if blur else ()
        self._neighbours = [_neighbours(segments.keys, step) for step in steps]

    def filter(self, values_NK: np.ndarray) -> np.ndarray:
        """Sum the values of all points, weighted by the Gaussian of their distance.

        Args:
            values_NK: float32 [N, K].

        Returns:
            float32 [N, K]. The weight of a point on itself is not 1, as it would be in the sum: the
            scale is one common factor, which normalisation cancels.
        """
        blurred_MK = self._blur(self._splat(values_NK))
        weights_CN1 = self._weights_CN[:, :, None]
        total_NK = blurred_MK.take(self._corner_CN[0], axis=0)
        total_NK *= weights_CN1[0]
        read_NK = np.empty_like(total_NK)
        for corner_N, weight_N1 in zip(self._corner_CN[1:], weights_CN1[1:]):
            blurred_MK.take(corner_N, axis=0, out=read_NK, mode="clip")
            read_NK *= weight_N1
            total_NK += read_NK
        return total_NK

    def _blur(self, values_MK: np.ndarray) -> np.ndarray:
        """1/4 1/2 1/4 along each axis in turn; a corner that isn't in use counts as 0."""
        corners, columns = values_MK.shape
        padded_MK = np.zeros((corners + 1, columns), np.float32)
        padded_MK[:corners] = values_MK
        inside_MK = padded_MK[:corners]
        before_MK, after_MK = np.empty_like(values_MK), np.empty_like(values_MK)
        for before_M, after_M in self._neighbours:
            padded_MK.take(before_M, axis=0, out=before_MK, mode="clip")
            padded_MK.take(after_M, axis=0, out=after_MK, mode="clip")
            before_MK += after_MK
            before_MK *= 0.5
            inside_MK += before_MK
            inside_MK *= 0.5
        return inside_MK


def elevate(features_ND: np.ndarray, blur: bool = True) -> np.ndarray:
    """float32 [C, N]: the points on the plane whose coordinates sum to 0 (section 3.1).

    The scale makes the whole filter's standard deviation 1. In lattice steps, splat and slice
    interpolate with a variance of 1/6 C^2, and the blur adds 1/2 C^2.
    """
    dimensions = features_ND.shape[1]
    axes_D1 = np.arange(1, dimensions + 1)[:, None]
    deviation = math.sqrt(1 / 6 + (1 / 2 if blur else 0)) * (dimensions + 1)
    scale_D1 = deviation / np.sqrt(axes_D1 * (axes_D1 + 1))
    scaled_DN = np.multiply(features_ND.T, scale_D1, dtype=np.float32)
    elevated_CN = np.zeros((dimensions + 1, len(features_ND)), np.float32)
    elevated_CN[:-1] = np.cumsum(scaled_DN[::-1], axis=0)[::-1]
    elevated_CN[1:] -= axes_D1.astype(np.float32) * scaled_DN
    return elevated_CN


def enclosing_simplex(elevated_CN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lattice point of remainder 0 around which each point's simplex lies (section 3.2).

    Returns:
        Its coordinates float32 [C, N], multiples of C that sum to 0; and intp [C, N], each
        coordinate's place in the descending order of the point's offsets from there. Those places
        name the simplex.
    """
    corners = len(elevated_CN)
    rounded_CN = np.rint(elevated_CN / corners)
    rank_CN = _descending_ranks(elevated_CN - corners * rounded_CN)
    # Rounding may miss the plane. Those that were rounded up furthest then go down by one, and
    # have the largest offsets from there on; or the other way round. The order turns.
    rank_CN += rounded_CN.sum(axis=0).astype(np.intp)
    down_CN, up_CN = rank_CN >= corners, rank_CN < 0
    rounded_CN -= down_CN
    rounded_CN += up_CN
    rank_CN %= corners
    return rounded_CN * corners, rank_CN


def _descending_ranks(values_CN: np.ndarray) -> np.ndarray:
    """intp [C, N]: how many of a column's values go before each. C is small: pairs are compared."""
    ranks_CN = np.zeros(values_CN.shape, np.int8)
    for later in range(len(values_CN)):
        for earlier in range(later):
            behind_N = values_CN[later] <= values_CN[earlier]
            ranks_CN[later] += behind_N
            ranks_CN[earlier] += ~behind_N
    return ranks_CN.astype(np.intp)


def barycentric(sorted_CN: np.ndarray) -> np.ndarray:
    """float32 [C, N]: each corner's weight, from the offsets in descending order (section 3.3)."""
    corners = len(sorted_CN)
    weights_CN = np.empty(sorted_CN.shape, np.float32)
    weights_CN[1:] = ((sorted_CN[:-1] - sorted_CN[1:]) / corners)[::-1]
    weights_CN[0] = 1 - weights_CN[1:].sum(axis=0)
    return weights_CN


def _strides(origin_CN: np.ndarray) -> np.ndarray:
    """int64 [C]: what a step of 1 in each coordinate adds to a key.

    The last coordinate follows from the others and adds nothing. The others' ranges leave room for
    the corners of a simplex and their neighbours, so that no two keys are alike by chance.
    """
    corners = len(origin_CN)
    spans = np.ptp(origin_CN[:-1], axis=1).astype(np.float64) + 4 * corners
    if spans.prod() >= 2**62:
        raise ConfigError(
            f"expected points that are closer together, got spans of {spans.tolist()} lattice "
            "steps; choose a wider kernel."
        )
    return np.concatenate([[1], np.cumprod(spans[:-1]), [0]]).astype(np.int64)


def _axis_steps(strides_C: np.ndarray) -> np.ndarray:
    """int64 [C]: what a step along each axis of the lattice, (1, ..., 1 - C, ..., 1), adds."""
    steps_C: np.ndarray = strides_C.sum() - len(strides_C) * strides_C
    return steps_C


def _corner_keys(origin_CN: np.ndarray, rank_CN: np.ndarray, strides_C: np.ndarray) -> np.ndarray:
    """int64 [C, N]: from each corner of a simplex, one step along an axis leads to the next.

    The axes are taken in ascending order of the point's offsets.
    """
    keys_CN = np.empty(origin_CN.shape, np.int64)
    steps_CN = np.broadcast_to(_axis_steps(strides_C)[:, None], origin_CN.shape)
    np.put_along_axis(keys_CN, (len(strides_C) - rank_CN) % len(strides_C), steps_CN, axis=0)
    keys_CN[0] = (strides_C[:, None] * origin_CN.astype(np.int64)).sum(axis=0)
    return np.cumsum(keys_CN, axis=0, out=keys_CN)


def _neighbours(keys_M: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """intp [M] each: the corner before and the one after along an axis; M where there is none."""
    corners = len(keys_M)
    at_M = np.searchsorted(keys_M, keys_M + step)
    found_M = keys_M[np.minimum(at_M, corners - 1)] == keys_M + step
    after_M = np.where(found_M, at_M, corners)
    before_M = np.full(corners, corners)
    before_M[at_M[found_M]] = np.flatnonzero(found_M)
    return before_M, after_M
