"""The paired interval against a loop, scipy's bootstrap, and what must hold of any interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from maskwright.core.errors import ConfigError
from maskwright.metrics import confusion_matrix, paired_interval, semantic_scores

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


def test_each_resample_is_one_of_a_loops():
    """The same draws one by one, through the scores of whole matrices."""
    first, second = matrices(count=5), matrices(count=5, wrong=0.5, seed=1)
    first[1:, 3], second[1:, 3] = 0, 0  # so that a class can be absent from a resample
    first[:, :, 3], second[:, :, 3] = 0, 0
    draws = np.random.default_rng(3).multinomial(5, np.full(5, 0.2), size=200)
    slow = [
        miou(np.repeat(first, times, axis=0)) - miou(np.repeat(second, times, axis=0))
        for times in draws
    ]
    found = paired_interval(first, second, resamples=200, confidence=0.9, seed=3)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(slow, (5, 95))))


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
    assert found.low == pytest.approx(other.low, abs=0.1 * width)
    assert found.high == pytest.approx(other.high, abs=0.1 * width)


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
