"""What class maps look like in numbers, held against shapes whose widths and shares are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskwright.training.facts import facts_of


def stripes(width: int, size: int = 240, every: int = 60) -> np.ndarray:
    ids = np.zeros((size, size), np.uint8)
    for left in range(every // 2, size, every):
        ids[:, left : left + width] = 1
    return ids


@pytest.mark.parametrize("width", [2, 3, 5, 10])
def test_a_stripe_is_as_wide_as_it_was_drawn(width):
    facts = facts_of([stripes(width)], 2, (240, 240))
    assert facts.widths_K[1] == pytest.approx(width)
    assert facts.thinnest == facts.widths_K[1]
    assert facts.shares_K[1] == pytest.approx(4 * width / 240)


def test_a_disc_is_as_wide_as_its_radius():
    ids = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 40, 1, -1)
    assert facts_of([ids], 2, (200, 200)).widths_K[1] == pytest.approx(40, rel=0.15)


def test_widths_are_told_in_pixels_of_the_input():
    ids = stripes(8)
    whole, half = (facts_of([ids], 2, size).widths_K[1] for size in [(240, 240), (120, 120)])
    assert half == pytest.approx(whole / 2)
    # the same photo at twice the resolution is the same input
    twice = np.kron(ids, np.ones((2, 2), np.uint8))
    assert facts_of([twice], 2, (240, 240)).widths_K[1] == pytest.approx(whole, rel=0.02)


def test_shares_are_of_labelled_pixels_and_every_image_counts_alike():
    left = np.full((8, 8), 255, np.uint8)
    left[:2] = 1
    large = np.zeros((64, 64), np.uint8)
    facts = facts_of([left, large], 3, (8, 8))
    assert facts.shares_K == pytest.approx((0.5, 0.5, 0.0))
    assert facts.shown_K == pytest.approx((0.5, 0.5, 0.0))
    assert facts.rarest == 0.5  # a class that never occurs is not the rarest
    assert facts.widths_K[2] == 0


def test_a_region_does_not_end_where_nothing_is_known():
    ids = np.zeros((40, 40), np.uint8)
    ids[:, 18:22] = 1
    ids[:, :18], ids[:, 22:] = 255, 255
    assert facts_of([ids], 2, (40, 40)).widths_K[1] == 40  # no edge: as wide as the input


def test_maps_without_a_label_are_no_images():
    void = np.full((8, 8), 255, np.uint8)
    facts = facts_of([void, void], 2, (8, 8))
    assert facts.images == 0
    assert facts.shares_K == facts.shown_K == facts.widths_K == (0, 0)
    assert facts.rarest == facts.thinnest == facts.up_down == 0


def test_ids_above_255_classes():
    ids = np.full((16, 16), 65535, np.uint16)
    ids[:8] = 299
    assert facts_of([ids], 300, (16, 16)).shares_K[299] == 1


def test_up_and_down():
    road = np.zeros((48, 48), np.uint8)
    road[24:] = 1
    assert facts_of([road], 2, (48, 48)).up_down == pytest.approx(1.0)
    # half of the photos upside down: nothing tells up from down
    assert facts_of([road, road[::-1]], 2, (48, 48)).up_down == pytest.approx(0.0)
    assert facts_of([stripes(4)], 2, (48, 48)).up_down == pytest.approx(0.0)


def test_up_and_down_against_counting_by_hand():
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 3, (32, 24)).astype(np.uint8) for _ in range(4)]
    bands = np.zeros((3, 8))
    for ids in maps:
        for band in range(8):
            for class_id in range(3):
                bands[class_id, band] += (ids[4 * band : 4 * band + 4] == class_id).mean() / 32
    expected = np.abs(bands - bands[:, ::-1]).sum() / 2
    assert facts_of(maps, 3, (32, 24)).up_down == pytest.approx(expected)
