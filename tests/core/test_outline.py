"""Outlines: read by OpenCV's rule and by pycocotools' they give the mask back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as reference

from maskwright.core.outline import fill_centres, join_loops, outline

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools

PIXELS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda s: arrays(bool, s))


def by_pycocotools(corners, size):
    if len(corners) < 3:
        return np.zeros(size, bool)
    coded = reference.frPyObjects([corners.astype(float).ravel().tolist()], *size)
    return reference.decode(coded)[..., 0].astype(bool)


def ring(radius, width, size=(90, 100)):
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(y - 44.0, x - 51.0)
    return (away <= radius) & (away > radius - width)


@settings(max_examples=200, deadline=None)
@given(PIXELS)
def test_on_edges_pycocotools_reads_every_pixel_back(pixels):
    np.testing.assert_array_equal(by_pycocotools(outline(pixels, "edge"), pixels.shape), pixels)


@settings(max_examples=200, deadline=None)
@given(PIXELS)
def test_on_centres_a_single_part_comes_back_and_more_parts_only_grow(pixels):
    filled = fill_centres(outline(pixels, "centre"), pixels.shape)
    parts = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=8)[0] - 1
    if parts <= 1:
        np.testing.assert_array_equal(filled, pixels)
    assert (filled >= pixels).all()


@pytest.mark.parametrize("width", [1.5, 3, 20])
def test_rings_come_back_whole(width):
    pixels = ring(40, width)
    np.testing.assert_array_equal(fill_centres(outline(pixels, "centre"), pixels.shape), pixels)
    np.testing.assert_array_equal(by_pycocotools(outline(pixels, "edge"), pixels.shape), pixels)


@pytest.mark.parametrize("thickness", [1, 2, 3])
@pytest.mark.parametrize("end", [(55, 3), (55, 37), (20, 39), (2, 39)])
def test_thin_lines_come_back_whole(thickness, end):
    canvas = np.zeros((42, 60), np.uint8)
    pixels = cv2.line(canvas, (3, 3), end, 1, thickness).astype(bool)
    np.testing.assert_array_equal(fill_centres(outline(pixels, "centre"), pixels.shape), pixels)
    np.testing.assert_array_equal(by_pycocotools(outline(pixels, "edge"), pixels.shape), pixels)


def test_a_square_has_four_corners_and_nothing_has_none():
    pixels = np.zeros((9, 9), bool)
    pixels[2:7, 3:8] = True
    assert sorted(map(tuple, outline(pixels, "edge").tolist())) == [(3, 2), (3, 7), (8, 2), (8, 7)]
    assert sorted(map(tuple, outline(pixels, "centre").tolist())) == [
        (3, 2),
        (3, 6),
        (7, 2),
        (7, 6),
    ]
    for vertices in ("edge", "centre"):
        assert outline(np.zeros((3, 3), bool), vertices).shape == (0, 2)
    assert not fill_centres(np.zeros((0, 2), int), (3, 4)).any()


def test_bridges_take_the_shortest_way():
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    squares = [square + np.array([offset, 0]) for offset in (20, 0, 10)]
    walk = join_loops(squares)
    steps = np.abs(walk - np.roll(walk, 1, axis=0)).sum(axis=1)
    assert steps.sum() == 3 * 16 + 2 * 6 + 2 * 6  # round each, and each gap there and back
