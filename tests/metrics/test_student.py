"""Student's t against scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskwright.metrics.student import t_quantile


@given(st.floats(0.5, 0.9999), st.integers(1, 300))
def test_quantiles_are_scipys(share, degrees):
    expected = stats.t.ppf(share, degrees)
    assert t_quantile(share, degrees) == pytest.approx(expected, rel=1e-7, abs=1e-9)
