"""The assignment against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from maskwright.core.assignment import best_pairs


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(0, 7), st.integers(0, 7)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1).map(lambda v: round(v, 2)))
    ),
    st.sampled_from([0.0, 0.3]),
)
def test_the_sum_is_the_highest(gain_NM, above):
    pairs = best_pairs(gain_NM, above)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(gain_NM[pair] > above for pair in pairs)
    wanted_NM = np.where(gain_NM > above, gain_NM - above, 0)
    best = wanted_NM[linear_sum_assignment(wanted_NM, maximize=True)].sum()
    assert sum(wanted_NM[pair] for pair in pairs) == pytest.approx(best)


def test_a_large_one():
    gain_NM = np.random.default_rng(0).random((120, 90))
    rows, columns = linear_sum_assignment(gain_NM, maximize=True)
    assert best_pairs(gain_NM) == sorted(zip(rows.tolist(), columns.tolist()))
