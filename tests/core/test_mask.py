"""`Mask` against brute force on pixels and against pycocotools."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from maskwright.core import polygon as polygon_module
from maskwright.core.errors import DataError
from maskwright.core.mask import Mask
from maskwright.core.resize import resize_nearest

SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))


@st.composite
def pixels(draw, size=None):
    size = draw(SIZES) if size is None else size
    kind = draw(st.sampled_from(["noise", "empty", "full", "blocks"]))
    if kind == "noise":
        return draw(arrays(np.bool_, size))
    picture = np.full(size, kind == "full")
    if kind == "blocks":
        for _ in range(draw(st.integers(1, 3))):
            top, left = draw(st.integers(0, size[0])), draw(st.integers(0, size[1]))
            bottom, right = draw(st.integers(top, size[0])), draw(st.integers(left, size[1]))
            picture[top:bottom, left:right] ^= True
    return picture


@st.composite
def several(draw, most=4):
    size = draw(SIZES)
    return [draw(pixels(size)) for _ in range(draw(st.integers(1, most)))]


def encoded(picture):
    return coco.encode(np.asfortranarray(picture.astype(np.uint8)))


@given(pixels())
def test_decode_inverts_encode(picture):
    mask = Mask.encode(picture)
    assert mask.size == picture.shape
    decoded = mask.decode()
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, picture)


@given(pixels())
def test_area_and_box(picture):
    mask = Mask.encode(picture)
    assert mask.area == picture.sum()
    rows, columns = np.nonzero(picture)
    if mask.area:
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    else:
        expected = (0, 0, 0, 0)
    assert mask.box_xyxy == expected
    left, top, width, height = coco.toBbox(encoded(picture))
    assert mask.box_xyxy == (left, top, left + width, top + height)


@given(pixels())
def test_runs_sum_to_the_pixels_and_only_the_first_can_be_zero(picture):
    mask = Mask.encode(picture)
    assert mask.runs.sum() == picture.size
    assert (mask.runs[1:] > 0).all()
    assert not mask.runs.flags.writeable


@given(several())
def test_merge_of_several(pictures):
    masks = [Mask.encode(picture) for picture in pictures]
    np.testing.assert_array_equal(Mask.merge(masks).decode(), np.any(pictures, axis=0))
    np.testing.assert_array_equal(
        Mask.merge(masks, intersect=True).decode(), np.all(pictures, axis=0)
    )


@given(SIZES.flatmap(lambda size: st.tuples(pixels(size), pixels(size))))
def test_pairs(pair):
    first, second = (Mask.encode(picture) for picture in pair)
    np.testing.assert_array_equal((first | second).decode(), pair[0] | pair[1])
    np.testing.assert_array_equal((first & second).decode(), pair[0] & pair[1])
    common, whole = (pair[0] & pair[1]).sum(), (pair[0] | pair[1]).sum()
    assert first.iou(second) == (common / whole if whole else 0.0)
    assert (first == second) == np.array_equal(*pair)
    assert first != second or hash(first) == hash(second)


@given(pixels(), st.data())
def test_crop(picture, data):
    height, width = picture.shape
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom = data.draw(st.integers(top + 1, height))
    right = data.draw(st.integers(left + 1, width))
    cropped = Mask.encode(picture).crop((left, top, right, bottom))
    assert cropped == Mask.encode(picture[top:bottom, left:right])


@given(pixels(), st.integers(-26, 26), st.integers(-26, 26))
def test_shift(picture, dy, dx):
    expected = np.zeros_like(picture)
    for row, column in zip(*np.nonzero(picture)):
        if 0 <= row + dy < picture.shape[0] and 0 <= column + dx < picture.shape[1]:
            expected[row + dy, column + dx] = True
    np.testing.assert_array_equal(Mask.encode(picture).shift(dy, dx).decode(), expected)


@given(pixels(), SIZES)
def test_resize_samples_as_core_resize(picture, size):
    expected = resize_nearest(picture.astype(np.uint8), size)
    np.testing.assert_array_equal(Mask.encode(picture).resize(size).decode(), expected)


@given(pixels())
def test_both_coco_forms(picture):
    mask = Mask.encode(picture)
    compressed, plain = mask.to_coco(), mask.to_coco(compressed=False)
    reference = encoded(picture)
    assert compressed == {"size": list(picture.shape), "counts": reference["counts"].decode()}
    assert coco.frPyObjects(plain, *picture.shape)["counts"] == reference["counts"]
    for form in (compressed, plain, reference):
        assert Mask.from_coco(form) == mask


@given(st.lists(st.integers(0, 2**29), min_size=1, max_size=7))
@example([0, 1, 2**31, 1, 2**30, 2**31 - 3])
@example([2**32 - 2, 1])
def test_compression_of_long_runs(runs):
    total = sum(runs)
    if not 0 < total < 2**32:
        return
    mask = Mask.from_runs(runs, (total, 1))
    expected = coco.frPyObjects({"size": [total, 1], "counts": mask.runs.tolist()}, total, 1)
    assert mask.to_coco()["counts"].encode() == expected["counts"]
    assert Mask.from_coco(mask.to_coco()) == mask


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30).filter(any))
def test_runs_of_zero_length_cancel(runs):
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = Mask.from_runs(runs, (len(flat), 1))
    assert mask == Mask.encode(flat[:, None])


@st.composite
def polygons(draw):
    size = draw(SIZES)
    # Up to one image beyond each edge; whole, half and fifth pixels meet the rule's corner cases.
    step = draw(st.sampled_from([1.0, 0.5, 0.2, 0.1, 1e-4]))
    span = [st.integers(round(-side / step), round(2 * side / step)) for side in size]
    corner = st.tuples(span[1], span[0]).map(lambda xy: [xy[0] * step, xy[1] * step])
    return size, draw(st.lists(corner, min_size=3, max_size=8))


@settings(max_examples=400)
@given(polygons())
def test_a_polygon_is_filled_as_by_pycocotools(drawn):
    size, corners = drawn
    flat = np.ravel(corners).tolist()
    expected = coco.frPyObjects([flat], *size)[0]["counts"].decode()
    assert Mask.from_polygons([flat], size).to_coco()["counts"] == expected
    assert Mask.from_polygons([np.array(corners)], size).to_coco()["counts"] == expected


def test_a_crossing_star_of_many_corners_on_a_large_image():
    angles = np.arange(301) * 2.399963
    radii = 50 + 400 * (np.arange(301) * 0.618 % 1)
    star = np.stack([640 + radii * np.cos(angles), 360 + radii * np.sin(angles)], axis=1)
    expected = coco.frPyObjects([star.ravel().tolist()], 720, 1280)[0]
    assert (
        Mask.from_polygons([star], (720, 1280)).to_coco()["counts"].encode() == expected["counts"]
    )


@given(SIZES, st.data())
def test_several_polygons_are_united(size, data):
    corner = st.tuples(st.floats(-5, 29), st.floats(-5, 29))
    outlines = data.draw(st.lists(st.lists(corner, min_size=3, max_size=5), max_size=3))
    flat = [np.ravel(outline).tolist() for outline in outlines]
    mask = Mask.from_polygons(flat, size)
    if flat:
        expected = coco.merge(coco.frPyObjects(flat, *size))["counts"].decode()
        assert mask.to_coco()["counts"] == expected
    else:
        assert mask.area == 0


def test_a_polygon_without_area_covers_nothing():
    for outline in ([], [3, 3], [0, 0, 5, 5], [2, 2] * 3):
        assert Mask.from_polygons([outline], (8, 8)).area == 0


@pytest.mark.parametrize(
    ("outline", "said"),
    [
        ([1, 2, 3], "3 numbers"),
        ([0, 0, float("nan"), 1, 2, 2], "nan"),
        (["a", "b"], "'a'"),
        ([0, 0, 1e12, 0, 5, 5], r"1e\+12"),
    ],
)
def test_a_damaged_polygon_is_refused(outline, said):
    with pytest.raises(DataError, match=said):
        Mask.from_polygons([outline], (8, 8))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"size": [2, 3], "counts": [1, 2]}, "sum to 3"),
        ({"size": [2, 3], "counts": [-1, 7]}, "-1"),
        ({"size": [2, 3], "counts": [1.5, 4.5]}, "whole numbers"),
        ({"size": [2, 3], "counts": []}, "0 runs"),
        ({"size": [2, 3], "counts": "0 "}, "' '"),
        ({"size": [2, 3], "counts": "T"}, "end early"),
        ({"size": [2, 3], "counts": "oooooooooooooooo0"}, "run on"),
        ({"size": [0, 3], "counts": []}, "0x3"),
        ({"size": [-2, -3], "counts": [6]}, "-2x-3"),
        ({"size": 6, "counts": [6]}, "got 6"),
        ({"counts": [6]}, "'size' and 'counts'"),
        ([6], r"got \[6\]"),
    ],
)
def test_damaged_coco_masks_are_refused(data, said):
    with pytest.raises(DataError, match=said):
        Mask.from_coco(data)


@pytest.mark.parametrize("wrong", [np.zeros((2, 3, 1)), np.zeros((2, 3)), np.zeros((0, 3), bool)])
def test_encode_refuses_other_arrays(wrong):
    with pytest.raises(DataError, match=str(wrong.dtype)):
        Mask.encode(wrong)


def test_any_number_but_0_is_inside():
    assert Mask.encode(np.array([[0, 1, 255]], np.uint8)) == Mask.encode(np.array([[0, 1, 1]]))


def test_other_sizes_are_refused():
    wide, tall = Mask.encode(np.ones((2, 3), bool)), Mask.encode(np.ones((3, 2), bool))
    for combine in (wide.union, wide.intersection, wide.iou):
        with pytest.raises(DataError, match=r"\(2, 3\) and \(3, 2\)"):
            combine(tall)
    with pytest.raises(DataError, match="none"):
        Mask.merge([])
    with pytest.raises(DataError, match="0x2"):
        wide.resize((0, 2))


@pytest.mark.parametrize("box", [(0, 0, 4, 2), (-1, 0, 2, 2), (1, 1, 1, 2), (0.5, 0, 2, 2)])
def test_crop_refuses_windows_that_are_empty_or_outside(box):
    with pytest.raises(DataError, match="window"):
        Mask.encode(np.ones((2, 3), bool)).crop(box)


def test_a_mask_can_be_sent_used_as_key_and_not_changed():
    mask = Mask.encode(np.eye(4, dtype=bool))
    assert pickle.loads(pickle.dumps(mask)) == mask
    assert {mask: 1}[Mask.encode(np.eye(4, dtype=np.uint8))] == 1
    assert repr(mask) == "Mask(size=(4, 4), area=4)"
    with pytest.raises(AttributeError):
        mask.size = (1, 16)


@pytest.mark.parametrize("at_once", [1, 7, 50, 1000])
def test_long_outlines_are_walked_in_parts(monkeypatch, at_once):
    """The parts' seams change nothing, outside of the image neither."""
    monkeypatch.setattr(polygon_module, "_WALKED_AT_ONCE", at_once)
    monkeypatch.setattr(polygon_module, "_WAITING", 2 * at_once)
    rng = np.random.default_rng(at_once)
    for _ in range(20):
        corners = rng.uniform(-15, 45, (rng.integers(3, 40), 2))
        ours = Mask.from_polygons([corners.ravel().tolist()], (30, 30))
        theirs = coco.merge(coco.frPyObjects([corners.ravel().tolist()], 30, 30))
        np.testing.assert_array_equal(ours.decode(), coco.decode(theirs))


def test_an_outline_that_would_not_end_is_told():
    corners = np.tile([0.0, 0.0, 30000.0, 30000.0], 20000).tolist()
    with pytest.raises(DataError, match="goes back and forth"):
        Mask.from_polygons([corners], (30000, 30000))
