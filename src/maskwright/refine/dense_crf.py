"""Mean field inference in a fully connected conditional random field.

Reference: P. Kraehenbuehl, V. Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian
Edge Potentials", NIPS 2011, arXiv 1210.5644, algorithm 1 and equation 3.

Each pixel hears from all others what class they lean to: the louder, the closer they are
(smoothness), and the closer they are in place and colour (appearance). It weighs that against what
the network told it. A few rounds are enough.

As in the authors' code, the kernels are normalised symmetrically, and a pixel hears itself, too.
With the Potts model a message about a class speaks of that class alone: it is the sum of the
kernel times the probabilities, and classes that nobody believes in can stay silent.

Legend: K classes, H W height and width, N pixels = H W.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.refine.kernels import AppearanceKernel, SmoothnessKernel

Kernel = tuple[AppearanceKernel | SmoothnessKernel, float]
"""And the weight of its messages."""

_LOUDEST = 80.0
"""Of a message: e to the power of it is still a float32. No useful weight comes near."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseCRF:
    """How loud the messages are, and how far they carry.

    Attributes:
        appearance_weight: of near pixels of alike colour; 0 leaves them out.
        appearance_width: standard deviation of "near", in pixels.
        colour_width: standard deviation of "alike", in levels 0..255 of each channel.
        smooth_weight: of near pixels of any colour; 0 leaves them out.
        smooth_width: standard deviation of "near" for these, in pixels.
        iterations: rounds of messages.
        compatibility: the penalty [K][K] for a pixel of the row's class beside one of the column's.
            None is the Potts model: 1 for any two classes that differ.
        cell: pixels in one box whose sides are this many standard deviations share their message
            of appearance; 0 keeps each pixel by itself.
        blur: whether the lattice of the appearance kernel blurs: closer to a Gaussian, and slower.
        floor: a class that is less probable than this everywhere in an image neither sends nor
            hears messages; its share of the probability still counts. With compatibilities every
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
    """Refine what a network told by what the image shows.

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
    heard_K = _heard(unary_KN, settings)
    unary_NK = np.ascontiguousarray(unary_KN[heard_K].T)
    silent_N1 = unary_KN[~heard_K].sum(axis=0)[:, None]
    marginals_NK, total_N1 = _mean_field(
        unary_NK, silent_N1, _kernels(image_HW3, settings), settings
    )
    refined_KN = np.empty_like(unary_KN)
    refined_KN[heard_K] = marginals_NK.T
    refined_KN[~heard_K] = unary_KN[~heard_K] / total_N1[:, 0]
    return refined_KN.reshape(probabilities_KHW.shape)


def _unary(probabilities_KHW: np.ndarray, image_HW3: np.ndarray) -> np.ndarray:
    """float32 [K, N], checked; each pixel's sum is 1."""
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


def _heard(unary_KN: np.ndarray, settings: DenseCRF) -> np.ndarray:
    """bool [K]: the classes that take part; at least the most probable one of each pixel."""
    classes = len(unary_KN)
    if settings.compatibility is None:
        heard_K: np.ndarray = unary_KN.max(axis=1) >= min(settings.floor, 1 / classes)
        return heard_K
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
    unary_NK: np.ndarray, silent_N1: np.ndarray, kernels: list[Kernel], settings: DenseCRF
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
            _penalise(messages_NK, np.array(settings.compatibility, np.float32))
        np.clip(messages_NK, -_LOUDEST, _LOUDEST, out=messages_NK)
        np.exp(messages_NK, out=marginals_NK)
        marginals_NK *= unary_NK
        # A product sums rows of few columns four times as fast as sum(axis=1) and a broadcast.
        total_NK = np.matmul(marginals_NK, ones_KK, out=another_NK)
        total_NK += silent_N1
        marginals_NK /= total_NK
    return marginals_NK, total_NK[:, :1]


def _penalise(messages_NK: np.ndarray, penalties_KK: np.ndarray) -> None:
    """Sums of kernel times probability -> minus the penalties, up to a constant of each pixel."""
    np.matmul(messages_NK, -penalties_KK.T, out=messages_NK)
    messages_NK -= messages_NK.max(axis=1, keepdims=True)
