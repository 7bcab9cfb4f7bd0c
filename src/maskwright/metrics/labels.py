"""Average precision of image labels: several classes may be true of one image.

Reference: M. Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010, section
4.1, without interpolation, as multi-label recognition reports it: of each class, images are ranked
by its score, and AP is the sum over distinct scores of (R_n - R_{n-1}) P_n; images of one score
come in together, so that their order says nothing. mAP is the mean over the classes.

* A class that is true of no image has no AP (NaN) and is left out of the mean.

Legend: N images, K classes, R draws of the images.
"""

from __future__ import annotations

import numpy as np

from maskwright.core.errors import DataError
from maskwright.metrics.overlap import mean_defined, ratio


def label_average_precision(
    truth_NK: np.ndarray, score_NK: np.ndarray, times_RN: np.ndarray | None = None
) -> np.ndarray:
    """AP of each class.

    Args:
        truth_NK: bool, whether the class is true of the image.
        score_NK: float, the higher the surer.
        times_RN: how often each image was drawn, for the bootstrap; each once if not given.

    Returns:
        float64 [K] without draws, else [R, K], 0..1; NaN where nothing is to be found.

    Raises:
        DataError: the shapes differ, or a score is no number.
    """
    if truth_NK.shape != score_NK.shape or truth_NK.ndim != 2:
        raise DataError(
            f"expected truth and scores [images, classes] of one shape, got {truth_NK.shape} and "
            f"{score_NK.shape}."
        )
    if np.isnan(score_NK).any():
        raise DataError("expected scores that are numbers, got NaN.")
    times = np.ones((1, len(truth_NK)), np.int64) if times_RN is None else times_RN
    columns = [_of_class(true, score, times) for true, score in zip(truth_NK.T, score_NK.T)]
    found_RK = np.stack(columns, axis=1) if columns else np.empty((len(times), 0))
    return found_RK[0] if times_RN is None else found_RK


def mean_label_precision(
    truth_NK: np.ndarray, score_NK: np.ndarray, times_RN: np.ndarray | None = None
) -> np.ndarray:
    """mAP: the mean of `label_average_precision` over the classes that have one; float64 [R]."""
    return mean_defined(label_average_precision(truth_NK, score_NK, times_RN))


def _of_class(true_N: np.ndarray, score_N: np.ndarray, times_RN: np.ndarray) -> np.ndarray:
    order = np.argsort(-score_N, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score_N[order]) != 0, True))  # of each distinct score
    times = times_RN[:, order]
    hits = np.cumsum(times * true_N[order], axis=1)[:, last]
    ranked = np.cumsum(times, axis=1)[:, last]
    gained = np.diff(hits, axis=1, prepend=0)
    precision = hits / np.maximum(ranked, 1)
    return ratio((gained * precision).sum(axis=1), hits[:, -1])
