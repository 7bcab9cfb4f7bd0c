"""Mean field inference in a fully connected conditional random field.

Reference: P. Kraehenbuehl, V. Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian
Edge Potentials", NIPS 2011, arXiv 1210.5644, algorithm 1 and equation 3.

The unary potential of a pixel is -log of the network's probabilities. The pairwise potentials are
two Gaussian kernels, over positions (smoothness) and over positions and colours (appearance), times
a label compatibility. Each iteration of the mean field approximation passes messages (the kernels
filter the current marginals), applies the compatibility, adds the unary potential and normalises.

As in the authors' code, the kernels are normalised symmetrically, and a pixel's own marginal is
part of its message. With the Potts model the message of a class depends on that class alone, so
that classes whose probabilities are low everywhere can be left out of message passing.

Legend: K classes, H W height and width, N pixels = H W.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.refine.kernels import AppearanceKernel, SmoothnessKernel

Kernel = tuple[AppearanceKernel | SmoothnessKernel, float]
"""A kernel of the pairwise potentials and its weight."""

_HIGHEST = 80.0
"""Of a message: e to the power of it is still a float32. No useful weight comes near."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseCRF:
    """Weights and widths of the pairwise potentials.

    Attributes:
        appearance_weight: of the appearance kernel (w1 of equation 3); 0 leaves it out.
        appearance_width: its standard deviation over positions, in pixels (theta alpha).
        colour_width: its standard deviation over colours, in levels 0..255 (theta beta).
        smooth_weight: of the smoothness kernel (w2 of equation 3); 0 leaves it out.
        smooth_width: its standard deviation over positions, in pixels (theta gamma).
        iterations: of the mean field approximation.
        compatibility: the penalty [K][K] for a pixel of the row's class beside one of the column's.
            None is the Potts model: 1 for any two classes that differ.
        cell: pixels in one box whose sides are this many standard deviations share their message
            of the appearance kernel; 0 keeps each pixel by itself.
        blur: whether the lattice of the appearance kernel blurs: closer to a Gaussian, and slower.
        floor: a class whose probability is below this everywhere in an image takes no part in
            message passing; its share of the probability still counts. With compatibilities every
            class takes part.

    Raises:
        ConfigError: a number that makes no sense.
    """

    appearance_weight: float = 6.0
    appearance_width: float = 16.0
    colour_width: float = 2.0
    smooth_weight: float = 0.0
    smooth_width: float = 3.0
    iterations: int = 3
    compatibility: tuple[tuple[float, ...], ...] | None = None
    cell: float = 1.0
    blur: bool = False
    floor: float = 0.01

    def __post_init__(self) -> None:
        for name in ("appearance_width", "colour_width", "smooth_width", "iterations"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"dense-crf: expected {name} > 0, got {getattr(self, name)}.")
        for name in ("appearance_weight", "smooth_weight", "cell", "floor"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"dense-crf: expected {name} >= 0, got {getattr(self, name)}.")
        rows = self.compatibility or ()
        if any(len(row) != len(rows) for row in rows):
            raise ConfigError(
                "dense-crf: expected a square matrix of compatibilities, got rows of "
                f"{[len(row) for row in rows]} entries."
            )


def dense_crf(
    probabilities_KHW: np.ndarray, image_HW3: np.ndarray, settings: DenseCRF | None = None
) -> np.ndarray:
    """Mean field marginals of the CRF whose unary potentials are a network's probabilities.

    Args:
        probabilities_KHW: float [K, H, W], 0 or more; each pixel's are divided by their sum.
        image_HW3: uint8 [H, W, 3], in any order of colours.
        settings: weights and widths; `DenseCRF()` unless given.

    Returns:
        float32 [K, H, W]: the marginals, which sum to 1.

    Raises:
        DataError: sizes or types that don't fit, or a pixel whose probabilities have no sum.
        ConfigError: compatibilities of another number of classes, or kernels too narrow to filter.
    """
    settings = settings or DenseCRF()
    unary_KN = _unary(probabilities_KHW, image_HW3)
    active_K = _active(unary_KN, settings)
    unary_NK = np.ascontiguousarray(unary_KN[active_K].T)
    rest_N1 = unary_KN[~active_K].sum(axis=0)[:, None]
    marginals_NK, total_N1 = _mean_field(unary_NK, rest_N1, _kernels(image_HW3, settings), settings)
    refined_KN = np.empty_like(unary_KN)
    refined_KN[active_K] = marginals_NK.T
    refined_KN[~active_K] = unary_KN[~active_K] / total_N1[:, 0]
    return refined_KN.reshape(probabilities_KHW.shape)


def _unary(probabilities_KHW: np.ndarray, image_HW3: np.ndarray) -> np.ndarray:
    """e to the minus unary potential, float32 [K, N], checked; each pixel's sum is 1."""
    if (
        image_HW3.dtype != np.uint8
        or probabilities_KHW.dtype.kind != "f"
        or probabilities_KHW.ndim != 3
        or image_HW3.shape != (*probabilities_KHW.shape[1:], 3)
        or not probabilities_KHW.size
    ):
        raise DataError(
            "expected probabilities [classes, height, width] of a float type and their image "
            f"[height, width, 3] of uint8, got {probabilities_KHW.shape} of "
            f"{probabilities_KHW.dtype} and {image_HW3.shape} of {image_HW3.dtype}."
        )
    unary_KN = probabilities_KHW.reshape(len(probabilities_KHW), -1).astype(np.float32)
    total_N = unary_KN.sum(axis=0)
    if not (total_N.min() > 0 and total_N.max() < np.inf and unary_KN.min() >= 0):
        raise DataError(
            "expected probabilities of 0 or more with a sum above 0 in each pixel, got values "
            f"from {unary_KN.min()} on and sums from {total_N.min()} to {total_N.max()}."
        )
    unary_KN /= total_N
    return unary_KN


def _active(unary_KN: np.ndarray, settings: DenseCRF) -> np.ndarray:
    """bool [K]: the classes that pass messages; at least the most probable one of each pixel."""
    classes = len(unary_KN)
    if settings.compatibility is None:
        active_K: np.ndarray = unary_KN.max(axis=1) >= min(settings.floor, 1 / classes)
        return active_K
    if len(settings.compatibility) != classes:
        raise ConfigError(
            f"dense-crf: expected compatibilities of {classes} classes, as the probabilities have, "
            f"got {len(settings.compatibility)}."
        )
    return np.ones(classes, np.bool_)


def _kernels(image_HW3: np.ndarray, settings: DenseCRF) -> list[Kernel]:
    kernels: list[Kernel] = []
    if settings.appearance_weight:
        appearance = AppearanceKernel(
            image_HW3,
            settings.appearance_width,
            settings.colour_width,
            cell=settings.cell,
            blur=settings.blur,
        )
        kernels.append((appearance, settings.appearance_weight))
    if settings.smooth_weight:
        size = (image_HW3.shape[0], image_HW3.shape[1])
        smoothness = SmoothnessKernel(size, settings.smooth_width)
        kernels.append((smoothness, settings.smooth_weight))
    return kernels


def _mean_field(
    unary_NK: np.ndarray, rest_N1: np.ndarray, kernels: list[Kernel], settings: DenseCRF
) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1: the marginals [N, K], and what they were divided by in the end, [N, 1]."""
    marginals_NK = unary_NK.copy()
    messages_NK, another_NK = np.zeros_like(unary_NK), np.empty_like(unary_NK)
    ones_KK = np.ones((unary_NK.shape[1],) * 2, np.float32)
    for _ in range(settings.iterations):
        for number, (kernel, weight) in enumerate(kernels):
            out = another_NK if number else messages_NK
            kernel.message(marginals_NK, out, weight)
            if number:
                messages_NK += another_NK
        if settings.compatibility is not None:
            _transform(messages_NK, np.array(settings.compatibility, np.float32))
        np.clip(messages_NK, -_HIGHEST, _HIGHEST, out=messages_NK)
        np.exp(messages_NK, out=marginals_NK)
        marginals_NK *= unary_NK
        # A product sums rows of few columns four times as fast as sum(axis=1) and a broadcast.
        total_NK = np.matmul(marginals_NK, ones_KK, out=another_NK)
        total_NK += rest_N1
        marginals_NK /= total_NK
    return marginals_NK, total_NK[:, :1]


def _transform(messages_NK: np.ndarray, compatibility_KK: np.ndarray) -> None:
    """The compatibility transform: messages -> minus the pairwise potential, up to a constant."""
    np.matmul(messages_NK, -compatibility_KK.T, out=messages_NK)
    messages_NK -= messages_NK.max(axis=1, keepdims=True)
