"""Class maps as the scores want them: checked, and with one id for what belongs to no class.

Legend: K classes, H W height and width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from maskwright.core.errors import ConfigError, DataError


def class_maps(
    truth_HW: np.ndarray,
    prediction_HW: np.ndarray,
    classes: int,
    void: int = 255,
    ignore: Collection[int] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Both maps with class k as k + 1 and 0 for void, for ignored classes and for no class.

    A pixel whose truth is void or ignored is 0 in both maps: what was predicted there is taken
    out before anything is drawn or counted.

    Args:
        truth_HW: integer class ids 0..K-1, or `void`.
        prediction_HW: integer class ids of the same size; anything outside 0..K-1 is no class.
        classes: K.
        void: the id of unlabelled pixels, outside 0..K-1.
        ignore: class ids that are treated as void.

    Returns:
        Truth and prediction, uint8 [H, W], uint16 above 254 classes.

    Raises:
        DataError: sizes differ, the ids aren't integers, or the truth holds an id out of range.
        ConfigError: `void` is the id of a class, or an ignored id is none.
    """
    check_maps(truth_HW, prediction_HW)
    check_settings(classes, void, ignore)
    truth = _shifted(truth_HW, classes, ignore)
    unlabelled = truth == 0
    unknown = unlabelled & (truth_HW != void)
    wrong = np.setdiff1d(np.unique(truth_HW[unknown]), list(ignore)) if unknown.any() else ()
    if len(wrong):
        raise out_of_range([int(i) for i in wrong], classes, void)
    prediction = _shifted(prediction_HW, classes, ignore)
    prediction[unlabelled] = 0
    return truth, prediction


def _shifted(ids_HW: np.ndarray, classes: int, ignore: Collection[int]) -> np.ndarray:
    counted = (ids_HW >= 0) & (ids_HW < classes)
    for one in ignore:
        counted &= ids_HW != one
    dtype = np.uint8 if classes < 255 else np.uint16
    shifted = np.zeros(ids_HW.shape, dtype)
    # in the wider type: 255 + 1 would be 0 in uint8
    np.add(ids_HW, 1, out=shifted, where=counted, casting="unsafe", dtype=dtype)
    return shifted


def check_maps(truth_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
    """Refuse maps of other sizes or types.

    Raises:
        DataError: they aren't two integer arrays [H, W] of one size.
    """
    if truth_HW.shape != prediction_HW.shape or truth_HW.ndim != 2:
        raise DataError(
            "expected truth and prediction of the same size [height, width], got "
            f"{truth_HW.shape} and {prediction_HW.shape}; bring the prediction to the size of "
            "the truth, by nearest neighbour."
        )
    for name, ids in (("truth", truth_HW), ("prediction", prediction_HW)):
        if not np.issubdtype(ids.dtype, np.integer):
            raise DataError(f"expected the {name} as integer class ids, got {ids.dtype}.")


def check_void(classes: int, void: int) -> None:
    """Refuse a void id that is also a class.

    Raises:
        ConfigError: it lies in 0..K-1, or there are no classes.
    """
    if classes < 1:
        raise ConfigError(f"expected at least one class, got {classes}.")
    if 0 <= void < classes:
        raise ConfigError(
            f"void id {void} is also a class (0..{classes - 1}); take another id for void, or "
            f"score with ignore=({void},)."
        )


def check_settings(classes: int, void: int, ignore: Collection[int]) -> None:
    """Refuse what no map can be counted with: `check_void` and `check_ignored` in one.

    Raises:
        ConfigError: `void` is the id of a class, an ignored id is none, or there are no classes.
    """
    check_void(classes, void)
    check_ignored(classes, ignore)


def check_ignored(classes: int, ignore: Collection[int]) -> None:
    """Refuse to ignore what is no class.

    Raises:
        ConfigError: an id lies outside 0..K-1.
    """
    wrong = sorted(i for i in ignore if not 0 <= i < classes)
    if wrong:
        raise ConfigError(f"ignored ids must lie in 0..{classes - 1}, got {wrong}.")


def out_of_range(ids: Sequence[int], classes: int, void: int) -> DataError:
    """The error for ids that a truth shouldn't hold."""
    shown = ", ".join(str(i) for i in ids[:10]) + (", ..." if len(ids) > 10 else "")
    return DataError(
        f"the truth holds class ids {shown}, expected 0..{classes - 1} or void {void}; check the "
        "class list, or map these ids to void."
    )
