"""Sorting and summing rows by key, against numpy's own ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.refine.segments import Segments, SegmentSum, radix_order


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=200))
def test_radix_order_is_the_stable_order(keys):
    keys = np.array(keys)
    assert np.array_equal(radix_order(keys), np.argsort(keys, kind="stable"))


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=200))
def test_segments_are_what_unique_finds(keys):
    keys = np.array(keys)
    found = Segments.of(keys)
    unique, ids, counts = np.unique(keys, return_inverse=True, return_counts=True)
    assert np.array_equal(found.keys, unique)
    assert np.array_equal(found.ids, ids)
    assert np.array_equal(np.diff(found.starts, append=len(keys)), counts)
    assert np.array_equal(keys[found.order], np.sort(keys))


@pytest.mark.parametrize("longest", [1, 3, 31, 32, 33, 100, 5000])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_reduceat(longest, weighted):
    rng = np.random.default_rng(longest)
    lengths = rng.integers(1, longest + 1, 40)
    lengths[7] = longest
    starts = np.cumsum(lengths) - lengths
    rows = rng.integers(0, 500, lengths.sum())
    weights = rng.random(len(rows)).astype(np.float32) if weighted else None
    values = rng.standard_normal((500, 5)).astype(np.float32)
    found = SegmentSum(rows, starts, weights)(values)
    picked = values[rows].astype(np.float64) * (weights[:, None] if weighted else 1)
    expected = np.add.reduceat(picked, starts, axis=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * longest)
