"""The confusion matrix against brute force, the scores against their plain definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskwright.core.errors import ConfigError, DataError
from maskwright.metrics import ConfusionMatrix, confusion_matrix, semantic, semantic_scores

NAMES = ("road", "line", "ball", "post")


def brute_force(truth, prediction, classes, void):
    matrix = np.zeros((classes, classes + 1), np.int64)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist()):
        if t != void:
            matrix[t, p if 0 <= p < classes else classes] += 1
    return matrix


def weighted_mean(both, true, found, beta):
    """F-beta as the weighted harmonic mean of precision and recall."""
    if not both:
        return 0.0 if true or found else math.nan
    precision, recall = both / found, both / true
    return (1 + beta**2) / (1 / precision + beta**2 / recall)


def plain_scores(pairs, classes, beta=1.0):
    """The definitions over sets of pixels, of (truth, prediction) pairs without void."""
    rows = []
    for k in range(classes):
        true = {i for i, (t, _) in enumerate(pairs) if t == k}
        found = {i for i, (_, p) in enumerate(pairs) if p == k}
        both, either = len(true & found), len(true | found)
        rows.append(
            {
                "iou": both / either if either else math.nan,
                "precision": both / len(found) if found else math.nan,
                "recall": both / len(true) if true else math.nan,
                "dice": 2 * both / (len(true) + len(found)) if either else math.nan,
                "f_beta": weighted_mean(both, len(true), len(found), beta),
                "truth_pixels": len(true),
                "predicted_pixels": len(found),
            }
        )
    return rows


def mean(values):
    kept = [v for v in values if not math.isnan(v)]
    return sum(kept) / len(kept) if kept else math.nan


@st.composite
def maps(draw, dtype=np.uint8, classes=4, void=255):
    shape = draw(st.tuples(st.integers(0, 7), st.integers(0, 7)))
    truth_ids = st.sampled_from([*range(classes), void])
    predicted_ids = st.sampled_from([*range(classes), classes, void, void - 1])
    return (
        draw(hnp.arrays(dtype, shape, elements=truth_ids)),
        draw(hnp.arrays(dtype, shape, elements=predicted_ids)),
    )


@given(maps())
def test_bytes_are_counted_like_brute_force(pair):
    truth, prediction = pair
    counted = confusion_matrix(truth, prediction, 4)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, brute_force(truth, prediction, 4, 255))


@given(maps(np.uint16, 300, 65535))
def test_wide_ids_are_counted_like_brute_force(pair):
    truth, prediction = pair
    counted = confusion_matrix(truth, prediction, 300, void=65535)
    np.testing.assert_array_equal(counted, brute_force(truth, prediction, 300, 65535))


@given(maps())
def test_both_ways_agree(pair):
    truth, prediction = pair
    np.testing.assert_array_equal(
        confusion_matrix(truth, prediction, 4),
        confusion_matrix(truth.astype(np.int32), prediction.astype(np.int64), 4),
    )


def test_signed_predictions_below_zero_are_unpredicted():
    truth = np.zeros((1, 2), np.int64)
    matrix = confusion_matrix(truth, np.array([[-1, 0]]), 2)
    np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 0, 0]])


def test_strided_views_are_counted():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 4, (2, 30, 40), dtype=np.uint8)
    views = truth[::2, ::-3], prediction[::2, ::-3]
    np.testing.assert_array_equal(confusion_matrix(*views, 4), brute_force(*views, 4, 255))


def test_more_pixels_than_float32_counts_stay_exact():
    size = (4099, 4099)  # 16,801,801 pixels, odd and above 2^24: a float32 count would round it
    assert size[0] * size[1] > semantic._EXACT_PIXELS
    constant = np.zeros(size, np.uint8)
    assert confusion_matrix(constant, constant, 1)[0, 0] == size[0] * size[1]


@settings(deadline=None)
@given(maps(), st.sets(st.integers(0, 3), max_size=2), st.sampled_from([0.5, 1.0, 2.0]))
def test_scores_are_the_plain_definitions(pair, ignore, beta):
    truth, prediction = pair
    matrix = confusion_matrix(truth, prediction, 4)
    scores = semantic_scores(matrix, NAMES, ignore=ignore, beta=beta)
    pairs = [
        (t, p)
        for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist())
        if t != 255 and t not in ignore
    ]
    rows = plain_scores([(t, -1 if p in ignore else p) for t, p in pairs], 4, beta)
    for name in rows[0]:
        expected = [row[name] for row in rows]
        np.testing.assert_allclose(getattr(scores, name), expected, rtol=1e-12)
    assert scores.miou == pytest.approx(mean([r["iou"] for r in rows]), nan_ok=True)
    assert scores.mean_dice == pytest.approx(mean([r["dice"] for r in rows]), nan_ok=True)
    assert scores.mean_accuracy == pytest.approx(mean([r["recall"] for r in rows]), nan_ok=True)
    assert scores.mean_f_beta == pytest.approx(mean([r["f_beta"] for r in rows]), nan_ok=True)
    precisions = [r["precision"] for r in rows]
    assert scores.mean_precision == pytest.approx(mean(precisions), nan_ok=True)
    right = sum(t == p for t, p in pairs)
    accuracy = right / len(pairs) if pairs else math.nan
    assert scores.pixel_accuracy == pytest.approx(accuracy, nan_ok=True)
    weighted = [r["truth_pixels"] * r["iou"] for r in rows if r["truth_pixels"]]
    fwiou = sum(weighted) / len(pairs) if pairs else math.nan
    assert scores.fwiou == pytest.approx(fwiou, nan_ok=True)
    assert scores.unpredicted_pixels == sum(p >= 4 for _, p in pairs)


@given(maps())
def test_dice_follows_from_iou_and_bounds_hold(pair):
    scores = semantic_scores(confusion_matrix(*pair, 4), NAMES)
    iou, dice = np.array(scores.iou), np.array(scores.dice)
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou))
    assert not (iou > np.array(scores.recall)).any()
    assert not (iou > np.array(scores.precision)).any()


@given(maps(), maps())
def test_accumulating_and_merging_is_summing(first, second):
    one, two, all_at_once = (ConfusionMatrix(4) for _ in range(3))
    one.update(*first)
    two.update(*second)
    all_at_once.update(*first)
    all_at_once.update(*second)
    one.merge(two)
    np.testing.assert_array_equal(one.matrix, all_at_once.matrix)
    np.testing.assert_array_equal(
        one.matrix, confusion_matrix(*first, 4) + confusion_matrix(*second, 4)
    )


@given(maps(), st.permutations(range(4)))
def test_renaming_the_classes_permutes_the_scores(pair, order):
    lookup = np.arange(256, dtype=np.uint8)
    lookup[:4] = order
    before = semantic_scores(confusion_matrix(*pair, 4), NAMES)
    after = semantic_scores(confusion_matrix(*(lookup[ids] for ids in pair), 4), NAMES)
    np.testing.assert_allclose([after.iou[new] for new in order], before.iou)
    assert after.miou == pytest.approx(before.miou, nan_ok=True)


def test_beta_weighs_recall():
    """2 right of 4 true and of 2 found: recall 0.5, precision 1."""
    matrix = np.array([[2, 0, 2], [0, 0, 0]])
    for beta, expected in ((1.0, 2 / 3), (2.0, 5 * 0.5 / 4.5), (0.5, 1.25 * 0.5 / 0.75)):
        scores = semantic_scores(matrix, NAMES[:2], beta=beta)
        assert scores.f_beta[0] == pytest.approx(expected)
        assert scores.mean_f_beta == scores.f_beta[0]
        assert scores.to_dict()["beta"] == scores.beta == beta
    assert semantic_scores(matrix, NAMES[:2]).f_beta[0] == scores.dice[0]
    for beta in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match=f"got {beta}"):
            semantic_scores(matrix, NAMES[:2], beta=beta)


def test_a_perfect_prediction_scores_one():
    truth = np.array([[0, 1, 2, 255]], np.uint8)
    scores = semantic_scores(confusion_matrix(truth, truth, 4), NAMES)
    means = (scores.miou, scores.fwiou, scores.pixel_accuracy, scores.mean_accuracy)
    assert means == (1.0, 1.0, 1.0, 1.0)
    assert math.isnan(scores.iou[3])  # absent everywhere: no score, no part of the mean


def test_a_class_predicted_but_never_true_counts_as_zero():
    matrix = confusion_matrix(np.array([[0, 0]], np.uint8), np.array([[0, 1]], np.uint8), 3)
    scores = semantic_scores(matrix, NAMES[:3])
    assert scores.iou[:2] == (0.5, 0.0)
    assert scores.miou == 0.25
    assert scores.mean_accuracy == 0.5
    assert math.isnan(scores.recall[1])


def test_an_unpredicted_pixel_is_a_miss_and_not_lost():
    truth, prediction = np.array([[0, 0]], np.uint8), np.array([[0, 255]], np.uint8)
    scores = semantic_scores(confusion_matrix(truth, prediction, 2), NAMES[:2])
    assert (scores.iou[0], scores.pixel_accuracy, scores.unpredicted_pixels) == (0.5, 0.5, 1)
    assert scores.precision[0] == 1.0


def test_scores_are_plain_json():
    counts = ConfusionMatrix(2)
    counts.update(np.array([[0, 0]], np.uint8), np.array([[0, 0]], np.uint8))
    data = json.loads(json.dumps(counts.scores().to_dict(), allow_nan=False))
    assert data["miou"] == 1.0
    assert data["classes"][1]["iou"] is None
    assert [row["name"] for row in data["classes"]] == ["0", "1"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_truth_out_of_range_is_told(dtype):
    truth = np.array([[0, 7]], dtype)
    with pytest.raises(DataError, match=r"ids 7, expected 0\.\.3 or void 255"):
        confusion_matrix(truth, truth, 4)


@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), r"\(2, 2\) and \(2, 3\)"),
        (np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 1), np.uint8), r"\(2, 2, 1\)"),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32), "float32"),
    ],
)
def test_maps_that_do_not_fit_are_refused(truth, prediction, text):
    with pytest.raises(DataError, match=text):
        confusion_matrix(truth, prediction, 4)


def test_settings_that_do_not_fit_are_refused():
    counts = ConfusionMatrix(3)
    with pytest.raises(ConfigError, match="void id 2"):
        ConfusionMatrix(3, void=2)
    with pytest.raises(ConfigError, match="got 0"):
        ConfusionMatrix(0)
    with pytest.raises(ConfigError, match=r"ConfusionMatrix\(classes=2, void=255\)"):
        counts.merge(ConfusionMatrix(2))
    with pytest.raises(ConfigError, match=r"\[2, 3\]"):
        counts.scores(names=("a", "b"))
    with pytest.raises(ConfigError, match=r"\[9\]"):
        counts.scores(ignore=(9,))
