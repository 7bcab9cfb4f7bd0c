"""Intervals against a loop, scipy's bootstrap, and what must hold of any interval."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from maskwright.core.errors import ConfigError
from maskwright.metrics import (
    PairedInterval,
    bootstrap,
    boundary_matches,
    boundary_overlaps,
    confusion_matrix,
    interval,
    iou,
    matrix_overlaps,
    mean_boundary_f,
    mean_iou,
    overlap_scores,
    paired_interval,
    semantic_scores,
    thin_overlaps,
)

CLASSES = 4


def matrices(count=12, wrong=0.2, seed=0, truth_seed=7):
    """Confusion matrices of noisy predictions of the same truths."""
    found = []
    for index in range(count):
        truth_rng = np.random.default_rng([truth_seed, index])
        truth = truth_rng.integers(0, CLASSES, (16, 16)).astype(np.uint8)
        rng = np.random.default_rng([seed, index])
        noise = rng.random(truth.shape) < wrong * truth_rng.uniform(0.2, 2)
        drawn = rng.integers(0, CLASSES, truth.shape).astype(np.uint8)
        found.append(confusion_matrix(truth, np.where(noise, drawn, truth), CLASSES))
    return np.stack(found)


def miou(stack):
    return semantic_scores(stack.sum(axis=0), [str(i) for i in range(CLASSES)]).miou


def test_the_value_is_the_difference_of_the_scores():
    first, second = matrices(), matrices(wrong=0.4, seed=1)
    found = paired_interval(first, second)
    assert found.value == miou(first) - miou(second) > 0
    assert found.low < found.value < found.high
    assert (found.images, found.resamples, found.confidence) == (12, 2000, 0.95)
    assert found.to_dict()["low"] == found.low


def ends(value, drawn, left_out, confidence):
    """The interval by its definition, with scipy's distributions."""
    images = len(left_out)
    quantile = stats.t.ppf((1 + confidence) / 2, images - 1)
    root = (images / (images - 1)) ** 0.5
    spread = sum((one - sum(left_out) / images) ** 2 for one in left_out)
    error = max(((images - 1) / images * spread) ** 0.5, root * np.std(drawn, ddof=1))
    tail = 100 * stats.norm.cdf(-root * quantile)
    low, high = np.percentile(drawn, (tail, 100 - tail))
    return min(low, value - quantile * error), max(high, value + quantile * error)


def without_each(images):
    return [np.where(np.arange(images) == place, 0, 1) for place in range(images)]


def test_each_resample_is_one_of_a_loops():
    """The same draws one by one, through the scores of whole matrices."""
    first, second = matrices(count=5), matrices(count=5, wrong=0.5, seed=1)
    first[1:, 3], second[1:, 3] = 0, 0  # so that a class can be absent from a resample
    first[:, :, 3], second[:, :, 3] = 0, 0
    draws = np.random.default_rng(3).multinomial(5, np.full(5, 0.2), size=200)
    slow, left_out = (
        [
            miou(np.repeat(first, times, axis=0)) - miou(np.repeat(second, times, axis=0))
            for times in several
        ]
        for several in (draws, without_each(5))
    )
    found = paired_interval(first, second, resamples=200, confidence=0.9, seed=3)
    assert (found.low, found.high) == pytest.approx(ends(found.value, slow, left_out, 0.9))


def test_it_agrees_with_scipys():
    first, second = matrices(count=20), matrices(count=20, wrong=0.4, seed=1)
    places = np.arange(20)
    other = stats.bootstrap(
        (places,),
        lambda chosen: miou(first[chosen]) - miou(second[chosen]),
        method="percentile",
        n_resamples=2000,
        vectorized=False,
        rng=np.random.default_rng(5),
    ).confidence_interval
    found = paired_interval(first, second)
    width = other.high - other.low
    assert other.low - 0.2 * width < found.low < other.low + 0.02 * width
    assert other.high - 0.02 * width < found.high < other.high + 0.2 * width


def test_equal_models_differ_by_nothing_and_swapped_ones_by_the_opposite():
    first, second = matrices(), matrices(wrong=0.4, seed=1)
    same = paired_interval(first, first)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    there, back = paired_interval(first, second), paired_interval(second, first)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low)
    )


def test_pairing_narrows_the_interval():
    """Both fail on the same hard images; taking the pairs apart would hide their difference."""
    hard = matrices(count=30, wrong=0.6)
    better = hard.copy()
    for matrix in better:
        matrix[0, 0] += matrix[0, 1]
        matrix[0, 1] = 0
    paired = paired_interval(better, hard)
    apart = paired_interval(better, hard[::-1])
    assert paired.value == pytest.approx(apart.value)
    assert paired.low > 0
    assert paired.high - paired.low < apart.high - apart.low


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"second_NKL": matrices(count=3)}, r"got \[12, 4, 5\] and \[3, 4, 5\]"),
        ({"first_NKL": matrices()[0]}, r"got \[4, 5\]"),
        ({"first_NKL": matrices() * 0}, "got none in 12 images"),
        ({"resamples": 0}, "got 0 and 0.95"),
        ({"confidence": 1.0}, r"got 2000 and 1\.0"),
    ],
)
def test_what_makes_no_sense_is_told(changes, message):
    with pytest.raises(ConfigError, match=message):
        paired_interval(**({"first_NKL": matrices(), "second_NKL": matrices()} | changes))


def counts(how, count=10, wrong=0.3, seed=0):
    """What `how` counts in images of stripes with noise."""
    stripes = np.repeat(np.arange(CLASSES, dtype=np.uint8), 4)[:, None].repeat(16, axis=1)
    found = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        noise = rng.random(stripes.shape) < wrong * rng.random()
        drawn = rng.integers(0, CLASSES, stripes.shape).astype(np.uint8)
        found.append(how(stripes, np.where(noise, drawn, stripes), CLASSES))
    return np.stack(found)


def second_class(overlaps_RK3):
    return iou(overlaps_RK3)[..., 1]


@pytest.mark.parametrize(
    ("how", "score"),
    [
        (boundary_overlaps, mean_iou),
        (thin_overlaps, mean_iou),
        (thin_overlaps, second_class),
        (boundary_matches, mean_boundary_f),
        (confusion_matrix, lambda sums: np.trace(sums, axis1=1, axis2=2) / sums.sum(axis=(1, 2))),
    ],
)
def test_whatever_adds_up_has_an_interval(how, score):
    one, other = counts(how), counts(how, wrong=0.6, seed=1)
    draws = np.random.default_rng(3).multinomial(10, np.full(10, 0.1), size=300)
    slow, left_out = (
        [
            [score(np.repeat(stack, times, axis=0).sum(axis=0)[None])[0] for times in several]
            for stack in (one, other)
        ]
        for several in (draws, without_each(10))
    )
    single = interval(one, score, resamples=300, seed=3)
    assert single.value == score(one.sum(axis=0)[None])[0]
    assert (single.low, single.high) == pytest.approx(
        np.clip(ends(single.value, slow[0], left_out[0], 0.95), 0, 1)
    )
    assert single.low < single.value < single.high
    pair = paired_interval(one, other, score, resamples=300, seed=3)
    expected = ends(pair.value, np.subtract(*slow), np.subtract(*left_out), 0.95)
    assert (pair.low, pair.high) == pytest.approx(expected)
    assert pair.value > 0


def test_one_models_interval_is_that_of_its_scores():
    stack = matrices(count=15)
    found = interval(stack)
    assert found.value == miou(stack)
    assert found == interval(matrix_overlaps(stack), mean_iou)
    other = stats.bootstrap(
        (np.arange(15),),
        lambda chosen: miou(stack[chosen]),
        method="percentile",
        n_resamples=2000,
        vectorized=False,
        rng=np.random.default_rng(5),
    ).confidence_interval
    width = other.high - other.low
    assert other.low - 0.25 * width < found.low < other.low + 0.02 * width
    assert other.high - 0.02 * width < found.high < other.high + 0.25 * width


def test_the_same_seed_gives_the_same_interval():
    stack = matrices()
    assert interval(stack) == interval(stack)
    assert interval(stack, seed=1) != interval(stack)


def test_what_does_not_add_up_is_scored_on_draws():
    """A median of images, which no sum tells; and the draws that are asked for."""
    values = np.random.default_rng(0).random(9)
    asked = []

    def median(times_RN):
        asked.append(times_RN)
        return np.array([np.median(np.repeat(values, times)) for times in times_RN])

    found = bootstrap(median, 9, resamples=300, confidence=0.8)
    assert found.value == np.median(values)
    assert (asked[0] == 1).all()
    assert sum(len(times) for times in asked[1:-1]) == 300
    assert all((times.sum(axis=1) == 9).all() for times in asked[:-1])
    assert (np.sort(asked[-1], axis=0)[0] == 0).all()
    assert (asked[-1].sum(axis=0) == 8).all()
    slow = [median(times[None])[0] for block in asked[1:-1] for times in block]
    left_out = [median(times[None])[0] for times in without_each(9)]
    assert (found.low, found.high) == pytest.approx(
        np.clip(ends(found.value, slow, left_out, 0.8), 0, 1)
    )


def test_many_images_are_left_out_in_groups():
    """100 groups of one size tell the standard error of a mean, as leaving out each does."""
    values = np.random.default_rng(99).random(5000)
    asked = []

    def mean(times_RN):
        asked.append(len(times_RN))
        return times_RN @ values / times_RN.sum(axis=1)

    found = bootstrap(mean, 5000, resamples=300)
    assert asked == [1, 256, 44, 100]
    error = stats.sem(values)
    assert found.high - found.low == pytest.approx(2 * 1.98 * error, rel=0.3)


@pytest.mark.parametrize("images", [3, 5, 8, 12])
def test_equally_good_models_are_seldom_called_different(images):
    """Means of differences that are 0 on average; plain percentiles fail at up to one in four."""
    rng = np.random.default_rng(images)
    sure = percentiles = 0
    for _ in range(400):
        values = rng.standard_normal(images) / 4

        def mean(times_RN, values=values):
            return times_RN @ values / times_RN.sum(axis=1)

        one = bootstrap(mean, images, resamples=300, bounds=(-1, 1))
        sure += PairedInterval(**asdict(one)).sure
        drawn = mean(rng.multinomial(images, np.full(images, 1 / images), size=300))
        low, high = np.percentile(drawn, (2.5, 97.5))
        percentiles += low > 0 or high < 0
    assert sure <= 0.07 * 400  # of 5 %, and 400 trials
    assert sure == 0 or images >= 5
    assert percentiles > sure


def test_too_few_images_give_no_verdict():
    first, second = matrices(count=4, wrong=0.0), matrices(count=4, wrong=0.9, seed=1)
    few = paired_interval(first, second)
    assert few.low > 0
    assert not few.sure
    assert few.to_dict()["verdict"] == "too few images to tell: 4 of at least 5"
    one = paired_interval(first[:1], second[:1])
    assert np.isnan([one.low, one.high]).all()
    assert one.to_dict()["low"] is None
    enough = paired_interval(matrices(count=6, wrong=0.0), matrices(count=6, wrong=0.9, seed=1))
    assert enough.verdict == "sure"
    same = paired_interval(matrices(count=6), matrices(count=6))
    assert same.verdict == "may be chance"


def test_resamples_without_a_score_are_left_out():
    overlaps = np.zeros((2, 1, 3), np.int64)
    overlaps[0] = (3, 4, 4)  # the class is on one of two images only
    found = interval(overlaps, mean_iou)
    assert found.value == 0.6
    assert np.isnan([found.low, found.high]).all()  # nor has it a score without that image
    assert overlap_scores(overlaps[0], "a").miou == 0.6


def test_counts_that_do_not_fit_are_told():
    with pytest.raises(ConfigError, match=r"matrices .* got \[12, 4, 3\]"):
        interval(matrix_overlaps(matrices()))
    with pytest.raises(ConfigError, match=r"got \[1, 4, 5\]; those of confusion matrices"):
        interval(matrices(), mean_iou)
    with pytest.raises(ConfigError, match="got 0"):
        bootstrap(lambda times: times[:, 0] * 1.0, 0)
    with pytest.raises(ConfigError, match=r"got \[3\]"):
        interval(np.ones(3), mean_iou)
