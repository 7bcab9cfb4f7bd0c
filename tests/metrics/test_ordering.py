"""Fast sorting against numpy's own stable sorts, where many are equal."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.metrics.ordering import codes_of, group_numbers, place_in_group, stable_order


@pytest.mark.parametrize("largest", [1, 7, 1000, 1 << 40, (1 << 62) - 1])
def test_equal_codes_keep_their_order(largest):
    """Small codes share a number with their places; large ones leave no room for it."""
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 3, 4, 1000):
        codes = rng.choice([0, largest // 2, largest], count)
        np.testing.assert_array_equal(stable_order(codes), np.argsort(codes, kind="stable"))


def test_equal_values_have_equal_codes():
    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 9, 200) / 8, np.array([]), np.zeros(5), np.arange(6.0)):
        np.testing.assert_array_equal(codes_of(values), np.unique(values, return_inverse=True)[1])


def test_groups_and_places_of_several_keys():
    first, second = np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 6, 6, 6, 6])
    assert group_numbers(first, second).tolist() == [0, 0, 1, 2, 2, 3]
    assert place_in_group(first, second).tolist() == [0, 1, 0, 0, 1, 0]
    assert place_in_group(first[:0]).tolist() == []
