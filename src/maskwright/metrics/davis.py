"""The contour measure F of the DAVIS benchmark, by its own definition, for one object in one image.

Reference: F. Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016, section 4; the details as the benchmark's evaluation has them:

* A contour pixel differs from its right, lower or lower right neighbour; on the last row and column
  those inside the image count. So the contour runs half a pixel beside the mask's own outline, and
  an image border is no contour.
* A contour pixel is met within `tolerance` times the diagonal, rounded up to whole pixels.
* F is taken for each object and image, then averaged (over frames, then objects), which is the
  caller's to do. An empty contour on one side gives 0, on both 1.

`boundary_f` differs: outlines lie inside the masks, counts are summed over all images before
anything is divided, void and several classes are known, and its usual tolerance is Csurka's.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError

TOLERANCE = 0.008
"""As a share of the image's diagonal, as the benchmark has it."""


def davis_f(truth_HW: np.ndarray, prediction_HW: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F in 0..1 of one object in one image.

    Args:
        truth_HW: bool, the object.
        prediction_HW: bool, of the same size.
        tolerance: share of the diagonal; 1 or more: pixels.

    Raises:
        DataError: the sizes differ, or a mask isn't bool [H, W].
        ConfigError: a tolerance that isn't positive.
    """
    for mask in (truth_HW, prediction_HW):
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape != truth_HW.shape:
            raise DataError(
                f"expected two bool masks [H, W] of one size, got {truth_HW.dtype} "
                f"{truth_HW.shape} and {prediction_HW.dtype} {prediction_HW.shape}."
            )
    if not 0 < tolerance < math.inf:
        raise ConfigError(f"expected a tolerance above 0, got {tolerance}.")
    reach = tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*truth_HW.shape))
    true, found = contour(truth_HW), contour(prediction_HW)
    if not true.any() or not found.any():
        return float(true.any() == found.any())
    precision, recall = _met(found, true, reach), _met(true, found, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask_HW: np.ndarray) -> np.ndarray:
    """bool [H, W]: pixels that differ from their right, lower or lower right neighbour."""
    edge = np.zeros(mask_HW.shape, np.bool_)
    edge[:, :-1] |= mask_HW[:, :-1] != mask_HW[:, 1:]
    edge[:-1] |= mask_HW[:-1] != mask_HW[1:]
    edge[:-1, :-1] |= mask_HW[:-1, :-1] != mask_HW[1:, 1:]
    return edge


def _met(ours_HW: np.ndarray, theirs_HW: np.ndarray, reach: float) -> float:
    """The share of our contour within reach of theirs."""
    whole = math.floor(reach)
    y, x = np.mgrid[-whole : whole + 1, -whole : whole + 1]
    disc = (y * y + x * x <= reach * reach).astype(np.uint8)
    near = cv2.dilate(theirs_HW.astype(np.uint8), disc).astype(np.bool_)
    return float((ours_HW & near).sum() / ours_HW.sum())
