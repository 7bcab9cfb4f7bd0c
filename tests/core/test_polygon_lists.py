"""Polygons of many objects together against one object at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core import Mask
from maskwright.core import polygon as polygon_module
from maskwright.core.polygon_lists import masks_from_polygons

SIZES = st.tuples(st.integers(1, 20), st.integers(1, 20))
NUMBERS = st.integers(-9, 30) | st.floats(-9, 30).map(lambda value: round(value, 2))
POLYGON = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8).map(
    lambda corners: [value for corner in corners for value in corner]
)


@settings(deadline=None, max_examples=300)
@given(SIZES, st.lists(st.lists(POLYGON, min_size=1, max_size=3), max_size=4))
def test_they_are_the_masks_one_at_a_time(size, drawn):
    assert masks_from_polygons(drawn, size) == [Mask.from_polygons(one, size) for one in drawn]


def test_long_outlines_too(monkeypatch):
    rng = np.random.default_rng(0)
    drawn = [[rng.uniform(-20, 220, 60).tolist() for _ in range(k)] for k in (1, 3, 2)]
    expected = [Mask.from_polygons(one, (150, 200)) for one in drawn]
    assert masks_from_polygons(drawn, (150, 200)) == expected
    monkeypatch.setattr(polygon_module, "_WALKED_AT_ONCE", 40)
    assert masks_from_polygons(drawn, (150, 200)) == expected


@pytest.mark.parametrize(
    "other",
    [
        None, [], 3, {"size": [9, 9], "counts": "1"}, [[1, 2, 3]], [[1, 2, "3", 4]], [[True, 1]],
        [[1.0, 2, float("nan"), 4]], [[1, 2, float("inf"), 4]], [[10**400, 2]], [[[1, 2], [3, 4]]],
        [[1, 2, 1e6, 3, 3, 3]], [[1, 140] * 80_000], [None], ["text"],
    ],
)  # fmt: skip
def test_what_is_no_plain_polygon_is_left_to_the_reader_of_one(other: Any):
    square = [[2, 2, 6, 2, 6, 6.5, 2, 6.5]]
    found = masks_from_polygons([square, other, square], (9, 9))
    assert found == [Mask.from_polygons(square, (9, 9)), None, Mask.from_polygons(square, (9, 9))]
    assert masks_from_polygons([other], (9, 9)) == [None]
