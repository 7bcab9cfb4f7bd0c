"""A segmentation as plain data, a table, files: nothing is lost, and what would be is told."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_api

from maskwright.core import (
    Classes,
    ConfigError,
    DataError,
    Instance,
    Label,
    Mask,
    Panoptic,
    Segmentation,
)
from maskwright.core.draw import overlay

CLASSES = Classes.of(["field", "ball", "line"], [(10, 200, 30), (240, 20, 20), (0, 0, 250)], [1])
SIZE = (6, 8)
SEMANTIC = np.full(SIZE, 255, np.uint8)
SEMANTIC[:, :4] = 0
SEMANTIC[0, 0] = 2
BALL = np.zeros(SIZE, bool)
BALL[2:4, 5:8] = True
OBJECTS = (
    Instance(class_id=1, box_xyxy=(5, 2, 8, 4), mask=Mask.encode(BALL), score=0.75),
    Instance(class_id=1, box_xyxy=(0.5, 0, 2.5, 3)),
)
WHOLE = Segmentation(
    size=SIZE,
    classes=CLASSES,
    semantic=SEMANTIC,
    instances=OBJECTS,
    labels=(Label(class_id=2, score=0.5),),
    times={"network": 0.25},
)


# --- plain data ------------------------------------------------------------------------------


def optional(strategy):
    return st.none() | strategy


@st.composite
def segmentations(draw):
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    count = draw(st.sampled_from([1, 2, 5, 300]))
    classes = Classes.of([f"c{i}" for i in range(count)], None, range(0, count, 2))
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    class_ids = st.integers(0, count - 1)
    cells = size[0] * size[1]

    def grid(elements, kind):
        values = draw(st.lists(elements, min_size=cells, max_size=cells))
        return np.array(values, kind).reshape(size)

    def instance():
        return Instance(
            class_id=draw(class_ids),
            box_xyxy=tuple(draw(numbers) for _ in range(4)),
            mask=Mask.encode(grid(st.booleans(), bool)) if draw(st.booleans()) else None,
            score=draw(optional(numbers)),
            crowd=draw(st.booleans()),
            track_id=draw(optional(st.integers())),
            area=draw(optional(numbers)),
        )

    def panoptic():
        ids = st.integers(-(2**31), 2**31 - 1)
        segments = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
        return Panoptic(
            segment_ids=grid(st.sampled_from([0, *segments]), np.int32),
            class_of={one: draw(class_ids) for one in segments if draw(st.booleans())},
            crowds=frozenset(one for one in segments if draw(st.booleans())),
        )

    known = st.sampled_from([*range(min(count, 4)), classes.void])
    kind = np.uint8 if classes.void == 255 else np.uint16
    return Segmentation(
        size=size,
        classes=classes,
        semantic=grid(known, kind) if draw(st.booleans()) else None,
        instances=tuple(instance() for _ in range(draw(st.integers(0, 3))))
        if draw(st.booleans())
        else None,
        panoptic=panoptic() if draw(st.booleans()) else None,
        labels=tuple(Label(class_id=one, score=draw(optional(numbers)))
                     for one in draw(st.lists(class_ids, max_size=3)))
        if draw(st.booleans())
        else None,
        times=draw(st.dictionaries(st.text(max_size=3), numbers, max_size=2)),
    )  # fmt: skip


def assert_same(one: Segmentation, other: Segmentation) -> None:
    assert (one.size, one.classes, one.times) == (other.size, other.classes, other.times)
    assert (one.instances, one.labels) == (other.instances, other.labels)
    areas = [[instance.area for instance in each.instances or ()] for each in (one, other)]
    assert areas[0] == areas[1]  # equality of objects leaves them out
    assert (one.semantic is None) == (other.semantic is None)
    assert (one.panoptic is None) == (other.panoptic is None)
    if one.semantic is not None:
        assert one.semantic.dtype == other.semantic.dtype
        np.testing.assert_array_equal(one.semantic, other.semantic)
    if one.panoptic is not None:
        assert one.panoptic.segment_ids.dtype == other.panoptic.segment_ids.dtype
        np.testing.assert_array_equal(one.panoptic.segment_ids, other.panoptic.segment_ids)
        assert one.panoptic.class_of == other.panoptic.class_of
        assert one.panoptic.crowds == other.panoptic.crowds


@settings(max_examples=60, deadline=None)
@given(segmentations())
def test_json_loses_nothing(segmentation):
    text = json.dumps(json.loads(segmentation.to_json()), allow_nan=False)
    assert_same(segmentation, Segmentation.from_dict(json.loads(text)))


def test_masks_in_it_are_those_of_pycocotools():
    plain = WHOLE.to_dict()
    np.testing.assert_array_equal(coco_api.decode(plain["instances"][0]["mask"]), BALL)
    maps = {each["id"]: coco_api.decode(each["mask"]) for each in plain["semantic"]}
    assert sorted(maps) == [0, 2]
    for value, pixels in maps.items():
        np.testing.assert_array_equal(pixels, np.equal(SEMANTIC, value))


@pytest.mark.parametrize(
    "change",
    [
        {"size": [6]},
        {"size": [7, 8]},
        {"classes": {"names": ["a"]}},
        {"classes": None},
        {"semantic": [{"id": 0}]},
        {"semantic": [{"id": 900, "mask": {"size": [6, 8], "counts": [0, 48]}}]},
        {"instances": [{"class_id": 1, "box": [1, 2, 3]}]},
        {"instances": [{"class_id": 1, "box": "abcd"}]},
        {"panoptic": [{"id": 1, "class_id": 9, "mask": None}]},
        {"labels": [{"score": 1}]},
        {"times": []},
    ],
)
def test_what_is_damaged_is_told(change):
    with pytest.raises(DataError):
        Segmentation.from_dict(WHOLE.to_dict() | change)


def test_what_is_missing_is_told():
    with pytest.raises(DataError, match=r"as to_dict writes it, got \{\}"):
        Segmentation.from_dict({})
    for wrong in (None, [1], "text"):
        with pytest.raises(DataError, match="as to_dict writes it"):
            Segmentation.from_dict(wrong)


# --- files -----------------------------------------------------------------------------------


def test_saved_as_json(tmp_path):
    WHOLE.save(tmp_path / "a.json")
    assert_same(WHOLE, Segmentation.from_dict(json.loads((tmp_path / "a.json").read_text())))


def test_saved_as_a_class_map_and_what_it_leaves_out_is_told(tmp_path):
    with pytest.warns(UserWarning, match=r"2 objects, 1 labels are left out: save a \.json"):
        WHOLE.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as found:
        np.testing.assert_array_equal(np.array(found), SEMANTIC)
        assert found.getpalette()[:3] == [10, 200, 30]
    only_boxes = Segmentation(size=SIZE, classes=CLASSES, instances=OBJECTS)
    with pytest.raises(DataError, match=r"there is none, but 2 objects; save a \.json"):
        only_boxes.save(tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_saved_as_a_picture(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    WHOLE.save(tmp_path / "on.png", photo)
    found = cv2.imread(str(tmp_path / "on.png"))[..., ::-1]
    np.testing.assert_array_equal(found, overlay(photo, WHOLE))
    WHOLE.save(tmp_path / "black.jpg")
    assert cv2.imread(str(tmp_path / "black.jpg")).shape == (*SIZE, 3)


def test_other_files_are_told(tmp_path):
    with pytest.raises(ConfigError, match=r"expected \.json .* got .*a\.txt"):
        WHOLE.save(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match=r"a\.json with an image"):
        WHOLE.save(tmp_path / "a.json", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DataError, match="for this segmentation, got uint8"):
        WHOLE.draw(np.zeros((3, 3, 3), np.uint8))


# --- tables and notebooks --------------------------------------------------------------------


def test_the_table_has_a_row_for_each_class_and_object():
    pytest.importorskip("pandas")
    table = WHOLE.to_pandas()
    assert list(table["part"]) == ["semantic"] * 3 + ["instances"] * 2 + ["labels"]
    assert list(table["class"]) == ["field", "ball", "line", "ball", "ball", "line"]
    assert list(table["pixels"][:5]) == [23, 0, 1, 6, 6]  # the last a box of 2 x 3
    np.testing.assert_allclose(table["share"][:5], np.array([23, 0, 1, 6, 6]) / 48)
    np.testing.assert_array_equal(table["score"], [np.nan] * 3 + [0.75, np.nan, 0.5])
    np.testing.assert_array_equal(
        table.loc[3:4, ["left", "top", "right", "bottom"]], [[5, 2, 8, 4], [0.5, 0, 2.5, 3]]
    )
    assert WHOLE.shares() == pytest.approx({"field": 23 / 48, "ball": 0, "line": 1 / 48})


def test_the_table_of_panoptic_segments_and_of_nothing():
    pytest.importorskip("pandas")
    ids = np.zeros(SIZE, np.int32)
    ids[1:3] = 7
    panoptic = Panoptic(segment_ids=ids, class_of={7: 2, 9: 0})
    table = Segmentation(size=SIZE, classes=CLASSES, panoptic=panoptic).to_pandas()
    rows = [("panoptic", "line", 16.0), ("panoptic", "field", 0.0)]
    assert list(zip(table["part"], table["class"], table["pixels"])) == rows
    empty = Segmentation(size=SIZE, classes=CLASSES)
    assert len(empty.to_pandas()) == 0
    assert empty.shares() == {}


def test_pandas_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        WHOLE.to_pandas()


def test_it_shows_itself_shortly():
    told = repr(WHOLE)
    assert told == ("Segmentation(6x8, class map: field 47.9%, line 2.1%; 2 objects; label line)")
    assert repr(Segmentation(size=SIZE, classes=CLASSES)) == "Segmentation(6x8, nothing)"
    named = Segmentation(size=SIZE, classes=Classes.of(["<b>"]), semantic=np.zeros(SIZE, np.uint8))
    page = named._repr_html_()
    assert "&lt;b&gt; 100.0%" in page
    assert "<b>" not in page
    assert "data:image/png;base64,iVBOR" in page
