"""Which image a training step reads: shuffled epochs, or rare classes more often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_weights(pixels_NK: np.ndarray, power: float = 0.5, ceiling: float = 10.0) -> np.ndarray:
    """Weights for the loss: (median class frequency / class frequency) ** power.

    With power 1 this is the median-frequency balancing of Eigen and Fergus (ICCV 2015, section
    4.3.2); the root is milder: it lifts rare classes without drowning the others in false alarms.

    Args:
        pixels_NK: labelled pixels of each image and class.
        power: 0 weighs all alike.
        ceiling: highest weight, and 1 / lowest.

    Returns:
        float32 [K]; 1 for classes that never occur.
    """
    total_K = pixels_NK.sum(axis=0).astype(np.float64)
    present_NK = pixels_NK > 0
    # frequency among the pixels of the images that show the class at all
    shown_K = present_NK.T.astype(np.float64) @ pixels_NK.sum(axis=1)
    frequency_K = np.divide(total_K, shown_K, out=np.zeros_like(total_K), where=shown_K > 0)
    weights_K = np.ones_like(total_K)
    seen = frequency_K > 0
    if seen.any():
        weights_K[seen] = (np.median(frequency_K[seen]) / frequency_K[seen]) ** power
    return np.clip(weights_K, 1 / ceiling, ceiling).astype(np.float32)


def repeat_factors(pixels_NK: np.ndarray, threshold: float = 0.3) -> np.ndarray:
    """How often an image is shown relative to others (Gupta, Dollar, Girshick: LVIS, CVPR 2019).

    A class in a share f of the images has the factor max(1, sqrt(threshold / f)); an image takes
    the largest factor of its classes.

    Args:
        pixels_NK: labelled pixels of each image and class.
        threshold: classes in fewer images than this share are shown more often.

    Returns:
        float64 [N], >= 1.
    """
    present_NK = pixels_NK > 0
    share_K = present_NK.mean(axis=0)
    factor_K = np.ones(len(share_K))
    rare = (share_K > 0) & (share_K < threshold)
    factor_K[rare] = np.sqrt(threshold / share_K[rare])
    return np.where(present_NK, factor_K, 1.0).max(axis=1)


def draw_order(factors: Sequence[float] | np.ndarray, draws: int, seed: int) -> np.ndarray:
    """The images of the first `draws` draws; any prefix stays the same when `draws` grows.

    Epochs are shuffled one by one. In an epoch an image with factor f stands floor(f) times, and
    once more with probability f - floor(f).

    Args:
        factors: one an image; all 1 gives plain shuffled epochs.
        draws: how many indices are wanted.
        seed: of the shuffling.

    Returns:
        int64 [draws].

    Raises:
        ValueError: no image would ever be drawn.
    """
    factors = np.asarray(factors, np.float64)
    if draws and not factors.sum() > 0:
        raise ValueError(f"expected factors above zero to draw by, got {factors}")
    parts: list[np.ndarray] = []
    drawn = epoch = 0
    while drawn < draws:
        rng = np.random.default_rng((seed, 0, epoch))
        times = np.floor(factors).astype(np.int64)
        times += rng.random(len(factors)) < factors - times
        parts.append(rng.permutation(np.repeat(np.arange(len(factors)), times)))
        drawn += len(parts[-1])
        epoch += 1
    return np.concatenate(parts)[:draws] if parts else np.zeros(0, np.int64)


def draw_rare(
    pixels_NK: np.ndarray, index: int, rng: np.random.Generator
) -> tuple[int, int | None]:
    """An image and a class in it, drawn evenly from all classes but the commonest.

    Args:
        pixels_NK: labelled pixels of each image and class.
        index: of the image that was to be drawn; it stays, without a class, where there is no other
            class than one.
        rng: all that is random.
    """
    total_K = pixels_NK.sum(axis=0)
    others = np.flatnonzero((total_K > 0) & (np.arange(len(total_K)) != total_K.argmax()))
    if not len(others):
        return index, None
    class_id = int(rng.choice(others))
    return int(rng.choice(np.flatnonzero(pixels_NK[:, class_id]))), class_id
