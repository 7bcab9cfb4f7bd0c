"""Orders, factors and weights against plain counting."""

from __future__ import annotations

import statistics
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskwright.data import class_weights, draw_order, repeat_factors
from maskwright.data.sampling import draw_rare

COUNTS = st.tuples(st.integers(1, 8), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.sampled_from([0, 0, 1, 7, 500, 10**6]))
)


@given(pixels_NK=COUNTS)
def test_class_weights_are_median_frequency_balancing(pixels_NK):
    frequency = {}
    for k in range(pixels_NK.shape[1]):
        images = [image for image in pixels_NK.tolist() if image[k]]
        if images:
            frequency[k] = sum(image[k] for image in images) / sum(map(sum, images))
    middle = statistics.median(frequency.values()) if frequency else 0
    for power in (0.0, 0.5, 1.0):
        found = class_weights(pixels_NK, power, ceiling=20.0)
        assert found.dtype == np.float32
        for k, weight in enumerate(found):
            plain = (middle / frequency[k]) ** power if k in frequency else 1.0
            assert weight == pytest.approx(min(max(plain, 1 / 20), 20), rel=1e-6)


@given(pixels_NK=COUNTS, threshold=st.sampled_from([0.1, 0.3, 0.9]))
def test_repeat_factors_by_counting(pixels_NK, threshold):
    images = [{k for k, count in enumerate(image) if count} for image in pixels_NK.tolist()]
    expected = []
    for shown in images:
        shares = [sum(k in other for other in images) / len(images) for k in shown]
        expected.append(max([1.0, *[(threshold / share) ** 0.5 for share in shares]]))
    np.testing.assert_allclose(repeat_factors(pixels_NK, threshold), expected)


@settings(deadline=None)
@given(
    factors=st.lists(st.floats(0.1, 4.0), min_size=1, max_size=6),
    few=st.integers(0, 40),
    more=st.integers(0, 40),
    seed=st.integers(0, 10**6),
)
def test_any_prefix_stays_the_same(factors, few, more, seed):
    short, long = draw_order(factors, few, seed), draw_order(factors, few + more, seed)
    assert len(short) == few
    assert len(long) == few + more
    np.testing.assert_array_equal(short, long[:few])
    assert set(long.tolist()) <= set(range(len(factors)))


def test_plain_epochs_show_every_image_once_in_changing_order():
    order = draw_order(np.ones(50), 200, seed=3).reshape(4, 50)
    for epoch in order:
        assert sorted(epoch) == list(range(50))
    assert len({tuple(epoch) for epoch in order}) == 4
    assert not np.array_equal(order.ravel(), draw_order(np.ones(50), 200, seed=4))


def test_images_are_shown_as_often_as_their_factors_say():
    factors = np.array([1.0, 1.5, 2.25, 3.0])
    epochs = 2000
    shown = Counter(draw_order(factors, round(epochs * factors.sum()), seed=0).tolist())
    for image, factor in enumerate(factors):
        # the share is a mean of Bernoulli draws: 5 standard deviations
        assert shown[image] / epochs == pytest.approx(factor, abs=5 * 0.5 / epochs**0.5 + 0.005)


def test_nothing_to_draw_from_ends():
    assert len(draw_order([], 0, 0)) == 0
    for factors in ([], [0.0, 0.0]):
        with pytest.raises(ValueError, match="expected factors above zero"):
            draw_order(factors, 1, 0)


@pytest.mark.parametrize("seed", range(3))
def test_rare_classes_are_drawn_evenly_each_from_an_image_that_shows_it(seed):
    rng = np.random.default_rng(seed)
    pixels_NK = np.array([[90, 10, 0, 0], [100, 0, 0, 0], [80, 10, 10, 0], [99, 0, 1, 0]])
    seen = [draw_rare(pixels_NK, 1, rng) for _ in range(400)]
    assert {class_id for _, class_id in seen} == {1, 2}  # not the commonest, nor one never shown
    assert all(pixels_NK[index, class_id] for index, class_id in seen)
    assert {index for index, _ in seen} == {0, 2, 3}
    assert 150 < sum(class_id == 1 for _, class_id in seen) < 250
    assert draw_rare(np.array([[5, 0], [7, 0]]), 1, rng) == (1, None)
