"""The one resize: its geometry, its nearest rule, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import ConfigError
from maskwright.core.resize import (
    Resize,
    resize_nearest,
    restore_boxes,
    restore_class_map,
    restore_probabilities,
)

SIDES = st.integers(1, 70)
SIZES = st.tuples(SIDES, SIDES)
MODES = st.sampled_from(["stretch", "letterbox", "pad"])


def numbered(size, dtype=np.uint16):
    return np.arange(size[0] * size[1], dtype=dtype).reshape(size)


@given(SIZES, SIZES)
def test_nearest_reads_the_pixel_under_each_centre(source, target):
    ids = numbered(source)
    expected = np.empty(target, ids.dtype)
    for row in range(target[0]):
        for column in range(target[1]):
            y = (2 * row + 1) * source[0] // (2 * target[0])  # floor((i + 0.5) * in / out), exact
            x = (2 * column + 1) * source[1] // (2 * target[1])
            expected[row, column] = ids[y, x]
    np.testing.assert_array_equal(resize_nearest(ids, target), expected)


@pytest.mark.parametrize(("source", "target"), [(512, 720), (1024, 1280), (2, 7), (4000, 120)])
def test_nearest_is_exact_where_a_centre_meets_a_pixels_edge(source, target):
    ids = np.arange(source, dtype=np.uint16)[:, None]
    expected = (2 * np.arange(target) + 1) * source // (2 * target)
    np.testing.assert_array_equal(resize_nearest(ids, (target, 1))[:, 0], expected)


@given(SIZES, SIZES)
def test_nearest_writes_into_a_given_buffer(source, target):
    ids = numbered(source)
    out = np.zeros(target, ids.dtype)
    assert resize_nearest(ids, target, out) is out
    np.testing.assert_array_equal(out, resize_nearest(ids, target))


def test_nearest_keeps_channels():
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    resized, _ = Resize(size=(5, 12), interpolation="nearest").apply(image)
    for channel in range(3):
        np.testing.assert_array_equal(
            resized[..., channel], resize_nearest(image[..., channel], (5, 12))
        )


@given(SIZES, SIZES)
def test_letterbox_keeps_the_aspect_and_lies_in_the_middle(source, size):
    geometry = Resize(size=size, mode="letterbox").geometry(source)
    (height, width), (top, left) = geometry.content, geometry.offset
    assert height == size[0] or width == size[1]
    scale = min(size[0] / source[0], size[1] / source[1])
    assert abs(height - source[0] * scale) <= 0.5 or height == 1
    assert abs(width - source[1] * scale) <= 0.5 or width == 1
    assert 0 <= size[0] - height - 2 * top <= 1
    assert 0 <= size[1] - width - 2 * left <= 1


@given(SIZES, SIZES, MODES)
def test_a_class_map_comes_back_as_sampled_twice(source, size, mode):
    ids = numbered(source)
    resize = Resize(size=size, mode=mode, interpolation="nearest", fill=0)
    inside, geometry = resize.apply(ids)
    back = restore_class_map(inside, geometry)
    twice = resize_nearest(resize_nearest(ids, geometry.content), source)
    np.testing.assert_array_equal(back, twice)
    out = np.zeros(source, ids.dtype)
    assert restore_class_map(inside, geometry, out) is out
    np.testing.assert_array_equal(out, twice)


@given(SIZES, SIZES)
def test_padding_enlarges_no_image_and_shrinks_as_the_letterbox(source, size):
    geometry = Resize(size=size, mode="pad").geometry(source)
    if source[0] <= size[0] and source[1] <= size[1]:
        assert geometry.content == source
        assert geometry.offset == ((size[0] - source[0]) // 2, (size[1] - source[1]) // 2)
    else:
        assert geometry == Resize(size=size, mode="letterbox").geometry(source)


@given(SIZES, SIZES, st.sampled_from(["letterbox", "pad"]), st.booleans())
def test_a_mirrored_border_is_numpys_reflection(source, size, mode, buffered):
    image = np.random.default_rng(0).integers(0, 256, (*source, 3), np.uint8)
    resize = Resize(size=size, mode=mode, border="mirror", interpolation="nearest")
    out = np.zeros((*size, 3), np.uint8) if buffered else None
    found, geometry = resize.apply(image, out)
    (top, left), content = geometry.offset, geometry.content
    room = [(top, size[0] - content[0] - top), (left, size[1] - content[1] - left), (0, 0)]
    inside = resize_nearest(image, content)
    np.testing.assert_array_equal(found, np.pad(inside, room, mode="reflect"))


def test_an_unknown_border_is_refused():
    with pytest.raises(ConfigError, match="expected border fill or mirror, got 'wrap'"):
        Resize(size=(4, 4), border="wrap")


def test_a_plain_border_is_written_as_before():
    plain = Resize(size=(4, 4), mode="letterbox")
    assert "border" not in plain.to_dict()
    for resize in (plain, Resize(size=(4, 4), mode="pad", border="mirror")):
        assert Resize.from_dict(resize.to_dict()) == resize


@given(SIZES, st.integers(1, 4), st.sampled_from(["stretch", "letterbox"]))
def test_enlarging_by_a_whole_factor_loses_nothing(source, factor, mode):
    ids = numbered(source)
    size = (source[0] * factor, source[1] * factor)
    inside, geometry = Resize(size=size, mode=mode, interpolation="nearest").apply(ids)
    np.testing.assert_array_equal(restore_class_map(inside, geometry), ids)


@given(SIZES, SIZES, MODES, st.data())
def test_boxes_come_back(source, size, mode, data):
    geometry = Resize(size=size, mode=mode).geometry(source)
    corner = st.floats(0, 1)
    shares = data.draw(st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=4))
    boxes = np.array(shares) * np.array(source[::-1] * 2)
    scale = np.array(geometry.content[::-1] * 2) / np.array(source[::-1] * 2)
    inside = boxes * scale + np.array(geometry.offset[::-1] * 2)
    np.testing.assert_allclose(restore_boxes(inside, geometry), boxes, atol=1e-9)


def test_boxes_are_clipped_to_the_image_and_whole_numbers_are_not_truncated():
    geometry = Resize(size=(10, 10)).geometry((25, 15))
    boxes = restore_boxes(np.array([[-3, 1, 5, 99]]), geometry)
    np.testing.assert_allclose(boxes, [[0, 2.5, 7.5, 25]])
    assert restore_boxes(np.zeros((0, 4), np.float32), geometry).dtype == np.float32


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("source", [(30, 50), (64, 64), (90, 20)])
def test_apply_fills_the_border_and_reuses_the_buffer(mode, source):
    image = np.full((*source, 3), 200, np.uint8)
    resize = Resize(size=(64, 64), mode=mode, fill=7)
    out = np.zeros((64, 64, 3), np.uint8)
    result, geometry = resize.apply(image, out)
    assert result is out
    content = np.zeros((64, 64), bool)
    (top, left), (height, width) = geometry.offset, geometry.content
    content[top : top + height, left : left + width] = True
    assert (out[content] == 200).all()
    assert (out[~content] == 7).all()
    np.testing.assert_array_equal(resize.apply(image)[0], out)


def test_antialiasing_keeps_a_thin_line_that_plain_sampling_loses():
    image = np.zeros((64, 64), np.uint8)
    image[:, 33] = 255
    averaged, _ = Resize(size=(64 // 8, 64 // 8)).apply(image)
    plain, _ = Resize(size=(64 // 8, 64 // 8), antialias=False).apply(image)
    np.testing.assert_array_equal(averaged[0], np.round(image.reshape(8, 8, 8, 8)[0].mean((0, 2))))
    assert averaged.max() > 0
    assert plain.max() == 0


def test_an_image_of_the_right_size_is_returned_as_it_is():
    image = np.zeros((8, 9, 3), np.uint8)
    assert Resize(size=(8, 9)).apply(image)[0] is image


def test_plain_data_round_trip():
    resize = Resize(size=(3, 5), mode="letterbox", interpolation="cubic", antialias=False, fill=9)
    assert Resize.from_dict(resize.to_dict()) == resize


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": (0, 4)}, "0x4"),
        ({"mode": "squash"}, "'squash'"),
        ({"interpolation": "lanczos"}, "'lanczos'"),
    ],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Resize(**({"size": (4, 4)} | wrong))


@pytest.mark.parametrize("channels", [(), (3,), (5,)])
def test_shrinking_averages_whole_blocks_unless_asked_not_to(channels):
    """By 4, an area's mean is that of 16 pixels, and linear reads only the 4 in the middle."""
    image = np.random.default_rng(0).integers(0, 256, (12, 20, *channels), np.uint8)
    blocks = image.reshape(3, 4, 5, 4, *channels).astype(float)
    small, _ = Resize(size=(3, 5)).apply(image)
    np.testing.assert_allclose(small, blocks.mean(axis=(1, 3)), atol=0.51)
    small, _ = Resize(size=(3, 5), antialias=False).apply(image)
    np.testing.assert_allclose(small, blocks[:, 1:3, :, 1:3].mean(axis=(1, 3)), atol=0.76)
    one_way, _ = Resize(size=(3, 20)).apply(image)
    rows = image.reshape(3, 4, 20, *channels).astype(float)
    np.testing.assert_allclose(one_way, rows.mean(axis=1), atol=0.51)


def test_an_image_that_shrinks_one_way_only_is_not_averaged():
    image = np.random.default_rng(0).integers(0, 256, (16, 3), np.uint8)
    resized, _ = Resize(size=(4, 4)).apply(image)
    middle = image.reshape(4, 4, 3)[:, 1:3].mean(axis=1)  # linear down the rows
    np.testing.assert_allclose(resized[:, 0], middle[:, 0], atol=0.76)


def test_probabilities_that_shrink_are_averaged_over_whole_blocks():
    content_Khw = np.random.default_rng(0).random((2, 12, 20), np.float32)
    geometry = Resize(size=(12, 20)).geometry((3, 5))
    restored = restore_probabilities(content_Khw, geometry)
    blocks = content_Khw.reshape(2, 3, 4, 5, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(restored, blocks, atol=1e-6)


@pytest.mark.parametrize(("given", "expected"), [({}, 114), ({"fill": 7}, 7)])
def test_the_letterbox_is_filled_around_an_image_that_keeps_its_aspect(given, expected):
    image = np.full((10, 5, 3), 200, np.uint8)
    boxed, geometry = Resize(size=(20, 30), mode="letterbox", **given).apply(image)
    assert (geometry.content, geometry.offset) == ((20, 10), (0, 10))
    wanted = np.full((20, 30, 3), expected)
    wanted[:, 10:20] = 200
    np.testing.assert_array_equal(boxed, wanted)
    stretched, geometry = Resize(size=(20, 30), mode="stretch", **given).apply(image)
    assert (geometry.content, geometry.offset) == ((20, 30), (0, 0))
    assert (stretched == 200).all()
