"""Thin regions against scipy's morphology, thin IoU against plain counting in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_maps import CLASSES, cut, map_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from maskwright.core.errors import ConfigError, DataError
from maskwright.metrics import (
    ThinIou,
    confusion_matrix,
    overlap_scores,
    semantic_scores,
    thin_overlaps,
    thin_region,
    white_top_hat,
)


def disc(radius):
    side = range(-radius, radius + 1)
    return np.array([[math.hypot(x, y) <= radius for x in side] for y in side])


def scipys_region(mask, radius=5, margin=3):
    """The image goes on as its border does, three radii far."""
    pad = 3 * radius + 1
    opened = ndimage.binary_opening(np.pad(mask, pad, mode="edge"), disc(radius))
    thin = mask & ~opened[pad:-pad, pad:-pad]
    return ndimage.binary_dilation(thin, disc(margin))


@settings(deadline=None)
@given(
    hnp.arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30)), fill=st.just(True)),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_the_region_is_scipys(mask, radius, margin):
    np.testing.assert_array_equal(
        thin_region(mask, radius, margin), scipys_region(mask, radius, margin)
    )
    np.testing.assert_array_equal(white_top_hat(mask, radius), scipys_region(mask, radius, 0))


@settings(deadline=None)
@given(map_pairs(most=24), st.sampled_from([(1, 1), (2, 0), (5, 3)]), st.sets(st.integers(0, 2)))
def test_counts_are_those_inside_scipys_regions(pair, sizes, ignore):
    expected = []
    for true, found in cut(*pair, ignore)[0]:
        where = scipys_region(true, *sizes)
        expected.append([(m & where).sum() for m in (true & found, true, found)])
    radius, margin = sizes
    counted = thin_overlaps(*pair, CLASSES, radius=radius, margin=margin, ignore=ignore)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, expected)


def test_on_blobs_and_lines_of_a_real_size():
    rng = np.random.default_rng(2)
    fields = ndimage.gaussian_filter(rng.normal(size=(2, 160, 200)), (0, 6, 6))
    truth, prediction = (fields > 0).astype(np.uint8)
    for ids in (truth, prediction):
        ids[40:43] = 2
        ids[:, 100:107] = 2
    expected = []
    for k in range(3):
        where = scipys_region(truth == k)
        true, found = (truth == k) & where, (prediction == k) & where
        expected.append([(true & found).sum(), true.sum(), found.sum()])
    np.testing.assert_array_equal(thin_overlaps(truth, prediction, 3), expected)


@given(map_pairs(), st.booleans())
def test_regions_of_the_data_set_are_taken_instead(pair, every):
    truth, prediction = pair
    rng = np.random.default_rng(truth.size)
    regions = rng.random((CLASSES, *truth.shape) if every else truth.shape) < 0.5
    expected = []
    for k, (true, found) in enumerate(cut(truth, prediction)[0]):
        where = regions[k] if every else regions
        expected.append([(m & where).sum() for m in (true & found, true, found)])
    for given_ in (regions, regions.astype(np.uint8) * 255):
        np.testing.assert_array_equal(
            thin_overlaps(truth, prediction, CLASSES, regions=given_), expected
        )


@given(map_pairs())
def test_everywhere_it_is_iou(pair):
    truth = pair[0]
    counts = thin_overlaps(*pair, CLASSES, regions=np.ones(truth.shape, np.bool_))
    whole = semantic_scores(confusion_matrix(*pair, CLASSES), "abc")
    thin = overlap_scores(counts, "abc")
    for name in ("iou", "precision", "recall", "truth_pixels", "predicted_pixels", "miou"):
        np.testing.assert_array_equal(getattr(thin, name), getattr(whole, name))


@given(map_pairs())
def test_a_perfect_prediction_scores_one(pair):
    truth = pair[0]
    scores = overlap_scores(thin_overlaps(truth, truth, CLASSES), "abc")
    assert {iou for iou in scores.iou if not math.isnan(iou)} <= {1.0}


def test_a_line_on_grass_by_hand():
    """What IoU misses: a model that never finds a line keeps a high mean over all pixels."""
    truth = np.zeros((100, 100), np.uint8)
    truth[50:53] = 1
    blind = np.zeros_like(truth)
    region = thin_region(truth == 1)
    assert region.sum() == 100 * (3 + 2 * 3)
    scores = overlap_scores(thin_overlaps(truth, blind, 2), ("grass", "line"))
    assert math.isnan(scores.iou[0])  # grass has no thin parts: it goes on beyond the border
    assert (scores.iou[1], scores.truth_pixels[1]) == (0.0, 300)
    wide = truth.copy()
    wide[48:55] = 1
    scores = overlap_scores(thin_overlaps(truth, wide, 2), ("grass", "line"))
    assert scores.iou[1] == 300 / 700
    beyond = truth.copy()
    beyond[80:83] = 1  # outside the region: IoU's business
    scores = overlap_scores(thin_overlaps(truth, beyond, 2), ("grass", "line"))
    assert scores.iou[1] == 1.0


@pytest.mark.parametrize(("width", "thin"), [(1, True), (10, True), (11, False), (40, False)])
def test_what_is_thin(width, thin):
    mask = np.zeros((80, 60), np.bool_)
    mask[20 : 20 + width] = True
    assert white_top_hat(mask).any() == thin
    np.testing.assert_array_equal(white_top_hat(mask), mask & thin)


def test_what_makes_no_sense_is_told():
    ids = np.zeros((4, 5), np.uint8)
    with pytest.raises(ConfigError, match="got -1"):
        ThinIou(2, radius=-1)
    with pytest.raises(ConfigError, match="got -2"):
        thin_region(ids, margin=-2)
    with pytest.raises(DataError, match=r"\[4, 5\] for every class or \[2, 4, 5\].*got \[5, 4\]"):
        ThinIou(2).update(ids, ids, np.ones((5, 4), np.bool_))
    with pytest.raises(DataError, match="float64"):
        thin_overlaps(ids, ids, 2, regions=np.ones((4, 5)))
