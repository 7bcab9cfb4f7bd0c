"""Bridges between loops against Prim's algorithm over every pair of points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.core import bridges
from maskwright.core.bridges import shortest_bridges
from maskwright.core.outline import centre_loops, edge_loops


def by_every_pair(points: np.ndarray, firsts: np.ndarray) -> list[tuple[int, int]]:
    """In pure Python: the nearest point outside, joined to the oldest loop's first point."""
    owner = np.repeat(np.arange(len(firsts) - 1), np.diff(firsts)).tolist()
    places = points.tolist()
    order = [0]
    links = []
    while len(order) < len(firsts) - 1:
        best = min(
            ((x - u) ** 2 + (y - v) ** 2, far, rank, near)
            for far, (x, y) in enumerate(places)
            if owner[far] not in order
            for rank, loop in enumerate(order)
            for near in range(firsts[loop], firsts[loop + 1])
            for u, v in [places[near]]
        )
        links.append((best[3], best[1]))
        order.append(owner[best[1]])
    return links


def _joined(loops: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(loops), np.cumsum([0] + [len(loop) for loop in loops])


@pytest.fixture(autouse=True, params=[0, 10**6])
def few(request, monkeypatch):
    """With a queue, and without."""
    monkeypatch.setattr(bridges, "_FEW_POINTS", request.param)
    monkeypatch.setattr(bridges, "_FEW_LOOPS", request.param)
    return request.param


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.05, 0.3, 0.5, 0.8]),
    spread=st.sampled_from([1, 3, 9]),
    kind=st.sampled_from([edge_loops, centre_loops]),
)
def test_they_are_those_of_every_pair(seed, share, spread, kind):
    rng = np.random.default_rng(seed)
    pixels = np.zeros((9 * spread, 11 * spread), bool)
    pixels[::spread, ::spread] = rng.random((9, 11)) < share
    loops = kind(pixels)
    if len(loops) < 2:
        return
    assert shortest_bridges(*_joined(loops)) == by_every_pair(*_joined(loops))


@pytest.mark.parametrize("limit", [0, 10**9])
def test_far_parts_are_joined_alike_by_distances_and_by_the_transform(limit, monkeypatch):
    rng = np.random.default_rng(3)
    pixels = np.zeros((150, 170), bool)
    for _ in range(12):
        top, left = rng.integers(0, (140, 160))
        pixels[top : top + rng.integers(1, 8), left : left + rng.integers(1, 8)] = True
    points, firsts = _joined(edge_loops(pixels))
    expected = by_every_pair(points, firsts)
    found = []
    original = bridges._FarSearch.__init__

    def with_limit(self, *args):
        original(self, *args)
        self._most = limit
        found.append(self)

    monkeypatch.setattr(bridges._FarSearch, "__init__", with_limit)
    assert shortest_bridges(points, firsts) == expected
    assert found


def test_dense_noise_is_done_in_work_that_grows_with_its_points(few, monkeypatch):
    """Each point looks around itself; nothing is compared with all others."""
    compared = []
    original = bridges._FarSearch._compare

    def counted(self, joined, outside):
        compared.append(len(joined) * len(outside))
        original(self, joined, outside)

    monkeypatch.setattr(bridges._FarSearch, "_compare", counted)
    for side in (64, 128):
        compared.clear()
        pixels = np.random.default_rng(0).random((side, side)) < 0.5
        points, firsts = _joined(edge_loops(pixels))
        shortest_bridges(points, firsts)
        assert few or sum(compared) < len(points) * 2
