"""Pixels that meet at a corner: one region where it is eight neighbours, two where it is four."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from maskwright.core.classes import Classes
from maskwright.core.mask import Mask
from maskwright.formats.cityscapes_labels import LABELS
from maskwright.formats.cityscapes_write import _polygons
from maskwright.formats.coco_write import edge_polygons
from maskwright.formats.recast import regions_of

CORNER = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
FOUR, EIGHT = ndimage.generate_binary_structure(2, 1), ndimage.generate_binary_structure(2, 2)


def maps():
    rng = np.random.default_rng(0)
    return [CORNER, CORNER[:, ::-1].copy(), *(rng.integers(0, 2, (9, 11), np.uint8) for _ in "abc")]


@pytest.mark.parametrize("drawn", maps())
def test_regions_of_a_class_map_have_eight_neighbours(drawn):
    classes = Classes.of(["grass", "ball"])
    found = regions_of(drawn, classes)
    for class_id in (0, 1):
        numbers, count = ndimage.label(drawn == class_id, EIGHT)
        own = {one.mask.decode().tobytes() for one in found if one.class_id == class_id}
        assert own == {(numbers == 1 + place).tobytes() for place in range(count)}


@pytest.mark.parametrize("drawn", maps())
def test_coco_polygons_run_around_parts_of_four_neighbours(drawn):
    mask = Mask.encode(drawn.astype(bool))
    assert len(edge_polygons(mask)) == ndimage.label(drawn, FOUR)[1]


def test_cityscapes_polygons_run_around_regions_of_eight_neighbours():
    label = next(each for each in LABELS if each.name == "road")
    numbered = CORNER.astype(np.int32) * label.id
    assert len(list(_polygons(numbered, LABELS, False))) == 1
