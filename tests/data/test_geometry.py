"""Where pixels go, against numpy's own turns, the deployment's resize and counting by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_augment import assert_equal, box_of, noise

from maskwright.core.resize import Resize, resize_nearest
from maskwright.data import NONE, Example, Frame, augment
from maskwright.data.geometry import FILL, crop, flip, turned, warp

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
LEVEL = {"x": 0.0, "y": 0.0}


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_quarter_turns_are_those_of_numpy(quarters):
    """numpy's go counter-clockwise, ours clockwise."""
    window, size = (1, 8), (36, 36)
    example = crop(noise(1), window, size)
    found = warp(noise(1), turned(window, size, 90.0 * quarters, LEVEL), size)
    np.testing.assert_array_equal(found.image, np.rot90(example.image, -quarters))
    np.testing.assert_array_equal(found.class_map, np.rot90(example.class_map, -quarters))
    for mask, box, before in zip(found.masks, found.boxes, example.masks):
        np.testing.assert_array_equal(mask, np.rot90(before, -quarters))
        np.testing.assert_array_equal(box, box_of(mask))
    # and boxes that have no mask go as their pixels would
    boxes_only = replace(noise(1), masks=(None, None))
    found = warp(boxes_only, turned(window, size, 90.0 * quarters, LEVEL), size)
    for box, before in zip(found.boxes, crop(boxes_only, window, size).boxes):
        pixels = np.zeros(size)
        x1, y1, x2, y2 = before.astype(int)
        pixels[y1:y2, x1:x2] = 1
        np.testing.assert_allclose(box, box_of(np.rot90(pixels, -quarters)), atol=1e-4)


def test_a_positive_angle_turns_clockwise():
    image = np.zeros((41, 41, 3), np.uint8)
    image[19:22, 35:38] = 255  # to the right of the middle
    found = warp(Example(image=image), turned((0, 0), (41, 41), 30.0, LEVEL), (41, 41))
    y, x = (axis.mean() - 20 for axis in np.nonzero(found.image[..., 0] > 99))
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(30, abs=1.5)  # below the middle: clockwise


def test_any_number_of_channels_is_turned_alike():
    first, second = noise(4), noise(5)
    matrix = turned((0, 0), (30, 40), 20.0, {"x": 0.2, "y": -0.1})
    six = Example(image=np.concatenate([first.image, second.image], axis=2))
    expected = [warp(one, matrix, (30, 40)).image for one in (first, second)]
    np.testing.assert_array_equal(
        warp(six, matrix, (30, 40)).image, np.concatenate(expected, axis=2)
    )


@pytest.mark.parametrize(("side", "grown"), [("x", (slice(None), 1)), ("y", (slice(None), 3))])
def test_the_right_and_the_bottom_side_come_nearer(side, grown):
    """What is nearer is larger."""
    boxes = [[10, 45, 20, 55], [80, 45, 90, 55], [45, 10, 55, 20], [45, 80, 55, 90]]
    example = Example(image=np.zeros((100, 100, 3), np.uint8), boxes=np.array(boxes, np.float32))
    matrix = turned((0, 0), (100, 100), 0.0, LEVEL | {side: 0.2})
    found = warp(example, matrix, (100, 100)).boxes
    area = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
    assert area.argmax() == grown[1]
    assert area[grown[1]] > 110
    assert area.argmin() == grown[1] - 1


@pytest.mark.parametrize("size", [(100, 20), (20, 100)])
@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0])
def test_the_horizon_stays_out_of_narrow_crops(size, angle):
    """Every pixel of the result comes from before it, however it is turned."""
    corners = np.array([[0, size[1], size[1], 0], [0, 0, size[0], size[0]], [1, 1, 1, 1]])
    for x, y in ((0.9, 0.0), (-0.9, 0.0), (0.0, 0.9), (0.9, 0.9)):
        assert ((turned((5, 7), size, angle, {"x": x, "y": y}) @ corners)[2] > 0).all()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), angle=st.floats(-180, 180))
def test_boxes_without_masks_are_those_of_what_is_left_of_them(seed, angle):
    """By trying where a grid of points of the result comes from; strong tilts have a horizon."""
    rng = np.random.default_rng(seed)
    size = (40, 60)
    tilt = dict(zip("xy", rng.uniform(-0.9, 0.9, 2)))
    matrix = turned((30, 40), size, angle, tilt)
    low = rng.uniform(-300, 300, 2)
    box = np.array([*low, *(low + rng.uniform(20, 400, 2))], np.float32)
    example = Example(image=np.zeros((300, 300, 3), np.uint8), boxes=box[None])
    (found,) = warp(example, matrix, size).boxes

    step = 0.2
    y, x = np.mgrid[0 : size[0] + step / 2 : step, 0 : size[1] + step / 2 : step]
    across = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]))
    there_x, there_y = across[:2] / across[2]
    inside = (there_x >= box[0]) & (there_x <= box[2]) & (there_y >= box[1]) & (there_y <= box[3])
    if inside.sum() > 400:  # corners are sharp: a few points of the grid may miss them
        expected = [x[inside].min(), y[inside].min(), x[inside].max(), y[inside].max()]
        assert (found[:2] <= np.array(expected[:2]) + 1e-3).all()
        assert (found[2:] >= np.array(expected[2:]) - 1e-3).all()
        np.testing.assert_allclose(found, expected, atol=4)
    if not inside.any():
        assert min(found[2] - found[0], found[3] - found[1]) < 4


@settings(deadline=None, max_examples=40)
@given(source=SIZES, scaled=SIZES, size=SIZES, seed=st.integers(0, 10**6))
def test_a_scaled_crop_is_a_window_of_the_resized_image(source, scaled, size, seed):
    rng = np.random.default_rng(seed)
    window = tuple(int(rng.integers(-10, 30)) for _ in range(2))
    mask = rng.integers(0, 2, source, np.uint8)
    example = Example(
        image=rng.integers(0, 256, (*source, 3), np.uint8),
        class_map=rng.integers(0, 9, source, np.uint8),
        boxes=np.zeros((1, 4), np.float32),
        masks=(mask,),
    )
    found = crop(example, window, size, scaled)

    def cut(pixels: np.ndarray, fill: int) -> np.ndarray:
        room = np.pad(
            pixels, ((80, 80), (80, 80), *((0, 0),) * (pixels.ndim - 2)), constant_values=fill
        )
        top, left = window[0] + 80, window[1] + 80
        return room[top : top + size[0], left : left + size[1]]

    np.testing.assert_array_equal(
        found.image, cut(Resize(size=scaled).apply(example.image)[0], FILL)
    )
    np.testing.assert_array_equal(
        found.class_map, cut(resize_nearest(example.class_map, scaled), 255)
    )
    np.testing.assert_array_equal(found.masks[0], cut(resize_nearest(mask, scaled), 0))


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "pad"])
@pytest.mark.parametrize("border", ["fill", "mirror"])
@settings(deadline=None, max_examples=40)
@given(source=SIZES, size=SIZES, seed=st.integers(0, 10**6))
def test_without_augmentation_training_sees_what_deployment_sees(fit, border, source, size, seed):
    rng = np.random.default_rng(seed)
    mask = np.ones(source, np.uint8)
    example = Example(
        image=rng.integers(0, 256, (*source, 3), np.uint8),
        class_map=rng.integers(0, 9, source, np.uint8),
        boxes=np.array([[0, 0, source[1], source[0]]], np.float32),
        class_ids=np.zeros(1, np.int64),
        crowds=np.zeros(1, bool),
        masks=(mask,),
        objects_known=True,
    )
    keep_all = replace(NONE, smallest_box=0.0)
    found = augment(example, Frame(size=size, fit=fit, border=border), keep_all, rng)
    expected, geometry = Resize(size=size, mode=fit, border=border).apply(example.image)
    np.testing.assert_array_equal(found.image, expected)
    (top, left), (height, width) = geometry.offset, geometry.content
    inner = (slice(top, top + height), slice(left, left + width))
    class_map = np.full(size, 255, np.uint8)
    class_map[inner] = resize_nearest(example.class_map, geometry.content)
    np.testing.assert_array_equal(found.class_map, class_map)
    np.testing.assert_array_equal(found.masks[0], class_map != 255)
    np.testing.assert_allclose(found.boxes, [[left, top, left + width, top + height]], atol=1e-4)


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_a_crop_at_native_scale_is_a_window_of_what_deployment_sees(fit):
    example = noise(2, (30, 60))
    whole = Resize(size=(40, 40), mode=fit).apply(example.image)[0]
    windows = np.lib.stride_tricks.sliding_window_view(whole, (14, 20), axis=(0, 1))
    places = set()
    for seed in range(20):
        found = augment(
            example, Frame(size=(40, 40), crop=(14, 20), fit=fit), NONE, np.random.default_rng(seed)
        )
        same = (windows == found.image.transpose(2, 0, 1)).all(axis=(2, 3, 4))
        assert same.sum() == 1
        places |= set(map(tuple, np.argwhere(same)))
        assert (found.class_map != 255).any()
    assert len(places) > 10
    if fit == "letterbox":  # the image fills rows 10 to 30: no crop is spent on the border
        assert {top for top, _ in places} <= set(range(10, 17))


def test_a_turned_image_is_mirrored_beyond_its_edges():
    example = noise(3, (30, 60))
    room = np.pad(example.image, ((40, 40), (40, 40), (0, 0)), mode="reflect")
    found = warp(example, np.array([[1.0, 0, -7], [0, 1, -5], [0, 0, 1]]), (31, 44), None, "mirror")
    np.testing.assert_array_equal(found.image, room[35 : 35 + 31, 33 : 33 + 44])
    assert (found.class_map[:5] == 255).all()


def test_upside_down():
    example = noise(3)
    found = flip(example, upside_down=True)
    np.testing.assert_array_equal(found.image, example.image[::-1])
    np.testing.assert_array_equal(found.class_map, example.class_map[::-1])
    for mask, box, before in zip(found.masks, found.boxes, example.masks):
        np.testing.assert_array_equal(mask, before[::-1])
        np.testing.assert_array_equal(box, box_of(mask))
    assert_equal(flip(found, upside_down=True), example)
    always = replace(NONE, flip_vertical=1.0)
    assert_equal(augment(example, example.size, always, np.random.default_rng(0)), found)
