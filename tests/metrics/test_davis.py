"""The contour measure of DAVIS against its definition, a loop a step, and cases by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core.errors import ConfigError, DataError
from maskwright.metrics import davis_f


def contour_pixels(mask):
    height, width = mask.shape
    found = []
    for y, x in itertools.product(range(height), range(width)):
        beside = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        if any(v < height and u < width and mask[v, u] != mask[y, x] for v, u in beside):
            found.append((y, x))
    return found


def plain(truth, prediction, reach):
    true, found = contour_pixels(truth), contour_pixels(prediction)
    if not true or not found:
        return float(bool(true) == bool(found))
    met = [
        sum(any(math.dist(one, other) <= reach for other in b) for one in a) / len(a)
        for a, b in ((found, true), (true, found))
    ]
    return 2 * met[0] * met[1] / sum(met) if sum(met) else 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.008, 0.1, 0.2, 1, 2, 3]))
def test_it_is_its_definition(seed, tolerance):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 14, 2))
    truth, prediction = rng.random((2, *size)) < rng.random((2, 1, 1))
    reach = tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*size))
    assert davis_f(truth, prediction, tolerance) == pytest.approx(plain(truth, prediction, reach))


def test_cases_by_hand():
    nothing, whole = np.zeros((20, 20), bool), np.ones((20, 20), bool)
    box, far = nothing.copy(), nothing.copy()
    box[2:6, 2:6] = True
    far[14:18, 14:18] = True
    assert davis_f(nothing, nothing) == davis_f(whole, nothing) == davis_f(box, box) == 1.0
    assert davis_f(box, nothing) == davis_f(nothing, box) == davis_f(box, far) == 0.0
    assert davis_f(box, np.roll(box, 1, axis=1)) == 1.0  # 0.008 of 28 is rounded up to a pixel
    assert davis_f(box, np.roll(box, 3, axis=1)) < 1.0


def test_what_makes_no_sense_is_told():
    mask = np.zeros((4, 4), bool)
    with pytest.raises(DataError, match="two bool masks"):
        davis_f(mask, mask[:3])
    with pytest.raises(DataError, match="uint8"):
        davis_f(mask.astype(np.uint8), mask)
    with pytest.raises(ConfigError, match="above 0"):
        davis_f(mask, mask, tolerance=0)
