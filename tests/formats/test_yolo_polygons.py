"""Polygons of all objects of an image together against one at a time, on whole frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskwright.core import Instance, Mask
from maskwright.core import polygon as polygon_module
from maskwright.core.outline import fill_centres
from maskwright.formats.yolo_polygons import polygon_rows, read_instances
from maskwright.formats.yolo_rows import Row

SIZES = st.tuples(st.integers(2, 20), st.integers(2, 20))


def drawn(pixels):
    pixels[0, 0] |= not pixels.any()
    return Mask.encode(pixels)


MASKS = SIZES.flatmap(lambda size: st.lists(arrays(bool, size).map(drawn), min_size=1, max_size=4))


def read(shares, size, vertices):
    """What a reader makes of a row, on the whole frame."""
    corners = shares * np.array(size[::-1])
    if vertices == "edge":
        return Mask.from_polygons([corners], size)
    return Mask.encode(fill_centres(np.rint(corners).astype(np.int64), size))


@settings(deadline=None)
@given(MASKS, st.sampled_from(["centre", "edge"]))
def test_rows_tell_what_readers_of_both_conventions_see(masks, vertices):
    other = {"centre": "edge", "edge": "centre"}[vertices]
    rows = polygon_rows(masks, vertices)
    for mask, row in zip(masks, rows, strict=True):
        assert len(row.shares) >= 3
        assert row.iou == mask.iou(read(row.shares, mask.size, vertices))
        assert row.iou_elsewhere == mask.iou(read(row.shares, mask.size, other))
        (alone,) = polygon_rows([mask], vertices)
        np.testing.assert_array_equal(alone.shares, row.shares)


def test_long_outlines_are_walked_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    masks = [Mask.encode(rng.random((60, 80)) < share) for share in (0.2, 0.5, 0.9)]
    whole = [row.iou_elsewhere for row in polygon_rows(masks, "centre")]
    monkeypatch.setattr(polygon_module, "_WALKED_AT_ONCE", 50)
    assert [row.iou_elsewhere for row in polygon_rows(masks, "centre")] == whole
    assert polygon_rows([], "centre") == []


CORNERS = st.lists(st.tuples(st.integers(-3, 23), st.integers(-3, 23)), min_size=3, max_size=7)


@settings(deadline=None)
@given(SIZES, st.lists(CORNERS, max_size=4), st.sampled_from(["centre", "edge", None]))
def test_rows_are_read_as_on_the_whole_frame(size, polygons, vertices):
    sides = np.array(size[::-1])
    rows = [
        Row(class_id=k, shares=np.array(corners) / sides, score=None)
        for k, corners in enumerate(polygons)
    ]
    box = Row(class_id=9, shares=np.array([0.5, 0.5, 0.25, 1.0]), score=0.5)
    found = read_instances([*rows, box], [*range(len(rows)), 9], size, vertices)
    for row, one in zip(rows, found):
        mask = None if vertices is None else read(row.shares, size, vertices)
        corners = row.shares * sides
        around = (*corners.min(axis=0).round(4), *corners.max(axis=0).round(4))
        expected = around if mask is None else mask.box_xyxy
        assert one == Instance(class_id=row.class_id, box_xyxy=expected, mask=mask)
    (width, height) = sides.tolist()
    (last,) = found[len(rows) :]
    assert last.mask is None
    assert last.box_xyxy == pytest.approx((0.375 * width, 0, 0.625 * width, height), abs=1e-4)
