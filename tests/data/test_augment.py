"""Augmentation: the same again from the same seed, and all truth stays with its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core.errors import ConfigError
from maskwright.core.pixels import Pixels
from maskwright.data import NONE, Augmentation, Example, Frame, augment, augment_clip
from maskwright.data.augment import choose_window
from maskwright.data.geometry import FILL, crop, flip

GROUND, OBJECT = 30, 220
"""Grey values: far from each other and from `FILL`, so that a pixel tells what it shows."""

SHAPES_ONLY = replace(
    Augmentation(), brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, blur=0.0
)


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return (np.hypot(y - centre[0], x - centre[1]) <= radius).astype(np.uint8)


def box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def scene(size: tuple[int, int], discs: list[np.ndarray]) -> Example:
    """Bright discs of class 1 on dark ground of class 0; they don't overlap."""
    union = np.clip(np.sum(discs, axis=0), 0, 1).astype(np.uint8) if discs else np.zeros(size)
    image = np.where(union[..., None] > 0, OBJECT, GROUND).astype(np.uint8)
    return Example(
        image=np.repeat(image, 3, axis=2),
        class_map=union.astype(np.uint8),
        boxes=np.array([box_of(one) for one in discs], np.float32).reshape(-1, 4),
        class_ids=np.ones(len(discs), np.int64),
        masks=tuple(discs),
        crowds=np.zeros(len(discs), bool),
        objects_known=True,
    )


def noise(seed: int, size: tuple[int, int] = (37, 53)) -> Example:
    """Random pixels and ids, two objects; for what must hold exactly."""
    rng = np.random.default_rng(seed)
    example = scene(size, [disc(size, (10, 12), 5), disc(size, (25, 38), 9)])
    return replace(
        example,
        image=rng.integers(0, 256, (*size, 3), np.uint8),
        class_map=rng.choice([0, 1, 2, 255], size).astype(np.uint8),
    )


def assert_equal(one: Example, other: Example) -> None:
    for name in ("image", "class_map", "boxes", "class_ids", "crowds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert len(one.masks) == len(other.masks)
    for mine, yours in zip(one.masks, other.masks):
        np.testing.assert_array_equal(mine, yours)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10**6),
    source=st.tuples(st.integers(40, 120), st.integers(40, 120)),
    size=st.tuples(st.integers(24, 90), st.integers(24, 90)),
    fit=st.sampled_from(["stretch", "letterbox"]),
    cut=st.sampled_from([None, (24, 24), (20, 33)]),
    turn=st.booleans(),
)
def test_image_class_map_mask_and_box_stay_together(seed, source, size, fit, cut, turn):
    rng = np.random.default_rng(seed)
    radius = rng.uniform(5, 10)
    centre = (rng.uniform(0, source[0]), rng.uniform(0, source[1]))
    example = scene(source, [disc(source, centre, radius)])
    changes = replace(SHAPES_ONLY, flip_vertical=0.5, rotate=30.0 * turn, perspective=0.2 * turn)
    frame = Frame(size=size, crop=cut, fit=fit)
    found = augment(example, frame, changes, rng)
    assert found.image.shape == (*frame.cut, 3)
    assert found.class_map.shape == frame.cut

    # An id is a pixel's nearest in the source, its colour a mean of its neighbours there: they may
    # differ as far from an edge as a pixel of the source is wide, and nowhere else.
    pixel = changes.scale[1] * changes.stretch * max(size[0] / source[0], size[1] / source[1])
    if turn:  # scaled, and then turned and tilted: a second mean of neighbours, some nearer
        pixel = 1.5 * pixel + 1
    near = _near_the_edge(found.class_map, int(np.ceil(pixel)) + 1)
    grey = found.image[..., 0].astype(int)
    void = found.class_map == 255
    np.testing.assert_array_equal(grey[void & ~near] if turn else grey[void], FILL)
    np.testing.assert_array_equal(grey[(found.class_map == 1) & ~near], OBJECT)
    np.testing.assert_array_equal(grey[(found.class_map == 0) & ~near], GROUND)

    assert len(found.boxes) == len(found.masks) == len(found.class_ids) == len(found.crowds)
    for mask, box in zip(found.masks, found.boxes):
        np.testing.assert_array_equal(mask == 1, found.class_map == 1)
        assert np.abs(box - box_of(mask)).max() <= pixel / 2 + 1
    if not len(found.masks):  # gone, or cut to a sliver below the smallest side
        rest = found.class_map == 1
        smallest = min(rest.any(axis=0).sum(), rest.any(axis=1).sum())
        assert smallest <= changes.smallest_box + pixel / 2 + 1


def _near_the_edge(class_map: np.ndarray, distance: int) -> np.ndarray:
    """Pixels no further than `distance` from one with another id, or from the window's edge."""
    padded = np.pad(class_map, distance, constant_values=254)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * distance + 1,) * 2)
    return windows.max(axis=(2, 3)) != windows.min(axis=(2, 3))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_the_box_of_a_cut_object_is_that_of_what_is_left_of_its_mask(seed):
    rng = np.random.default_rng(seed)
    example = noise(seed)
    window = (int(rng.integers(0, 20)), int(rng.integers(0, 30)))
    found = crop(example, window, (17, 23))
    for mask, box in zip(found.masks, found.boxes):
        np.testing.assert_array_equal(box, box_of(mask) if mask.any() else [0, 0, 0, 0])


def test_boxes_without_masks_are_cut_at_the_edge():
    boxes = np.array([[2, 3, 10, 9], [-4, 0, 5.5, 40]], np.float32)
    example = replace(noise(0), masks=None, boxes=boxes)
    found = crop(example, (1, 4), (10, 20))
    np.testing.assert_array_equal(found.boxes, [[0, 2, 6, 8], [0, 0, 1.5, 10]])
    assert found.masks is None


def test_objects_that_are_cut_away_are_dropped_with_all_that_belongs_to_them():
    size = (40, 100)
    example = scene(size, [disc(size, (20, 10), 8), disc(size, (20, 90), 8)])
    example = replace(
        example, class_ids=np.array([5, 7]), crowds=np.array([False, True]), class_map=None
    )
    keep_all = replace(NONE, smallest_box=0.0)
    kept = set()
    frame = Frame(size=size, crop=(40, 40))
    for seed in range(20):  # at scale 1 a square crop of a wide image shows one of them at most
        found = augment(example, frame, keep_all, np.random.default_rng(seed))
        assert len(found.boxes) == len(found.masks) == len(found.crowds) <= 1
        assert found.class_map is None
        for class_id, crowd, mask in zip(found.class_ids, found.crowds, found.masks):
            assert crowd == (class_id == 7)
            assert mask.any()
            kept.add(int(class_id))
    assert kept == {5, 7}


def test_thin_objects_that_scaling_loses_are_dropped():
    size = (64, 64)
    dots = np.zeros(size, np.uint8)
    dots[10, 1], dots[40, 61] = 1, 1  # far apart, so that the box stays large
    found = augment(scene(size, [dots]), (8, 8), NONE, np.random.default_rng(0))
    assert not found.class_map.any()
    assert len(found.boxes) == len(found.masks) == 0


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_the_same_seed_gives_the_same_and_another_gives_another(seed):
    example = noise(3)
    one, again, other = (
        augment(example, (32, 40), Augmentation(), np.random.default_rng(which))
        for which in (seed, seed, seed + 1)
    )
    assert_equal(one, again)
    assert not np.array_equal(one.image, other.image)


def test_the_source_is_left_as_it_was():
    example = noise(4)
    example.image.setflags(write=False)
    example.class_map.setflags(write=False)
    example.boxes.setflags(write=False)
    before = replace(example, image=example.image.copy(), boxes=example.boxes.copy())
    for settings_ in (Augmentation(), NONE):
        augment(example, example.size, settings_, np.random.default_rng(0))
    assert_equal(example, before)


def test_nothing_changes_without_augmentation_at_the_same_size():
    example = noise(5)
    assert_equal(augment(example, example.size, NONE, np.random.default_rng(0)), example)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 60))
def test_flipping_twice_is_nothing(seed, width):
    example = crop(noise(seed), (3, 0), (30, width))
    mirrored = flip(example)
    np.testing.assert_array_equal(mirrored.image, example.image[:, ::-1])
    assert_equal(flip(mirrored), example)
    for mask, box in zip(mirrored.masks, mirrored.boxes):
        if mask.any():
            assert np.abs(box - box_of(mask)).max() == 0


def test_rescaling_moves_boxes_by_both_factors():
    found = crop(noise(6, (40, 60)), (0, 0), (20, 180), scaled=(20, 180))
    assert found.size == (20, 180)
    np.testing.assert_allclose(found.boxes, noise(6, (40, 60)).boxes * [3, 0.5, 3, 0.5])


@settings(deadline=None, max_examples=60)
@given(
    content=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    around=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 1000),
)
def test_a_window_shows_as_much_of_the_image_as_it_can(content, around, size, seed):
    example = Example(image=np.zeros((7, 9, 3), np.uint8))
    room = (content[0] + around[0], content[1] + around[1])
    window = choose_window(example, content, room, size, 0.5, np.random.default_rng(seed))
    for start, have, more, want in zip(window, content, around, size):
        shown = min(start + want, have) - max(start, 0)
        assert shown == min(have, want)
        # it lies in the room, or covers it
        first, last = start + more // 2, start + more // 2 + want - (have + more)
        assert (first >= 0 and last <= 0) or (first <= 0 and last >= 0)


def test_every_window_is_drawn():
    example = Example(image=np.zeros((4, 4, 3), np.uint8))
    rng = np.random.default_rng(0)
    windows = {choose_window(example, (6, 3), (6, 7), (4, 5), 1.0, rng) for _ in range(200)}
    # of 7 columns the image fills 2 to 4: the crop of 5 begins at 0, 1 or 2
    assert windows == {(top, left) for top in (0, 1, 2) for left in (-2, -1, 0)}


@pytest.mark.parametrize("scaled", [(200, 200), (300, 150)])
def test_windows_with_one_class_are_drawn_again(scaled):
    class_map = np.zeros((100, 100), np.uint8)
    class_map[:, 90:] = 1
    class_map[1::3] = 255  # void counts nothing
    example = Example(image=np.zeros((100, 100, 3), np.uint8), class_map=class_map)

    def share(largest: float) -> float:
        mixed = 0
        for seed in range(100):
            rng = np.random.default_rng(seed)
            _, left = choose_window(example, scaled, scaled, (40, 40), largest, rng)
            mixed += left + 40 > 0.9 * scaled[1]
        return mixed / 100

    assert share(1.0) < 0.6 < share(0.9)


def test_colours_stay_near_and_truth_stays_put():
    example = noise(8)
    colours = replace(NONE, brightness=0.3, contrast=0.3, saturation=0.3, hue=0.03, blur=1.0)
    found = augment(example, example.size, colours, np.random.default_rng(2))
    assert not np.array_equal(found.image, example.image)
    assert_equal(replace(found, image=example.image), example)


def test_the_frames_of_a_clip_change_alike():
    first, second = noise(9), replace(noise(10), class_map=noise(9).class_map)
    everything = Augmentation(rotate=20, perspective=0.1, flip_vertical=0.5, blur=1.0)
    frame = Frame(size=(37, 53), crop=(24, 30))
    for seed in range(5):
        one, again, other = augment_clip(
            [first, first, second], frame, everything, np.random.default_rng(seed)
        )
        assert_equal(one, again)  # colours and blur too
        np.testing.assert_array_equal(one.class_map, other.class_map)
        np.testing.assert_array_equal(one.boxes, other.boxes)
        assert not np.array_equal(one.image, other.image)
        alone = augment(first, frame, everything, np.random.default_rng(seed))
        assert_equal(one, alone)


def test_frames_of_different_sizes_are_refused():
    frames = [noise(1), noise(1, (40, 53))]
    with pytest.raises(ConfigError, match=r"\[\(37, 53\), \(40, 53\)\]"):
        augment_clip(frames, Frame(size=(8, 8)), NONE, np.random.default_rng(0))


def test_turning_is_off_unless_asked_for_and_draws_nothing():
    """A run of before it existed is the same run."""
    example = noise(11)
    plain = augment(example, (32, 40), SHAPES_ONLY, np.random.default_rng(3))
    again = augment(example, (32, 40), replace(SHAPES_ONLY, rotate=0.0), np.random.default_rng(3))
    turned = augment(example, (32, 40), replace(SHAPES_ONLY, rotate=45.0), np.random.default_rng(3))
    assert_equal(plain, again)
    assert not np.array_equal(plain.image, turned.image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("rotate", [0.0, 30.0])
def test_images_of_other_channels_and_depths_keep_them(dtype, channels, rotate):
    top = np.iinfo(dtype).max
    image = np.full((20, 30, channels), top, dtype)
    pixels = Pixels(channels=channels, highest=int(top))
    example = Example(image=image, class_map=np.zeros((20, 30), np.uint8), pixels=pixels)
    shapes = replace(SHAPES_ONLY, scale=(0.4, 0.5), rotate=rotate, largest_share=1.0, blur=0.0)
    found = augment(example, (20, 30), shapes, np.random.default_rng(0))
    assert found.image.shape == (20, 30, channels)
    assert found.image.dtype == dtype
    assert found.image.max() == top
    assert found.image.min() == top // 255 * FILL  # the same grey beyond the edge
    assert set(np.unique(found.class_map)) == {0, 255}


@pytest.mark.parametrize("rotate", [0.0, 30.0])
def test_class_maps_above_255_classes_keep_their_ids_and_their_void(rotate):
    class_map = np.full((30, 40), 300, np.uint16)
    class_map[10:, 10:] = 255
    example = Example(image=np.zeros((30, 40, 3), np.uint8), class_map=class_map, void=65535)
    changes = replace(Augmentation(), scale=(0.5, 0.6), rotate=rotate)
    found = augment(example, (30, 40), changes, np.random.default_rng(1))
    assert found.class_map.dtype == np.uint16
    assert set(np.unique(found.class_map)) == {255, 300, 65535}


@pytest.mark.parametrize("source", [(1, 1), (1, 30), (30, 1)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_images_of_a_pixel(source, fit):
    example = Example(
        image=np.full((*source, 3), OBJECT, np.uint8),
        class_map=np.zeros(source, np.uint8),
        boxes=np.array([[0, 0, source[1], source[0]], [0, 0, 0, 0]], np.float32),
        class_ids=np.array([0, 1]),
        masks=(np.ones(source, np.uint8), np.zeros(source, np.uint8)),
        crowds=np.zeros(2, bool),
        objects_known=True,
    )
    for seed in range(5):
        changes = Augmentation(scale=(1.0, 2.0), rotate=30, perspective=0.2, smallest_box=0.0)
        found = augment(
            example, Frame(size=(12, 12), fit=fit), changes, np.random.default_rng(seed)
        )
        assert found.image.shape == (12, 12, 3)
        assert 1 not in found.class_ids  # an object without a pixel goes
    found = augment(example, Frame(size=(1, 1), fit=fit), NONE, np.random.default_rng(0))
    assert found.image.shape == (1, 1, 3)


def test_brightness_and_contrast_by_hand():
    image = np.full((8, 8, 3), 100, np.uint8)
    example = Example(image=image)
    seen = set()
    for seed in range(50):
        found = augment(example, (8, 8), replace(NONE, brightness=0.2), np.random.default_rng(seed))
        assert len(np.unique(found.image)) == 1
        seen.add(int(found.image[0, 0, 0]))
    assert min(seen) >= 80
    assert max(seen) <= 120
    assert len(seen) > 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (2.0, 1.0)},
        {"stretch": 0.9},
        {"flip": 1.5},
        {"blur": -0.1},
        {"hue": 0.7},
        {"contrast": 2.0},
        {"smallest_box": -1.0},
        {"rotate": 181.0},
        {"perspective": 1.0},
        {"flip_vertical": 2.0},
        {"mosaic": -0.5},
        {"copy_paste": 1.5},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected") as error:
        Augmentation(**wrong)
    value = next(iter(wrong.values()))
    assert str(value) in str(error.value)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    place=st.tuples(st.integers(0, 49), st.integers(0, 69)),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
)
def test_a_crop_around_a_class_shows_it(seed, place, size):
    class_map = np.zeros((50, 70), np.uint8)
    class_map[place] = 2
    example = Example(image=np.zeros((50, 70, 3), np.uint8), class_map=class_map)
    frame = Frame(size=(50, 70), crop=size)
    found = augment(example, frame, NONE, np.random.default_rng(seed), around=2)
    assert (found.class_map == 2).sum() == 1
    none = augment(example, frame, NONE, np.random.default_rng(seed), around=1)
    chance = augment(example, frame, NONE, np.random.default_rng(seed))
    np.testing.assert_array_equal(none.class_map, chance.class_map)
