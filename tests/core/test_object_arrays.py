"""Objects as arrays are the same sequence of instances."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskwright.core import Classes, DataError, Instance, Mask, Segmentation
from maskwright.core.object_arrays import ObjectArrays

PIXELS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.lists(arrays(bool, size), min_size=1, max_size=5)
)


def both(pixels, told=None):
    """The same objects as arrays and one by one."""
    masks = [Mask.encode(one) for one in pixels]
    runs = [mask.runs for mask in masks]
    count = len(masks)
    made = ObjectArrays(
        size=masks[0].size,
        class_id=np.arange(count) % 3,
        score=np.linspace(0, 1, count),
        runs=np.concatenate(runs),
        first=np.append(0, np.cumsum([len(one) for one in runs])),
        told_boxes=told,
    )
    scores = np.linspace(0, 1, count).tolist()
    boxes = [mask.box_xyxy for mask in masks] if told is None else map(tuple, told.tolist())
    return made, tuple(
        Instance(class_id=k % 3, box_xyxy=box, mask=mask, score=scores[k])
        for k, (mask, box) in enumerate(zip(masks, boxes))
    )


@given(PIXELS)
def test_they_are_the_same_sequence(pixels):
    made, expected = both(pixels)
    assert (tuple(made), made, len(made)) == (expected, expected, len(expected))
    assert made[-1] == expected[-1]
    assert made[:2] == expected[:2]
    with pytest.raises(IndexError):
        made[len(expected)]
    assert pickle.loads(pickle.dumps(made)) == expected
    assert made != expected[1:]


def test_boxes_that_a_file_tells_stay():
    told = np.array([[0.5, 1, 2, 3.25]])
    made, expected = both([np.eye(4, dtype=bool)], told)
    assert made == expected
    assert made[0].box_xyxy == (0.5, 1, 2, 3.25)


def test_a_segmentation_checks_them():
    made, expected = both([np.eye(4, dtype=bool)] * 3)
    classes = Classes.of("abc")
    found = Segmentation(size=(4, 4), classes=classes, instances=made)
    whole = Segmentation(size=(4, 4), classes=classes, instances=expected)
    assert found.to_dict() == whole.to_dict()
    np.testing.assert_array_equal(found.draw(), whole.draw())
    with pytest.raises(DataError, match="instance 2 has class id 2"):
        Segmentation(size=(4, 4), classes=Classes.of("ab"), instances=made)
    with pytest.raises(DataError, match=r"instance 0 .*\(4, 5\), got \(4, 4\)"):
        Segmentation(size=(4, 5), classes=classes, instances=made)
