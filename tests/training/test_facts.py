"""What class maps look like in numbers, held against shapes whose shares are known."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.training.facts import facts_of


def test_shares_are_of_labelled_pixels_and_every_image_counts_alike():
    left = np.full((8, 8), 255, np.uint8)
    left[:2] = 1
    large = np.zeros((64, 64), np.uint8)
    facts = facts_of([left, large], 3, (8, 8))
    assert facts.shares_K == pytest.approx((0.5, 0.5, 0.0))
    assert facts.shown_K == pytest.approx((0.5, 0.5, 0.0))
    assert facts.commonest == 0.5


def test_maps_without_a_label_are_no_images():
    void = np.full((8, 8), 255, np.uint8)
    facts = facts_of([void, void], 2, (8, 8))
    assert facts.images == 0
    assert facts.shares_K == facts.shown_K == (0, 0)
    assert facts.commonest == facts.up_down == 0


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
    stripes = np.tile(np.repeat(np.uint8([0, 1]), 4), (48, 6))  # upright
    assert facts_of([stripes], 2, (48, 48)).up_down == pytest.approx(0.0)


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
