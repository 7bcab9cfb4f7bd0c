"""Flips of models whose answers are known: constant, per pixel, tied to the place, remembering."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import ConfigError, DataError
from maskwright.metrics import (
    Flips,
    Stability,
    frame_flips,
    map_flips,
    noise_flips,
    shift_flips,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def constant(image):
    return np.zeros(image.shape[:2], np.uint8)


def by_pixel(image):
    return (image[..., 0] > 127).astype(np.uint8)


def by_place(image):
    """A chessboard, whatever is in the image: the worst under a shift by one pixel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return ((x + y) % 2).astype(np.uint8)


def by_neighbour(image):
    """Looks one pixel to the left; at the border nothing is there."""
    left = np.pad(image[:, :-1, 0], ((0, 0), (1, 0)))
    return (left > 127).astype(np.uint8)


@pytest.mark.parametrize("directions", [4, 8])
@pytest.mark.parametrize("pixels", [1, 2, 8])
def test_what_follows_each_pixel_never_flips(directions, pixels):
    for predict in (constant, by_pixel):
        found = shift_flips(predict, IMAGE, directions=directions, pixels=pixels)
        straight = 2 * (9 - pixels) * 13 + 2 * 9 * (13 - pixels)
        diagonal = 4 * (9 - pixels) * (13 - pixels) if directions == 8 else 0
        assert found == Flips(flipped=0, compared=straight + diagonal)


def test_what_follows_the_place_flips_wherever_the_shift_is_odd():
    found = shift_flips(by_place, IMAGE, directions=4)
    assert found.share == 1.0
    all_round = shift_flips(by_place, IMAGE)  # the diagonals move the board onto itself
    assert all_round.flipped == found.compared
    assert all_round.compared - found.compared == 4 * 8 * 12


def test_every_direction_is_undone_the_right_way():
    """Only what looks over the border can flip, and only where it comes in from the left."""
    bright = np.full_like(IMAGE, 255)
    flipped = shift_flips(by_neighbour, bright, directions=4).flipped
    # The first column is dark. Moved right it lies in the second and turns bright (9 pixels); moved
    # left the second lies at the border and turns dark (9); up and down nothing changes.
    assert flipped == 18


def test_the_shifted_image_keeps_its_size_and_real_pixels():
    seen = []

    def predict(image):
        seen.append(image)
        return by_pixel(image)

    shift_flips(predict, IMAGE, directions=4)
    np.testing.assert_array_equal(seen[0], IMAGE)
    assert len(seen) == 5
    moves = {(-1, 0), (0, -1), (0, 1), (1, 0)}
    for image in seen[1:]:
        assert image.shape == IMAGE.shape
        fits = {
            (dy, dx)
            for dy, dx in moves
            if np.array_equal(np.roll(IMAGE, (dy, dx), (0, 1))[1:-1, 1:-1], image[1:-1, 1:-1])
        }
        assert len(fits) == 1
        [(dy, dx)] = fits
        edge = np.pad(IMAGE, ((1, 1), (1, 1), (0, 0)), mode="edge")
        np.testing.assert_array_equal(image, edge[1 - dy : 10 - dy, 1 - dx : 14 - dx])
        moves -= fits
    assert not moves


def test_noise_has_its_strength_and_its_seed():
    grey = np.full((200, 200, 3), 128, np.uint8)
    seen = []

    def predict(image):
        seen.append(image.astype(float))
        return (image[..., 0] > 128).astype(np.uint8)

    first = noise_flips(predict, grey, sigma=4.0, draws=2)
    assert first == noise_flips(predict, grey, sigma=4.0, draws=2)
    assert first != noise_flips(predict, grey, sigma=4.0, draws=2, seed=1)
    assert seen[1].std() == pytest.approx(4.0, rel=0.05)
    assert seen[1].mean() == pytest.approx(128, abs=0.1)
    assert not np.array_equal(seen[1], seen[2])
    assert first.compared == 2 * 200 * 200
    # Above 128.5 lie P(z > 0.125) = 45 % of a normal distribution.
    assert first.share == pytest.approx(0.45, abs=0.01)
    assert noise_flips(predict, grey, sigma=0.0).flipped == 0


def test_noise_is_clipped_not_wrapped():
    black, white = (np.full((50, 50, 3), level, np.uint8) for level in (0, 255))
    assert noise_flips(by_pixel, black, sigma=5.0).flipped == 0
    assert noise_flips(by_pixel, white, sigma=5.0).flipped == 0


def moving(count=4, step=2):
    """A bright bar that moves right over black."""
    frames = np.zeros((count, 10, 30, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[:, 5 + step * index : 9 + step * index] = 255
    return frames


def test_frames_without_flow_count_motion():
    found = frame_flips(by_pixel, moving())
    assert found == Flips(flipped=3 * 2 * 2 * 10, compared=3 * 300)
    assert frame_flips(by_pixel, [IMAGE] * 3).share == 0.0
    assert math.isnan(frame_flips(by_pixel, [IMAGE]).share)


def test_flow_takes_motion_out():
    def flow(frame, before):
        assert frame[0, :, 0].argmax() - before[0, :, 0].argmax() == 2
        came_from = np.zeros((*frame.shape[:2], 2), np.float32)
        came_from[..., 0] = -2
        return came_from

    found = frame_flips(by_pixel, iter(moving()), flow)
    assert found == Flips(flipped=0, compared=3 * 10 * 28)  # two columns came from outside


def test_flow_is_dx_dy_and_nan_isnt_compared():
    before = np.arange(12).reshape(3, 4)
    after = np.roll(before, 1, axis=0)
    down = np.zeros((3, 4, 2), np.float32)
    down[..., 1] = -1
    assert map_flips(before, after, down) == Flips(flipped=0, compared=8)
    down[1, 0] = np.nan
    assert map_flips(before, after, down) == Flips(flipped=0, compared=7)
    assert map_flips(before, after) == Flips(flipped=12, compared=12)


def test_a_model_that_reuses_its_answer_is_seen_through():
    kept = np.empty(IMAGE.shape[:2], np.uint8)

    def predict(image):
        np.copyto(kept, by_place(image) if image[0, 0, 0] == IMAGE[0, 0, 0] else 7)
        return kept

    assert noise_flips(predict, IMAGE, sigma=50.0).share == 1.0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(9, 99)), max_size=5))
def test_flips_add_up(pairs):
    each = [Flips(flipped=flipped, compared=compared) for flipped, compared in pairs]
    total = sum(each, Flips(flipped=0, compared=0))
    assert total.flipped == sum(flipped for flipped, _ in pairs)
    assert total.compared == sum(compared for _, compared in pairs)


def test_accumulating_is_adding_up():
    counts = Stability(directions=4)
    counts.update(by_place, IMAGE)
    counts.update_clip(by_pixel, moving())
    scores = counts.scores()
    assert (scores.shift, scores.noise, scores.frames) == (1.0, 0.0, 120 / 900)
    other = Stability(directions=4)
    other.update(constant, IMAGE)
    both = sum([counts, other])
    assert both.scores().shift == 0.5
    data = json.loads(json.dumps(other.scores().to_dict(), allow_nan=False))
    assert data == {"shift": 0.0, "noise": 0.0, "frames": None}


def test_what_makes_no_sense_is_told():
    with pytest.raises(ConfigError, match="got 6 and 1"):
        shift_flips(constant, IMAGE, directions=6)
    with pytest.raises(ConfigError, match="1 to 8 pixels for an image of 9x13, got 8 and 9"):
        shift_flips(constant, IMAGE, pixels=9)
    with pytest.raises(ConfigError, match="got -1 and 1"):
        noise_flips(constant, IMAGE, sigma=-1)
    with pytest.raises(ConfigError, match=r"got 2\.0 and 0"):
        noise_flips(constant, IMAGE, draws=0)
    with pytest.raises(DataError, match=r"\[9, 13\], got \[4, 6\]"):
        noise_flips(lambda image: constant(image[::2, ::2])[:4, :6], IMAGE)
    with pytest.raises(DataError, match=r"\[9, 13\] and \[8, 13\]"):
        frame_flips(constant, [IMAGE, IMAGE[1:]])
    with pytest.raises(DataError, match=r"\[9, 13, 2\].*got \[9, 13\]"):
        map_flips(constant(IMAGE), constant(IMAGE), np.zeros((9, 13)))
