"""Mosaics and pasted objects: every pixel of them tells by its colour where it came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_augment import assert_equal, box_of, disc, noise

from maskwright.data import NONE, Augmentation, Example, Frame, augment
from maskwright.data.mixing import augment_mixed, mosaic, paste

SIZE = (40, 50)
FRAME = Frame(size=SIZE)


def coded(part: int, objects: list[np.ndarray] | None = None) -> Example:
    """Red is the part, green the row, blue the column; classes are stripes, by row and part."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    discs = [disc(SIZE, (12, 14), 8), disc(SIZE, (26, 33), 10)] if objects is None else objects
    return Example(
        image=np.stack([np.full(SIZE, part), y, x], axis=2).astype(np.uint8),
        class_map=((y + part) % 5).astype(np.uint8),
        boxes=np.array([box_of(one) for one in discs], np.float32).reshape(-1, 4),
        class_ids=np.array([10 * part + number for number in range(len(discs))], np.int64),
        crowds=np.zeros(len(discs), bool),
        masks=tuple(discs),
        objects_known=True,
    )


def parts_of(image: np.ndarray) -> set[int]:
    return set(np.unique(image[..., 0]))


@pytest.mark.parametrize("seed", range(8))
def test_every_pixel_of_a_mosaic_comes_with_its_truth(seed):
    sources = [coded(part) for part in range(4)]
    found = mosaic(sources, FRAME, NONE, np.random.default_rng(seed))
    part, y, x = np.moveaxis(found.image.astype(int), 2, 0)
    assert found.image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(found.class_map, (y + part) % 5)

    # four rectangles around a point near the middle
    middle = [int((part[:, 0] == 0).sum()), int((part[0] == 0).sum())]
    rows, columns = np.arange(SIZE[0]) >= middle[0], np.arange(SIZE[1]) >= middle[1]
    np.testing.assert_array_equal(part, 2 * rows[:, None] + columns)
    for at, side in zip(middle, SIZE):
        assert 0.3 * side - 1 <= at <= 0.7 * side

    seen = {}
    for class_id, mask, box in zip(found.class_ids, found.masks, found.boxes):
        source, number = divmod(int(class_id), 10)
        np.testing.assert_array_equal(
            mask == 1, (part == source) & (sources[source].masks[number][y, x] == 1)
        )
        np.testing.assert_array_equal(box, box_of(mask))
        seen[int(class_id)] = mask
    for source in range(4):  # and what isn't there can't be seen, or hardly
        for number in range(2):
            pixels = (part == source) & (sources[source].masks[number][y, x] == 1)
            if 10 * source + number not in seen and pixels.any():
                left, top, right, bottom = box_of(pixels)
                assert min(right - left, bottom - top) < NONE.smallest_box
    assert len(found.boxes) == len(found.masks) == len(found.crowds) == len(found.class_ids)
    assert not found.made


@pytest.mark.parametrize(
    "other",
    [
        {"class_map": None},
        {"masks": None},
        {"objects_known": False, "masks": None},
        {"labels": np.ones(3, np.float32)},
        {"image": np.full((*SIZE, 1), 3, np.uint8)},
    ],
)
def test_parts_that_are_labelled_otherwise_are_left_out(other):
    """Else a mosaic would take what nobody looked for as absent."""
    sources = [coded(0), replace(coded(1), **other), coded(2), coded(3)]
    found = mosaic(sources, FRAME, NONE, np.random.default_rng(0))
    assert parts_of(found.image) == {0, 2, 3}
    assert found.class_map is not None
    assert found.labels is None


def test_parts_without_a_class_map_or_objects_make_such_a_mosaic():
    sources = [replace(coded(i), class_map=None, masks=None) for i in range(4)]
    found = mosaic(sources, FRAME, NONE, np.random.default_rng(0))
    assert found.class_map is None
    assert found.masks is None
    assert len(found.boxes) >= 4
    empty = [replace(coded(i, []), labels=np.eye(4, dtype=np.float32)[i]) for i in range(4)]
    found = mosaic(empty, FRAME, NONE, np.random.default_rng(0))
    assert found.masks == ()
    assert found.boxes.shape == (0, 4)
    assert found.labels.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 1)])
def test_mosaics_of_a_few_pixels(size):
    sources = [coded(part) for part in range(4)]
    found = mosaic(sources, Frame(size=size), Augmentation(), np.random.default_rng(0))
    assert found.image.shape == (*size, 3)
    assert found.class_map.shape == size


@pytest.mark.parametrize("seed", range(8))
def test_every_pixel_of_a_pasted_image_comes_with_its_truth(seed):
    target = coded(0)
    source = coded(1, [disc(SIZE, (15, 20), 6), disc(SIZE, (30, 35), 5), disc(SIZE, (8, 40), 4)])
    source = replace(source, class_ids=np.array([6, 7, 8]))
    found = paste(target, source, np.random.default_rng(seed))
    part, y, x = np.moveaxis(found.image.astype(int), 2, 0)
    pasted = [int(one) for one in found.class_ids if one >= 6]
    if not pasted:
        assert found is target
        return
    expected = (y + part) % 5
    covered = np.zeros(SIZE, bool)
    for class_id in pasted:
        mask = source.masks[class_id - 6] == 1
        covered |= mask
        expected[mask] = class_id
    np.testing.assert_array_equal(part == 1, covered)
    np.testing.assert_array_equal([y, x], np.mgrid[: SIZE[0], : SIZE[1]])
    np.testing.assert_array_equal(found.class_map, expected)
    for class_id, mask, box in zip(found.class_ids, found.masks, found.boxes):
        if class_id >= 6:
            np.testing.assert_array_equal(mask, source.masks[class_id - 6])
        else:
            np.testing.assert_array_equal(mask == 1, (target.masks[class_id] == 1) & ~covered)
        np.testing.assert_array_equal(box, box_of(mask))
    assert len(found.boxes) == len(found.masks) == len(found.crowds) == 2 + len(pasted)


def test_about_half_of_the_objects_are_pasted():
    source = replace(coded(1), class_ids=np.array([6, 7]))
    counts = [
        len(paste(coded(0, []), source, np.random.default_rng(seed)).boxes) for seed in range(60)
    ]
    assert set(counts) == {0, 1, 2}
    assert 0.35 < np.mean(counts) / 2 < 0.65


def always(target: Example, source: Example) -> Example:
    """Pasted by the first seed that pastes all."""
    for seed in range(200):
        found = paste(target, source, np.random.default_rng(seed))
        if found is not target and set(source.class_ids) <= set(found.class_ids):
            return found
    raise AssertionError("nothing was pasted")


def test_objects_that_are_hidden_whole_go():
    target = coded(0, [disc(SIZE, (20, 20), 5), disc(SIZE, (20, 42), 4), disc(SIZE, (20, 21), 4)])
    target = replace(target, masks=(*target.masks[:2], None))  # the third has a box alone
    source = replace(coded(1, [disc(SIZE, (20, 20), 12)]), class_ids=np.array([9]))
    found = always(target, source)
    assert found.class_ids.tolist() == [1, 9]
    np.testing.assert_array_equal(found.boxes[0], target.boxes[1])
    beside = replace(coded(1, [disc(SIZE, (20, 14), 5)]), class_ids=np.array([9]))
    found = always(target, beside)  # half hidden
    assert found.class_ids.tolist() == [0, 1, 2, 9]
    np.testing.assert_array_equal(found.boxes[2], target.boxes[2])
    assert found.boxes[0, 0] > target.boxes[0, 0]


def test_crowds_and_objects_without_masks_are_not_pasted():
    source = coded(1)
    for without in (
        replace(source, crowds=np.array([True, True])),
        replace(source, masks=(None, None)),
        replace(source, masks=None),
    ):
        for seed in range(5):
            target = coded(0)
            assert paste(target, without, np.random.default_rng(seed)) is target


def test_nothing_is_pasted_where_masks_are_not_labelled():
    unlabelled = replace(coded(0, []), masks=None, objects_known=False)
    boxes_only = replace(coded(0), masks=None)
    for seed in range(5):
        for target in (unlabelled, boxes_only):
            assert paste(target, coded(1), np.random.default_rng(seed)) is target


def test_labels_of_the_image_come_with_the_objects_that_bring_them():
    target = replace(coded(0, []), labels=np.array([1, 0, 0, 0], np.float32))
    source = replace(
        coded(1), class_ids=np.array([1, 2]), labels=np.array([0, 1, 0, 1], np.float32)
    )
    assert always(target, source).labels.tolist() == [1, 1, 0, 0]
    assert target.labels.tolist() == [1, 0, 0, 0]
    assert always(replace(target, labels=None), source).labels is None


def test_a_variant_is_mixed_as_often_as_the_settings_say():
    sources = [coded(part) for part in range(6)]

    def variant(seed: int, **settings: float) -> Example:
        rng = np.random.default_rng(seed)
        return augment_mixed(sources.__getitem__, 5, 6, FRAME, replace(NONE, **settings), rng)

    assert parts_of(variant(0).image) == {5}
    assert_equal(variant(3), augment(sources[5], FRAME, NONE, np.random.default_rng(3)))
    mixed = [parts_of(variant(seed, mosaic=1.0).image) for seed in range(8)]
    assert all(5 in parts and len(parts) <= 4 for parts in mixed)
    assert set.union(*mixed) == set(range(6))
    shares = [len(parts_of(variant(seed, mosaic=0.5).image)) > 1 for seed in range(60)]
    assert 0.3 < np.mean(shares) < 0.6
    pasted = [variant(seed, copy_paste=1.0) for seed in range(8)]
    assert any(len(parts_of(one.image)) == 2 for one in pasted)
    assert all(len(one.boxes) >= 1 for one in pasted)


def test_the_sources_are_left_as_they_were():
    sources = [noise(seed) for seed in range(4)]
    before = [
        replace(one, image=one.image.copy(), class_map=one.class_map.copy(), boxes=one.boxes.copy())
        for one in sources
    ]
    frame = Frame(size=(37, 53))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        both = replace(Augmentation(), mosaic=1.0, copy_paste=1.0)
        augment_mixed(sources.__getitem__, seed, 4, frame, both, rng)
        paste(sources[0], sources[1], rng)
    for one, other in zip(sources, before):
        assert_equal(one, other)
