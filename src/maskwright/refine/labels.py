"""Class maps <-> class probabilities.

Legend: K classes, H W height and width.
"""

from __future__ import annotations

import numpy as np

from maskwright.core.errors import ConfigError


def probabilities_from_labels(ids_HW: np.ndarray, classes: int, confidence: float) -> np.ndarray:
    """What a class map tells, where the probabilities behind it are not known.

    Args:
        ids_HW: integer ids; those that no class has tell nothing: all classes are as probable.
        classes: K, 2 or more.
        confidence: probability of the class that is told, between 1 / K and 1; the others share
            the rest.

    Returns:
        float32 [K, H, W].

    Raises:
        ConfigError: a confidence that says less than nothing, or leaves no doubt to work with.
    """
    if classes < 2 or not 1 / classes < confidence < 1:
        raise ConfigError(
            f"expected 2 classes or more and a confidence between 1 / classes and 1, got {classes} "
            f"and {confidence}."
        )
    told_KK = np.full((classes + 1, classes), (1 - confidence) / (classes - 1), np.float32)
    np.fill_diagonal(told_KK, confidence)
    told_KK[classes] = 1 / classes
    known_HW = (ids_HW >= 0) & (ids_HW < classes)
    return np.ascontiguousarray(told_KK.T[:, np.where(known_HW, ids_HW, classes)])


def most_probable(probabilities_KHW: np.ndarray) -> np.ndarray:
    """Ids [H, W] of the largest probability, uint8 (uint16 above 255 classes); the first of equals.

    Plane by plane, which is several times as fast as numpy's argmax over the first axis.
    """
    ids_HW = np.zeros(probabilities_KHW.shape[1:], np.uint8 if len(probabilities_KHW) <= 255
                      else np.uint16)  # fmt: skip
    highest_HW = probabilities_KHW[0].copy()
    for index, plane_HW in enumerate(probabilities_KHW[1:], start=1):
        np.copyto(ids_HW, index, where=plane_HW > highest_HW)
        np.maximum(highest_HW, plane_HW, out=highest_HW)
    return ids_HW
