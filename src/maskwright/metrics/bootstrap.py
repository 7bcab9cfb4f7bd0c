"""How sure a difference of mIoU is: a paired bootstrap over images (Efron, Tibshirani, 1993).

Both models have seen the same images. Each resample draws as many images as there are, with
replacement, the same for both models, adds up their confusion matrices and takes the difference of
the two mIoUs; the interval holds the middle share of those differences. What varies is which
images were photographed, not how the models were trained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.semantic import semantic_scores

_DRAWS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class PairedInterval:
    """A difference and how far it may be off.

    Attributes:
        value: mIoU of the first minus mIoU of the second, -1..1, over all images.
        low, high: the percentile interval around it.
        confidence: the share of resamples between them.
        images: how many were resampled.
        resamples: how often.
    """

    value: float
    low: float
    high: float
    confidence: float
    images: int
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def paired_interval(
    first_NKL: np.ndarray,
    second_NKL: np.ndarray,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedInterval:
    """The difference of two models' mIoU on the same images, with its interval.

    Args:
        first_NKL: int [N, K, K + 1], a confusion matrix an image as `confusion_matrix` counts it.
        second_NKL: of the other model, the same images in the same order.
        resamples: how often the images are drawn anew.
        confidence: share of the resamples that the interval holds, between 0 and 1.
        seed: of the drawing.

    Raises:
        ConfigError: the shapes differ or are no matrices, there is no labelled pixel, or a number
            makes no sense.
    """
    _check(first_NKL, second_NKL, resamples, confidence)
    images = len(first_NKL)
    rng = np.random.default_rng(seed)
    columns = [_counts(matrices) for matrices in (first_NKL, second_NKL)]
    differences: list[np.ndarray] = []
    for start in range(0, resamples, _DRAWS_AT_ONCE):
        draws = min(_DRAWS_AT_ONCE, resamples - start)
        times_RN = rng.multinomial(images, np.full(images, 1 / images), size=draws)
        first, second = (_miou(times_RN @ counts) for counts in columns)
        differences.append(first - second)
    edges = (50 * (1 - confidence), 50 * (1 + confidence))
    low, high = np.nanpercentile(np.concatenate(differences), edges)
    names = [str(i) for i in range(first_NKL.shape[1])]
    of_first, of_second = (
        semantic_scores(matrices.sum(axis=0), names).miou for matrices in (first_NKL, second_NKL)
    )
    return PairedInterval(
        value=of_first - of_second,
        low=float(low),
        high=float(high),
        confidence=confidence,
        images=images,
        resamples=resamples,
    )


def _check(
    first_NKL: np.ndarray, second_NKL: np.ndarray, resamples: int, confidence: float
) -> None:
    shape = first_NKL.shape
    if len(shape) != 3 or shape[2] != shape[1] + 1 or second_NKL.shape != shape:
        raise ConfigError(
            "expected two stacks of matrices [images, K, K + 1] of the same shape, got "
            f"{list(shape)} and {list(second_NKL.shape)}."
        )
    if not first_NKL.any() or not second_NKL.any():
        raise ConfigError(f"expected labelled pixels to compare, got none in {shape[0]} images.")
    if resamples < 1 or not 0 < confidence < 1:
        raise ConfigError(
            "expected one resample or more and a confidence between 0 and 1, got "
            f"{resamples} and {confidence}."
        )


def _counts(matrices_NKL: np.ndarray) -> np.ndarray:
    """float64 [N, 3 K]: right, true and predicted pixels of each class; exact up to 2^53."""
    classes = matrices_NKL.shape[1]
    right = np.diagonal(matrices_NKL, axis1=1, axis2=2)
    truth, predicted = matrices_NKL.sum(axis=2), matrices_NKL[:, :, :classes].sum(axis=1)
    return np.concatenate([right, truth, predicted], axis=1).astype(np.float64)


def _miou(counts_RM: np.ndarray) -> np.ndarray:
    """[R] from [R, 3 K], by the policies of `semantic_scores`; NaN where no class occurs."""
    right, truth, predicted = np.split(counts_RM, 3, axis=1)
    union = truth + predicted - right
    iou = np.divide(right, union, out=np.zeros_like(right), where=union > 0)
    present = (union > 0).sum(axis=1)
    total = iou.sum(axis=1)
    return np.divide(total, present, out=np.full(len(total), np.nan), where=present > 0)
