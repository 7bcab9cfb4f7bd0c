"""Statistics against counts by scipy and by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shared import shared_path
from small_sets import CLASSES, ids, picture

from maskwright import formats
from maskwright.core import Dataset, Instance, Mask, Sample, Segmentation
from maskwright.jobs import stats, thin_pixels


def memory(*truths):
    samples = tuple(
        Sample(
            name=str(number),
            image=picture(number, truth.size),
            truth_of=truth,
            tasks=frozenset({"semantic" if truth.semantic is not None else "instances"}),
        )
        for number, truth in enumerate(truths)
    )
    return Dataset(root=Path("x"), format="x", classes=CLASSES, splits={"train": samples})


def semantic(drawn):
    drawn = np.asarray(drawn, np.uint8)
    return Segmentation(size=drawn.shape, classes=CLASSES, semantic=drawn)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=3))
def test_shares_and_regions_agree_with_scipy(seeds):
    maps = [ids(seed, (9, 13)) for seed in seeds]
    found = stats(memory(*(semantic(drawn) for drawn in maps)))
    labelled = sum(int((drawn != 255).sum()) for drawn in maps)
    assert found.images == {"train": len(maps)}
    assert found.sizes == (((9, 13), len(maps)),)
    assert found.void_share == pytest.approx(1 - labelled / (117 * len(maps)))
    for class_id, one in enumerate(found.classes):
        areas = []
        for drawn in maps:
            regions, count = ndimage.label(drawn == class_id, np.ones((3, 3)))
            areas += np.bincount(regions.ravel(), minlength=count + 1)[1:].tolist()
        assert one.pixels == sum(areas)
        assert one.pixel_share == pytest.approx(sum(areas) / labelled)
        assert one.images == sum(bool((drawn == class_id).any()) for drawn in maps)
        assert one.objects == len(areas)
        assert one.area_quantiles == pytest.approx(np.quantile(areas, (0.05, 0.5, 0.95)))
        assert one.small_share == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.3, 0.97), st.integers(1, 3))
def test_thinness_agrees_with_scipys_opening(seed, density, radius):
    inside = np.random.default_rng(seed).random((20, 17)) < density
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = x * x + y * y <= radius * radius
    # Far beyond the border everything goes on as at the border; scipy erodes it from afar only.
    padded = np.pad(inside, radius, mode="edge")
    eroded = ndimage.binary_erosion(padded, disc, border_value=1)
    opened = ndimage.binary_dilation(eroded, disc)[radius:-radius, radius:-radius]
    expected = int(inside.sum()) - int(opened.sum())
    assert thin_pixels(inside.astype(np.uint8), radius) == expected


def test_lines_are_thin_and_fields_are_not():
    drawn = np.zeros((40, 60), np.uint8)
    drawn[10:14] = 1  # 4 pixels wide, from border to border
    drawn[25:40, 20:60] = 2
    field, line, ball = stats(memory(semantic(drawn))).classes
    assert line.thin_share == 1
    assert ball.thin_share < 0.02
    assert field.thin_share < 0.02


def test_objects_count_where_there_are_objects():
    pixels = np.zeros((40, 50), bool)
    pixels[0:33, 0:32] = True
    objects = (
        Instance(class_id=2, box_xyxy=(0, 0, 32, 33), mask=Mask.encode(pixels)),
        Instance(class_id=0, box_xyxy=(1, 2, 11, 7)),
        Instance(class_id=0, box_xyxy=(0, 0, 50, 40), crowd=True),
    )
    found = stats(memory(Segmentation(size=(40, 50), classes=CLASSES, instances=objects)))
    grass, line, ball = found.classes
    assert (grass.objects, grass.area_quantiles[1], grass.small_share) == (1, 50, 1)
    assert (ball.objects, ball.area_quantiles[1], ball.small_share) == (1, 33 * 32, 0)
    assert ball.thin_share < 0.01  # the corners, which a disc does not fill
    assert (line.objects, line.images) == (0, 0)
    assert math.isnan(line.small_share)
    assert math.isnan(found.void_share)
    assert found.crowds == 1
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["void_share"] is None
    assert plain["sizes"] == [[[40, 50], 1]]


def test_progress_is_told():
    told = []
    stats(
        memory(semantic(ids(1)), semantic(ids(2))), lambda done, total: told.append((done, total))
    )
    assert told == [(1, 2), (2, 2)]


def test_power_lines_are_told_to_be_thin():
    found = formats.read(shared_path("data/powerlines_pldu"))
    few = Dataset(
        root=found.root,
        format=found.format,
        classes=found.classes,
        splits={"val": found.splits["val"]},
    )
    background, line = stats(few).classes
    assert line.thin_share > 0.9 > 0.1 > background.thin_share
