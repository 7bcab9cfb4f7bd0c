"""Boundary F against brute force over pairs of pixels, and tiny cases by hand."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from drawn_maps import CLASSES, cut, map_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from maskwright.core.errors import ConfigError
from maskwright.metrics import (
    BoundaryF,
    boundary_f_scores,
    boundary_matches,
    mean_boundary_f,
)


def outline_pixels(mask, labelled):
    """(y, x) of the mask with a labelled 4-neighbour in the image that isn't in the mask."""
    height, width = mask.shape
    found = []
    for y, x in itertools.product(range(height), range(width)):
        around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        if mask[y, x] and any(
            0 <= v < height and 0 <= u < width and labelled[v, u] and not mask[v, u]
            for v, u in around
        ):
            found.append((y, x))
    return found


def met(ours, theirs, reach):
    return sum(any(math.dist(one, other) <= reach for other in theirs) for one in ours)


@settings(deadline=None)
@given(
    map_pairs(most=10),
    st.sampled_from([0.0, 1.0, math.sqrt(2), 2.5, 3.0]),
    st.sets(st.integers(0, 2), max_size=1),
)
def test_counts_are_those_of_brute_force(pair, reach, ignore):
    masks, labelled = cut(*pair, ignore)
    expected = []
    for true, found in masks:
        ours, theirs = outline_pixels(true, labelled), outline_pixels(found, labelled)
        expected.append(
            [len(ours), met(ours, theirs, reach), len(theirs), met(theirs, ours, reach)]
        )
    counted = boundary_matches(*pair, CLASSES, pixels=reach, ignore=ignore)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, expected)


def test_large_outlines_agree_with_a_distance_transform():
    rng = np.random.default_rng(4)
    blobs = [ndimage.gaussian_filter(rng.normal(size=(90, 120)), 5) > 0 for _ in range(2)]
    truth, prediction = (blob.astype(np.uint8) for blob in blobs)
    everywhere = np.ones(truth.shape, np.bool_)
    for k in range(2):
        ours, theirs = np.zeros((2, *truth.shape), np.bool_)
        for ids, edge in ((truth, ours), (prediction, theirs)):
            edge[tuple(np.transpose(outline_pixels(ids == k, everywhere)))] = True
        near = [ndimage.distance_transform_edt(~edge) <= 4 for edge in (ours, theirs)]
        expected = [ours.sum(), (ours & near[1]).sum(), theirs.sum(), (theirs & near[0]).sum()]
        assert 0 < expected[1] < expected[0]
        assert boundary_matches(truth, prediction, 2, pixels=4)[k].tolist() == expected


@given(map_pairs())
def test_swapping_truth_and_prediction_swaps_precision_and_recall(pair):
    first, second = (np.where(ids < CLASSES, ids, 0) for ids in pair)
    there, back = (boundary_matches(*maps, CLASSES) for maps in ((first, second), (second, first)))
    np.testing.assert_array_equal(there, back[:, [2, 3, 0, 1]])


@given(map_pairs())
def test_a_perfect_prediction_scores_one_and_more_tolerance_never_less(pair):
    truth = pair[0]
    perfect = boundary_matches(truth, np.where(truth == 255, 1, truth), CLASSES, pixels=0)
    assert {f for f in boundary_f_scores(perfect, "abc").f if not math.isnan(f)} <= {1.0}
    strict, loose = (boundary_matches(*pair, CLASSES, pixels=reach) for reach in (1, 2))
    assert (loose >= strict).all()


def test_a_line_moved_by_two_pixels_by_hand():
    truth, prediction = np.zeros((2, 9, 12), np.uint8)
    truth[2], prediction[4] = 1, 1
    for reach, share in ((1, 0.0), (1.9, 0.0), (2, 1.0)):
        scores = boundary_f_scores(boundary_matches(truth, prediction, 2, pixels=reach), "ab")
        assert (scores.precision[1], scores.recall[1], scores.f[1]) == (share, share, share)
    assert scores.truth_pixels[1] == scores.predicted_pixels[1] == 12
    assert scores.truth_pixels[0] == 24  # the rows above and below the line


def test_beta_weighs_recall():
    matches = np.array([[10, 5, 8, 8]])  # recall 0.5, precision 1
    for beta, expected in ((1.0, 2 / 3), (2.0, 5 * 0.5 / 4.5), (0.5, 1.25 * 0.5 / 0.75)):
        scores = boundary_f_scores(matches, ["line"], beta=beta)
        assert scores.f[0] == pytest.approx(expected)
        assert scores.beta == beta


def test_classes_without_outlines():
    """In neither map, only true, only predicted."""
    matches = np.array([[0, 0, 0, 0], [7, 0, 0, 0], [0, 0, 7, 0]])
    scores = boundary_f_scores(matches, "abc")
    assert math.isnan(scores.f[0])
    assert scores.f[1:] == (0.0, 0.0)
    assert scores.mean_f == 0.0 == mean_boundary_f(matches)
    assert math.isnan(scores.precision[1])
    assert math.isnan(scores.recall[2])
    left_out = boundary_f_scores(matches, "abc", ignore=(1, 2))
    assert math.isnan(left_out.mean_f)
    data = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert data["classes"][0]["f"] is None
    assert data["mean_f"] == 0.0


def test_the_images_border_and_voids_are_no_outlines():
    truth = np.zeros((6, 6), np.uint8)
    assert not boundary_matches(truth, truth, 2).any()
    truth[:, 3:] = 255
    assert not boundary_matches(truth, np.zeros_like(truth), 2).any()
    assert boundary_matches(truth, (truth == 255).astype(np.uint8), 2).any() == np.False_


def test_the_tolerance_is_a_share_of_the_diagonal():
    truth, prediction = np.zeros((2, 300, 400), np.uint8)  # diagonal 500; 0.75 % are 3.75
    truth[100], prediction[104] = 1, 1
    assert boundary_matches(truth, prediction, 2)[1, 1] == 400  # rounded to 4
    assert boundary_matches(truth, prediction, 2, tolerance=0.006)[1, 1] == 0  # 3
    counts = BoundaryF(2, pixels=4)
    counts.update(truth, prediction)
    assert counts.scores(("a", "b")).f[1] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": 0.0}, "got 0.0"),
        ({"pixels": -1}, "got -1"),
        ({"pixels": math.inf}, "got inf"),
    ],
)
def test_tolerances_that_make_no_sense_are_told(changes, message):
    mask = np.zeros((4, 4), np.uint8)
    with pytest.raises(ConfigError, match=message):
        boundary_matches(mask, mask, 2, **changes)


def test_settings_that_make_no_sense_are_told():
    with pytest.raises(ConfigError, match="beta above 0, such as 1 or 2, got 0"):
        boundary_f_scores(np.zeros((1, 4), np.int64), "a", beta=0)
    with pytest.raises(ConfigError, match=r"counts \[2, 4\] for 2 names, got \[1, 4\]"):
        boundary_f_scores(np.zeros((1, 4), np.int64), "ab")
