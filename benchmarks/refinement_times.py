"""How long refining takes, on one thread, by the number of classes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from maskwright.refine import Refinement

CLASSES = (2, 11, 19)


def time_steps(
    probabilities: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
    steps: Mapping[str, tuple[str, Mapping[str, Any]]],
    rounds: int = 5,
    counts: Sequence[int] = CLASSES,
) -> list[dict[str, Any]]:
    """Time every step on real images, in turns, on one thread of OpenCV.

    NumPy's products of matrices follow OPENBLAS_NUM_THREADS, which is read when NumPy is imported.

    Args:
        probabilities: float [K, H, W] of each image.
        images: RGB uint8 [H, W, 3].
        steps: name -> step and its settings.
        rounds: of each image, after one to warm up.
        counts: numbers of classes; the networks' are merged or divided, so that edges stay real.

    Returns:
        Rows: "step", "classes", "size", "median_ms", "min_ms", "max_ms" over images and rounds.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [
            _row(name, Refinement.of(*step), [recount(each, count) for each in probabilities],
                 images, rounds)
            for count in counts
            for name, step in steps.items()
        ]  # fmt: skip
    finally:
        cv2.setNumThreads(threads)


def recount(probabilities_KHW: np.ndarray, count: int) -> np.ndarray:
    """Probabilities of `count` classes, float32 [count, H, W]; each pixel's sum stays.

    Too many: the rarest are added up. Too few: the most frequent are divided in two, the left and
    the right half of the image, again and again.
    """
    planes = sorted(probabilities_KHW.astype(np.float32), key=lambda plane: -float(plane.sum()))
    while len(planes) < count:
        right_HW = planes.pop(0)
        left_HW = right_HW.copy()
        middle = int(np.searchsorted(np.cumsum(right_HW.sum(axis=0)), right_HW.sum() / 2))
        left_HW[:, middle:] = 0
        right_HW = right_HW.copy()
        right_HW[:, :middle] = 0
        planes += [left_HW, right_HW]
    return np.stack([*planes[: count - 1], np.sum(planes[count - 1 :], axis=0)])


def _row(
    name: str,
    step: Refinement,
    probabilities: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
    rounds: int,
) -> dict[str, Any]:
    spent = []
    for turn in range(rounds + 1):
        for told_KHW, image_HW3 in zip(probabilities, images):
            started = time.perf_counter()
            step.refine(told_KHW, image_HW3)
            if turn:
                spent.append(1000 * (time.perf_counter() - started))
    return {
        "step": name,
        "classes": len(probabilities[0]),
        "size": list(images[0].shape[:2]),
        "median_ms": round(statistics.median(spent), 1),
        "min_ms": round(min(spent), 1),
        "max_ms": round(max(spent), 1),
    }
