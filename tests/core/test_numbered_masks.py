"""Numbers of pixels to masks, strip by strip, against one comparison a number."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from maskwright.core import Classes, Mask, flatten
from maskwright.core.flatten import count_ids, masks_of
from maskwright.formats.recast import regions_of

NUMBERS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9),
                 elements=st.integers(0, 4))  # fmt: skip


@pytest.fixture(params=[1, 7, 1 << 18])
def strip(request, monkeypatch):
    monkeypatch.setattr(flatten, "STRIP_PIXELS", request.param)
    monkeypatch.setattr("maskwright.core.image.STRIP_PIXELS", request.param)


@pytest.mark.usefixtures("strip")
def test_each_number_has_the_mask_of_its_pixels():
    @settings(deadline=None, max_examples=50)
    @given(NUMBERS)
    def check(numbers):
        expected = {n: Mask.encode(numbers == n) for n in np.unique(numbers).tolist() if n}
        assert masks_of(numbers) == expected
        small = numbers.astype(np.uint8)
        assert count_ids(small, 7).tolist() == np.bincount(small.ravel(), minlength=7).tolist()

    check()


@settings(deadline=None, max_examples=50)
@given(NUMBERS)
def test_regions_are_scipys(numbers):
    class_map = np.where(numbers == 4, 255, numbers).astype(np.uint8)
    found = regions_of(class_map, Classes.of(["a", "b", "c", "d"]))
    expected = set()
    for class_id in range(4):
        labels, count = ndimage.label(class_map == class_id, np.ones((3, 3)))
        expected |= {(class_id, Mask.encode(labels == n + 1)) for n in range(count)}
    assert {(one.class_id, one.mask) for one in found} == expected
    assert len(found) == len(expected)


def test_memory_grows_with_outlines_not_with_pixels():
    numbers = np.zeros((2000, 3000), np.int32)
    numbers[100:1900, 200:2900] = 3
    tracemalloc.start()
    masks_of(numbers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < numbers.nbytes // 2
