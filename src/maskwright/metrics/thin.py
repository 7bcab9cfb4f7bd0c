"""Thin IoU: the IoU inside the truth's thin regions.

A thin region is what a morphological opening with a disc of radius 5 removes from a class's truth
(the white top-hat; J. Serra, Image Analysis and Mathematical Morphology, 1982, chapter XII), grown
by a disc of radius 3, so that a line predicted a little too wide costs something. A disc of radius
r is all (x, y) with x^2 + y^2 <= r^2. Sharp corners of thick objects are thin too, a pixel or a few
each. What IoU hides: a field line of 3 pixels is a thousandth of
the pitch's pixels; a model that never finds one loses nothing that can be seen in the mean.

The policies, beside those of `metrics.overlap`:

* Class k is counted inside the thin regions of class k, or inside `regions` where a data set
  brings its own.
* Nothing outside the regions counts: lines predicted where there are none are no business of this
  score; IoU and precision tell of them.
* A class without thin regions has no score (NaN) and is left out of the mean.
* The image's border doesn't cut: what lies outside is taken to go on as the border's pixels do.
* Void pixels, and those of ignored classes, belong to no class and aren't counted.
* A labelled pixel predicted as no class is a miss.

Legend: K classes, H W height and width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.metrics.accumulator import Accumulator
from maskwright.metrics.maps import check_settings, class_maps
from maskwright.metrics.overlap import OverlapScores, overlap_scores

RADIUS = 5
"""Of the disc that tells thin from thick, in pixels: parts narrower than 11 vanish."""

MARGIN = 3
"""Pixels by which a thin region grows."""


def white_top_hat(mask_HW: np.ndarray, radius: int = RADIUS) -> np.ndarray:
    """bool [H, W]: the pixels of a mask in parts too narrow for a disc.

    Args:
        mask_HW: bool or uint8, nonzero inside. It goes on beyond the image as its border does.
        radius: of the disc in pixels, 0 or more.

    Raises:
        ConfigError: a negative radius.
    """
    disc = _disc(radius)
    inside = (mask_HW != 0).astype(np.uint8)
    if not inside.any() or not radius:
        return np.zeros(inside.shape, np.bool_)
    padded = np.pad(inside, 2 * radius, mode="edge")  # an opening looks two radii far
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)
    height, width = inside.shape
    opened = opened[2 * radius : 2 * radius + height, 2 * radius : 2 * radius + width]
    return (inside > opened).view(np.bool_)


def thin_region(mask_HW: np.ndarray, radius: int = RADIUS, margin: int = MARGIN) -> np.ndarray:
    """bool [H, W]: the thin parts of a mask, and what lies within `margin` of them.

    Args:
        mask_HW: bool or uint8, nonzero inside.
        radius: of the disc that thin parts don't hold, in pixels.
        margin: radius of the disc that they grow by, in pixels; 0 leaves them as they are.

    Raises:
        ConfigError: a negative number.
    """
    disc = _disc(margin)
    thin = white_top_hat(mask_HW, radius)
    return cv2.dilate(thin.view(np.uint8), disc).view(np.bool_) if thin.any() else thin


def thin_overlaps(
    truth_HW: np.ndarray,
    prediction_HW: np.ndarray,
    classes: int,
    void: int = 255,
    *,
    radius: int = RADIUS,
    margin: int = MARGIN,
    regions: np.ndarray | None = None,
    ignore: Collection[int] = (),
) -> np.ndarray:
    """Count one image's pixels inside its thin regions by class.

    Args:
        truth_HW: integer class ids 0..K-1, or `void`.
        prediction_HW: integer class ids of the same size; anything outside 0..K-1 is no class.
        classes: K.
        void: the id of unlabelled pixels, outside 0..K-1.
        radius: of the disc that thin parts don't hold, in pixels.
        margin: pixels by which they grow.
        regions: bool or uint8, where to look instead: [H, W] for every class or [K, H, W] for
            each; radius and margin are then not used.
        ignore: class ids that are treated as void.

    Returns:
        int64 [K, 3]: pixels in both, in the truth, in the prediction.

    Raises:
        DataError: sizes differ, the ids aren't integers, or the truth holds an id out of range.
        ConfigError: `void` is the id of a class, an ignored id is none, or a number is negative.
    """
    truth, prediction = class_maps(truth_HW, prediction_HW, classes, void, ignore)
    counts = np.zeros((classes, 3), np.int64)
    if regions is not None:
        given = _given(regions, classes, truth.shape)
        for k in range(classes):
            counts[k] = _count(truth, prediction, k + 1, given[k])
        return counts
    _check_radii(radius, margin)
    present = np.bincount(truth.ravel(), minlength=classes + 1)[1:]
    for k in np.flatnonzero(present).tolist():
        window = _window(truth == k + 1, 2 * radius + margin)
        region = thin_region(truth[window] == k + 1, radius, margin)
        counts[k] = _count(truth[window], prediction[window], k + 1, region)
    return counts


class ThinIou(Accumulator):
    """Adds up images; a thin layer over `thin_overlaps` and `overlap_scores`.

    Args:
        classes: K.
        void: the id of unlabelled pixels.
        radius: of the disc that thin parts don't hold, in pixels.
        margin: pixels by which they grow.
        ignore: class ids that are treated as void.

    Attributes:
        counts: int64 [K, 3], all images so far.
    """

    def __init__(
        self,
        classes: int,
        void: int = 255,
        *,
        radius: int = RADIUS,
        margin: int = MARGIN,
        ignore: Collection[int] = (),
    ) -> None:
        check_settings(classes, void, ignore)
        _check_radii(radius, margin)
        super().__init__(np.zeros((classes, 3), np.int64))
        self.classes = classes
        self.void = void
        self.radius = radius
        self.margin = margin
        self.ignore = frozenset(ignore)

    def update(
        self,
        truth_HW: np.ndarray,
        prediction_HW: np.ndarray,
        regions: np.ndarray | None = None,
    ) -> None:
        """Add one image, with its data set's regions if any; on an error nothing is added."""
        self.counts += thin_overlaps(
            truth_HW,
            prediction_HW,
            self.classes,
            self.void,
            radius=self.radius,
            margin=self.margin,
            regions=regions,
            ignore=self.ignore,
        )

    def scores(self, names: Sequence[str] | None = None) -> OverlapScores:
        """Scores so far; without names the classes are called by their ids."""
        chosen = [str(i) for i in range(self.classes)] if names is None else names
        return overlap_scores(self.counts, chosen, self.ignore)


def _check_radii(*radii: int) -> None:
    for radius in radii:
        if radius < 0 or radius != int(radius):
            raise ConfigError(f"expected a disc's radius in whole pixels, 0 or more, got {radius}.")


def _disc(radius: int) -> np.ndarray:
    _check_radii(radius)
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)


def _window(inside_HW: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The box around what is inside, `margin` pixels larger where the image goes on."""
    left, top, width, height = cv2.boundingRect(inside_HW.view(np.uint8))
    rows = slice(max(0, top - margin), top + height + margin)
    return rows, slice(max(0, left - margin), left + width + margin)


def _count(truth: np.ndarray, prediction: np.ndarray, one: int, region: np.ndarray) -> list[int]:
    true, found = (truth == one) & region, (prediction == one) & region
    return [int(np.count_nonzero(each)) for each in (true & found, true, found)]


def _given(regions: np.ndarray, classes: int, size: tuple[int, ...]) -> np.ndarray:
    if regions.shape not in (size, (classes, *size)) or regions.dtype.kind not in "bui":
        raise DataError(
            f"expected regions {list(size)} for every class or {[classes, *size]} for each, of "
            f"type bool or uint8, got {list(regions.shape)} of {regions.dtype}."
        )
    return np.broadcast_to(regions != 0, (classes, *size))
