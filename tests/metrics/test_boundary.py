"""Boundary IoU against scipy's erosion, tiny cases by hand, and what must hold of it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from drawn_maps import CLASSES, cut, map_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.mask import Mask
from maskwright.metrics import (
    BoundaryIou,
    boundary_band,
    boundary_iou,
    boundary_mask,
    boundary_overlaps,
    boundary_width,
)
from maskwright.metrics.boundary import boundary_spans
from maskwright.metrics.objects import Spans

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def scipys_band(mask, width):
    """The paper's: the mask minus itself eroded by a 3x3 square, zeros around the image."""
    eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)
    return mask & ~eroded


@given(masks, st.integers(1, 4))
def test_the_band_is_the_mask_minus_its_erosion(mask, width):
    np.testing.assert_array_equal(boundary_band(mask, width), scipys_band(mask, width))
    np.testing.assert_array_equal(
        boundary_band(mask.astype(np.uint8), width), scipys_band(mask, width)
    )


@given(masks, st.floats(0.02, 0.3))
def test_the_band_of_a_run_length_mask_is_the_same(mask, ratio):
    band = boundary_mask(Mask.encode(mask), ratio)
    expected = scipys_band(mask, boundary_width(mask.shape, ratio))
    assert band == Mask.encode(expected)


@given(map_pairs(), st.integers(1, 3))
def test_a_map_of_regions_gives_the_bands_of_its_masks(pair, width):
    ids = pair[0]
    expected = np.zeros(ids.shape, np.bool_)
    for region in range(1, 256):
        expected |= scipys_band(ids == region, width)
    np.testing.assert_array_equal(boundary_band(ids, width), expected)
    wide = ids.astype(np.uint16) * 200
    np.testing.assert_array_equal(boundary_band(wide, width), expected)


@settings(deadline=None)
@given(map_pairs(), st.sampled_from([0.02, 0.15]), st.sets(st.integers(0, 2), max_size=1))
def test_counts_are_those_of_the_masks_one_by_one(pair, ratio, ignore):
    truth, prediction = pair
    width = max(1, round(ratio * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))
    expected = []
    for true, found in cut(truth, prediction, ignore)[0]:
        true, found = scipys_band(true, width), scipys_band(found, width)
        expected.append([(true & found).sum(), true.sum(), found.sum()])
    counted = boundary_overlaps(truth, prediction, CLASSES, ratio=ratio, ignore=ignore)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, expected)


@given(map_pairs())
def test_without_void_it_is_symmetric(pair):
    first, second = (np.where(ids < CLASSES, ids, 0) for ids in pair)
    there, back = (boundary_overlaps(*maps, CLASSES) for maps in ((first, second), (second, first)))
    np.testing.assert_array_equal(there, back[:, [0, 2, 1]])
    one, two = first == 1, second == 1
    assert boundary_iou(one, two) == boundary_iou(two, one)
    both, true, found = there[1].tolist()
    assert boundary_iou(one, two) == both / max(1, true + found - both)


@given(map_pairs())
def test_a_perfect_prediction_scores_one_also_beside_void(pair):
    truth = pair[0]
    counts = BoundaryIou(CLASSES)
    counts.update(truth, np.where(truth == 255, 1, truth))
    scores = counts.scores()
    for k in range(CLASSES):
        assert scores.iou[k] == 1.0 if (truth == k).any() else math.isnan(scores.iou[k])


@given(masks)
def test_a_band_as_wide_as_the_image_makes_it_iou(mask):
    other = mask[::-1, ::-1]
    assert boundary_iou(mask, other, ratio=1.0) == Mask.encode(mask).iou(Mask.encode(other))


def test_a_square_that_misses_a_rim_by_hand():
    """A 10x10 square seen as its inner 8x8: IoU forgives (0.64), a band of 1 pixel doesn't."""
    truth, found = np.zeros((2, 20, 20), np.bool_)
    truth[5:15, 5:15] = True
    found[6:14, 6:14] = True
    assert boundary_width((20, 20)) == 1  # 0.02 * 28.3 = 0.57
    assert boundary_iou(truth, found) == 0.0  # rings of 36 and 28 pixels that don't touch
    # Bands of 2 pixels: 100 - 36 = 64 and 64 - 16 = 48; they share the ring of 28.
    assert boundary_iou(truth, found, ratio=2 / math.hypot(20, 20)) == 28 / (64 + 48 - 28)


def test_width_is_rounded_and_at_least_one():
    assert boundary_width((480, 640)) == 16
    assert boundary_width((1024, 2048)) == 46  # 45.79
    assert boundary_width((4, 4)) == 1


def test_empty_masks_score_nothing():
    empty = np.zeros((4, 4), np.bool_)
    assert boundary_iou(empty, empty) == 0.0
    assert boundary_mask(Mask.encode(empty)).area == 0


def test_what_makes_no_sense_is_told():
    mask = np.ones((4, 4), np.uint8)
    with pytest.raises(ConfigError, match="got 0"):
        boundary_iou(mask, mask, ratio=0)
    with pytest.raises(ConfigError, match="got nan"):
        BoundaryIou(2, ratio=math.nan)
    with pytest.raises(ConfigError, match="got 0"):
        boundary_band(mask, 0)
    with pytest.raises(DataError, match=r"\(4, 4\) and \(3, 4\)"):
        boundary_iou(mask, mask[1:])
    with pytest.raises(ConfigError, match=r"got \[7\]"):
        boundary_overlaps(mask, mask, 2, ignore=(7,))
    with pytest.raises(DataError, match=r"ids 5, expected 0\.\.1"):
        boundary_overlaps(mask * 5, mask, 2)


@given(st.lists(masks, min_size=1, max_size=5), st.sampled_from([0.02, 0.1, 0.2]))
def test_bands_of_many_masks_are_those_of_each(many, ratio):
    coded = [Mask.encode(pixels) for pixels in many]
    chosen = np.arange(len(coded))[::-1]
    found = boundary_spans(Spans.of_masks(coded), chosen, ratio)
    for number, index in enumerate(chosen.tolist()):
        pixels = np.zeros(many[index].size, bool)
        for begin, end in found.edges[found.first[number] : found.first[number + 1]].tolist():
            pixels[begin:end] = True
        band = scipys_band(many[index], boundary_width(many[index].shape, ratio))
        np.testing.assert_array_equal(pixels.reshape(many[index].shape[::-1]).T, band)


def test_bands_of_drawn_masks_are_those_of_their_pixels():
    """Convex ones, which have one stretch a column, and others, in images of two sizes."""
    rng = np.random.default_rng(0)
    many = []
    for size in ((90, 120), (200, 60)) * 6:
        canvas = np.zeros(size, np.uint8)
        x, y = (int(place) for place in rng.integers(0, 60, 2))
        first, second = (int(radius) for radius in rng.integers(3, 60, 2))
        cv2.ellipse(canvas, (x, y), (first, second), float(rng.uniform(0, 90)), 0, 360, 1, -1)
        many += [canvas > 0, canvas == 0, np.roll(canvas, 30, axis=1) > 0]
        many.append((canvas > 0) & (rng.random(size) < 0.99))
    coded = [Mask.encode(pixels) for pixels in many]
    chosen = rng.permutation(len(coded))
    found = boundary_spans(Spans.of_masks(coded), chosen)
    for number, index in enumerate(chosen.tolist()):
        pixels = np.zeros(many[index].size, bool)
        for begin, end in found.edges[found.first[number] : found.first[number + 1]].tolist():
            assert not pixels[begin:end].any()
            assert begin < end
            pixels[begin:end] = True
        band = scipys_band(many[index], boundary_width(many[index].shape))
        np.testing.assert_array_equal(pixels.reshape(many[index].shape[::-1]).T, band)
