"""Many masks at once against one at a time, and against pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco

from maskwright.core import Mask
from maskwright.core.mask_lists import (
    boxes_of,
    masks_from_coco,
    masks_of_windows,
    masks_to_coco,
    runs_from_coco,
    turned_window,
    windows_of_masks,
)

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, max_side=9)
PIXELS = st.lists(npst.arrays(np.bool_, SHAPES), min_size=1, max_size=6)


def _coded(pixels: np.ndarray) -> dict[str, Any]:
    """As pycocotools writes it."""
    found = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


@settings(deadline=None)
@given(PIXELS)
def test_lists_are_read_and_written_as_pycocotools_does(many: list[np.ndarray]) -> None:
    coded = [_coded(pixels) for pixels in many]
    masks = [mask for mask in masks_from_coco(coded) if mask is not None]
    assert masks == [Mask.encode(pixels) for pixels in many]
    assert masks_to_coco(masks) == coded
    for box, pixels, one in zip(boxes_of(masks).tolist(), many, coded):
        left, top, width, height = coco.toBbox({**one, "counts": one["counts"].encode()})
        assert box == [left, top, left + width, top + height]
        assert np.array_equal(coco.decode(one), pixels)


def test_large_and_dense_masks_too() -> None:
    rng = np.random.default_rng(0)
    many = [rng.random((300, 500)) < share for share in (0, 0.001, 0.5, 0.999, 1)]
    many += [np.zeros((1, 70000), bool), np.ones((70000, 1), bool)]
    many[-2][0, -1] = True
    coded = [_coded(pixels) for pixels in many]
    masks = masks_from_coco(coded)
    assert masks == [Mask.encode(pixels) for pixels in many]
    assert masks_to_coco([mask for mask in masks if mask is not None]) == coded


def test_runs_that_no_tool_writes_in_one_piece_are_left_to_the_one_by_one_reader() -> None:
    good = _coded(np.eye(4, dtype=bool))
    zeros_inside = {"size": [2, 2], "counts": "1101"}  # 1, 1, 0 and 0 + 1 + ...
    others: list[Any] = [
        None, [[0, 0, 2, 0, 2, 2]], {"size": [2, 2], "counts": [1, 3]}, zeros_inside,
        {"size": [2, 3], "counts": good["counts"]}, {"size": [2.0, 2], "counts": "04"},
        {"size": [4, 4], "counts": ""}, {"counts": "04"}, {"size": [0, 4], "counts": "0"},
    ]  # fmt: skip
    found = masks_from_coco([good, *others, good])
    assert found[0] == found[-1] == Mask.from_coco(good)
    assert found[1:-1] == [None] * len(others)


@given(st.sampled_from(["~~", "pp", "P", "0P", "1" * 3 + "PPPPPPPPP0", "é"]))
def test_a_damaged_text_gives_none(text: str) -> None:
    assert masks_from_coco([{"size": [2, 2], "counts": text}]) == [None]


@given(st.integers(-(2**33), 2**33), st.integers(0, 15))
def test_every_difference_of_two_runs_keeps_its_value(value: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = 60000, 60000
    ends = np.unique(np.append(rng.integers(1, height * width, 9), abs(value) % (height * width)))
    mask = Mask.from_runs(np.diff(ends, prepend=0, append=height * width), (height, width))
    coded = masks_to_coco([mask, mask])
    assert coded == [mask.to_coco(), mask.to_coco()]
    assert masks_from_coco(coded) == [mask, mask]


@given(st.data(), npst.arrays(np.bool_, SHAPES))
def test_windows_equal_the_whole_frame(data: st.DataObject, pixels: np.ndarray) -> None:
    height, width = pixels.shape
    windows, corners, whole = [], [], []
    for _ in range(3):
        top, left = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
        bottom = data.draw(st.integers(top, height))
        right = data.draw(st.integers(left, width))
        windows.append(turned_window(pixels[top:bottom, left:right]))
        corners.append((left, top))
        whole.append(np.zeros_like(pixels))
        whole[-1][top:bottom, left:right] = pixels[top:bottom, left:right]
    found = masks_of_windows(windows, corners, (height, width))
    assert found == [Mask.encode(one) for one in whole]


@given(PIXELS)
def test_masks_are_painted_into_their_boxes(many: list[np.ndarray]) -> None:
    filled = [pixels for pixels in many if pixels.any()]
    masks = [Mask.encode(pixels) for pixels in filled]
    for mask, pixels, (window, left, top) in zip(masks, filled, windows_of_masks(masks)):
        assert mask.box_xyxy == (left, top, left + window.shape[1], top + window.shape[0])
        assert window.flags.c_contiguous
        inside = pixels[top : top + window.shape[0], left : left + window.shape[1]]
        np.testing.assert_array_equal(window, inside)
    assert len(list(windows_of_masks(masks))) == len(masks)


@settings(deadline=None)
@given(SHAPES.flatmap(lambda s: st.lists(npst.arrays(np.bool_, s), min_size=1, max_size=4)))
def test_runs_of_one_image_are_those_of_its_masks(many: list[np.ndarray]) -> None:
    coded, size = [_coded(pixels) for pixels in many], many[0].shape
    found = runs_from_coco(coded, size)
    assert found is not None
    runs, first = found
    for pixels, begin, end in zip(many, first, first[1:]):
        np.testing.assert_array_equal(runs[begin:end], Mask.encode(pixels).runs)
    others: list[Any] = [
        None, [[0, 0, 2, 0, 2, 2]], {"size": [*size], "counts": [1]}, {"size": [*size]}, {},
        {"size": [*size], "counts": ""}, {"size": [*size], "counts": "é"}, "text",
        {"size": [*size], "counts": "P"}, {"size": [size[0], size[1] + 1], "counts": "0"},
    ]  # fmt: skip
    for other in others:
        assert runs_from_coco([*coded, other], size) is None
    assert runs_from_coco([], size) is None
