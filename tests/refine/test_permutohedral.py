"""The lattice against one of tuples in a dict, and against the exact Gaussian sum."""

from __future__ import annotations

import exact
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core.errors import ConfigError
from maskwright.refine.permutohedral import Lattice, barycentric, elevate, enclosing_simplex


def points(count, dimensions, spread, seed=0):
    return np.random.default_rng(seed).random((count, dimensions)) * spread


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
@pytest.mark.parametrize("blur", [True, False])
@pytest.mark.parametrize("spread", [0.5, 3.0, 40.0])
def test_the_filter_is_the_papers(dimensions, blur, spread):
    features = points(60, dimensions, spread, seed=dimensions) - spread / 3
    values = points(60, 2, 1.0, seed=9).astype(np.float32)
    found = Lattice(features, blur=blur).filter(values)
    expected = exact.lattice_filter(features, values, blur)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("blur", "correlation", "relative"), [(True, 0.995, 0.08), (False, 0.95, 0.17)]
)
@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_the_filter_is_nearly_gaussian(dimensions, blur, correlation, relative):
    """What a lattice reaches: relative to a common scale, a few percent with the blur."""
    features = points(1500, dimensions, 4.0, seed=1)
    values = points(1500, 1, 1.0, seed=2).astype(np.float32)
    found = Lattice(features, blur=blur).filter(values)
    wanted = exact.gaussian_matrix(features) @ values
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > correlation
    ratio = found / wanted
    assert ratio.std() / ratio.mean() < relative


@pytest.mark.parametrize(("blur", "deviation", "most"), [(True, 0.02, 0.1), (False, 0.08, 0.35)])
@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_means_across_an_edge_are_nearly_those_of_a_gaussian(dimensions, blur, deviation, most):
    features = points(1500, dimensions, 4.0, seed=3)
    values = (features[:, :1] > 2).astype(np.float32)
    lattice = Lattice(features, blur=blur)
    found = lattice.filter(values) / lattice.filter(np.ones_like(values))
    kernel = exact.gaussian_matrix(features)
    wanted = kernel @ values / kernel.sum(axis=1, keepdims=True)
    assert np.sqrt(((found - wanted) ** 2).mean()) < deviation
    assert np.abs(found - wanted).max() < most


@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_simplices_hold_their_points(dimensions, seed, blur):
    features = points(50, dimensions, 30.0, seed) - 15
    elevated = elevate(features, blur).astype(np.float64)
    origin, rank = enclosing_simplex(elevated)
    corners = dimensions + 1
    assert (origin.sum(axis=0) == 0).all()
    assert (origin % corners == 0).all()
    assert np.array_equal(np.sort(rank, axis=0), np.tile(np.arange(corners)[:, None], 50))
    offset = np.empty_like(elevated)
    np.put_along_axis(offset, rank, elevated - origin, axis=0)
    weights = barycentric(offset)
    assert weights.min() > -1e-6
    # The weighted corners are the point: corner k is k where the rank is low, else k - C.
    steps = np.arange(corners)[:, None, None]
    corner = origin + steps - corners * (rank[None] > dimensions - steps)
    np.testing.assert_allclose((weights[:, None] * corner).sum(axis=0), elevated, atol=1e-4)


def test_elevation_keeps_distances():
    features = points(30, 5, 8.0)
    for blur, variance in ((True, 2 / 3), (False, 1 / 6)):
        lifted = elevate(features, blur).T
        apart = np.linalg.norm(features[:, None] - features[None], axis=-1)
        lifted_apart = np.linalg.norm(lifted[:, None] - lifted[None], axis=-1)
        np.testing.assert_allclose(lifted_apart, apart * 6 * np.sqrt(variance), atol=1e-3)


def test_alike_points_share_their_corners():
    one = Lattice(np.full((100, 5), 0.3))
    assert one.corners == 6
    found = one.filter(np.ones((100, 1), np.float32))
    assert np.ptp(found) == 0


def test_a_kernel_too_narrow_is_told():
    with pytest.raises(ConfigError, match=r"expected points .* choose a wider kernel"):
        Lattice(points(20, 5, 1e8))
