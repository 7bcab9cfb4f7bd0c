"""Distance maps, bands and points against scipy and loops, and that they move with their image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from test_augment import disc, noise

from maskwright.core.errors import ConfigError
from maskwright.data import NONE, Example, Frame, augment
from maskwright.data.derived import (
    boundary_band,
    check_needs,
    extreme_points,
    make_needs,
    signed_distance,
)
from maskwright.data.geometry import crop, flip, turned, warp
from maskwright.losses import Need

DISTANCE = Need(name="signed-distance")
BAND = Need(name="boundary-band", parameters=(("width", 1.5),))
POINTS = Need(name="extreme-points")


def of_map(class_map: np.ndarray) -> Example:
    return Example(image=np.zeros((*class_map.shape, 3), np.uint8), class_map=class_map)


def blobs(size: tuple[int, int] = (60, 80)) -> Example:
    """Three classes with smooth edges, and what a loss wants made of them once."""
    class_map = disc(size, (30, 28), 14) + 2 * disc(size, (34, 62), 9)
    example = replace(of_map(class_map), boxes=np.zeros((0, 4), np.float32))
    return make_needs(example, [DISTANCE], 3, "sample")


@pytest.mark.parametrize("seed", range(4))
def test_signed_distance_is_that_of_scipy(seed):
    class_map = noise(seed).class_map
    maps = signed_distance(of_map(class_map), 4)
    assert maps.shape == (4, *class_map.shape)
    assert maps.dtype == np.float32
    for class_id in range(3):
        inside = class_map == class_id
        expected = np.where(
            inside, 0.5 - distance_transform_edt(inside), distance_transform_edt(~inside) - 0.5
        )
        np.testing.assert_allclose(maps[class_id], expected, rtol=1e-5)
    assert not maps[3].any()  # isn't there


def test_signed_distance_of_large_shapes_is_exact():
    class_map = disc((300, 400), (140, 180), 110)
    maps = signed_distance(of_map(class_map), 2)
    expected = distance_transform_edt(class_map) - distance_transform_edt(class_map == 0)
    expected -= np.where(class_map == 1, 0.5, -0.5)
    np.testing.assert_allclose(maps, [expected, -expected], rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), width=st.sampled_from([1.2, 1.5, 2.0, 2.5]))
def test_boundary_band_by_loops(seed, width):
    rng = np.random.default_rng(seed)
    class_map = rng.choice([0, 1, 2, 255], (7, 9), p=[0.6, 0.15, 0.1, 0.15]).astype(np.uint8)
    expected = np.zeros((7, 9), np.uint8)
    for y, x in np.argwhere(class_map != 255):
        for v, u in np.argwhere((class_map != 255) & (class_map != class_map[y, x])):
            expected[y, x] |= np.hypot(y - v, x - u) < width
    found = boundary_band(of_map(class_map), 3, width=width)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.02, 0.1, 0.5, 1.0]))
def test_extreme_points_by_loops(seed, share):
    rng = np.random.default_rng(seed)
    mask = (rng.random((6, 8)) < share).astype(np.uint8)
    mask[rng.integers(6), rng.integers(8)] = 1
    pixels = [(int(x), int(y)) for y, x in np.argwhere(mask)]

    def point(axis: int, pick) -> list[float]:
        edge = pick(pixel[axis] for pixel in pixels)
        along = sorted(pixel[1 - axis] for pixel in pixels if pixel[axis] == edge)
        run = [along[0]]
        while run[-1] + 1 in along:
            run.append(run[-1] + 1)
        found = [0.0, 0.0]
        found[axis], found[1 - axis] = edge + 0.5, (run[0] + run[-1]) / 2 + 0.5
        return found

    example = Example(
        image=np.zeros((6, 8, 3), np.uint8),
        boxes=np.zeros((3, 4), np.float32),
        masks=(None, mask, np.zeros((6, 8), np.uint8)),
    )
    found = extreme_points(example, 3)
    assert found.shape == (3, 4, 2)
    assert found.dtype == np.float32
    assert found[1].tolist() == [point(0, min), point(1, min), point(0, max), point(1, max)]
    assert np.isnan(found[[0, 2]]).all()  # an unknown mask, and an empty one


def test_of_what_is_not_labelled_nothing_is_made():
    bare = Example(image=np.zeros((5, 6, 3), np.uint8))
    assert not signed_distance(bare, 3).any()
    assert signed_distance(bare, 3).shape == (3, 5, 6)
    assert not boundary_band(bare, 3).any()
    assert extreme_points(bare, 3).shape == (0, 4, 2)
    for only in (0, 255):  # one class, or void, all over
        plain = of_map(np.full((5, 6), only, np.uint8))
        assert not signed_distance(plain, 3).any()
        assert not boundary_band(plain, 3).any()
    pixel = of_map(np.zeros((1, 1), np.uint8))
    assert signed_distance(pixel, 2).tolist() == [[[0]], [[0]]]


def test_a_mirror_image_has_the_mirrored_map():
    for upside_down in (False, True):
        found = flip(blobs(), upside_down)
        np.testing.assert_allclose(found.made[DISTANCE], signed_distance(found, 3), rtol=1e-6)


def test_a_crop_has_its_window_of_the_map_exactly():
    example = blobs()
    whole = example.made[DISTANCE]
    found = crop(example, (7, 11), (30, 40)).made[DISTANCE]
    np.testing.assert_array_equal(found, whole[:, 7:37, 11:51])
    # beyond the image's edges it goes on as at the edge
    found = crop(example, (-5, 70), (30, 20)).made[DISTANCE]
    rows, columns = np.clip(np.arange(-5, 25), 0, 59), np.clip(np.arange(70, 90), 0, 79)
    np.testing.assert_array_equal(found, whole[:, rows[:, None], columns])


@pytest.mark.parametrize("scaled", [(120, 160), (90, 120), (45, 60), (30, 40)])
def test_a_scaled_map_is_that_of_the_scaled_image(scaled):
    found = crop(blobs(), (0, 0), scaled, scaled)
    expected = signed_distance(found, 3)
    # a pixel of the source is as wide as this; on each side of an edge half of one is open
    assert np.abs(found.made[DISTANCE] - expected).max() <= max(1.0, scaled[0] / 60) + 0.1
    assert np.abs(found.made[DISTANCE] - expected).mean() < 0.3
    np.testing.assert_array_equal(
        np.sign(found.made[DISTANCE])[np.abs(expected) > 1.5],
        np.sign(expected)[np.abs(expected) > 1.5],
    )


@pytest.mark.parametrize("angle", [30.0, 90.0, -77.0])
def test_a_turned_map_is_that_of_the_turned_image(angle):
    """On a canvas that loses nothing of the image, so that its own distances are the whole's."""
    size, scaled = (160, 160), (90, 120)
    found = warp(blobs(), turned((-35, -20), size, angle, {"x": 0.0, "y": 0.0}), size, scaled)
    # the class that reaches the image's edges is seen from inside only: void is no class
    inner = found.class_map != 255
    assert inner.sum() == pytest.approx(90 * 120, rel=0.01)
    for class_id in (1, 2):
        error = found.made[DISTANCE][class_id] - signed_distance(found, 3)[class_id]
        assert np.abs(error[inner]).max() <= 1.5
        assert np.abs(error[inner]).mean() < 0.5


def test_what_is_made_of_each_crop_is_not_carried_along():
    """A band as wide as before would be wrong at another scale; points are no pixels."""
    example = make_needs(make_needs(blobs(), [BAND], 3, "crop"), [POINTS], 3, "crop")
    assert set(example.made) == {DISTANCE, BAND, POINTS}
    for moved in (
        flip(example),
        crop(example, (0, 0), (9, 9)),
        augment(example, Frame(size=(20, 30)), replace(NONE, rotate=9), np.random.default_rng(0)),
    ):
        assert set(moved.made) == {DISTANCE}
        assert moved.made[DISTANCE].shape == (3, *moved.size)


def test_needs_are_made_once_and_in_their_time():
    example = make_needs(blobs(), [DISTANCE, BAND], 3, "sample")
    assert set(example.made) == {DISTANCE}
    assert make_needs(example, [DISTANCE], 3, "sample").made[DISTANCE] is example.made[DISTANCE]
    found = make_needs(example, [DISTANCE, BAND], 3, "crop").made
    np.testing.assert_array_equal(found[BAND], boundary_band(example, 3, width=1.5))
    assert check_needs([POINTS, BAND, BAND]) == (BAND, POINTS)


def test_a_need_that_nothing_makes_is_told():
    with pytest.raises(ConfigError, match=r"'signed-distanse'.*did you mean signed-distance"):
        check_needs([Need(name="signed-distanse")])
