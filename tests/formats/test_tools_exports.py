"""Exports of annotation tools that are only read: VIA, Datumaro, Supervisely, Label Studio."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from foreign_sets import (
    FOREIGN,
    SIZE,
    SQUARE,
    STENCIL,
    TRIANGLE,
    assert_same_but_for_edges,
    brush,
    datumaro_document,
    datumaro_entry,
    images,
    inside,
    make,
    packed,
    studio_tasks,
    supervisely_object,
    via_entries,
    via_region,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sets import dataset as small_set
from small_sets import picture, save

from maskwright import formats
from maskwright.core import ConfigError, DataError, Label
from maskwright.formats import FORMATS, WRITABLE, read
from maskwright.formats.label_studio import unpack_rle
from maskwright.jobs import check, convert, split_set

READ_ONLY = [name for name in FORMATS if name not in WRITABLE]


def truth_of(root: Path):
    return read(root).splits["all"][0].read_truth()


def ellipse(degrees: float, radii=(8, 5)) -> np.ndarray:
    """About (16, 12), turned clockwise on the screen."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    place = ((x - 16) + 1j * (y - 12)) * np.exp(-1j * np.deg2rad(degrees))
    return (place.real / radii[0]) ** 2 + (place.imag / radii[1]) ** 2 <= 1


# --- all of them --------------------------------------------------------------------------------


def test_the_tools_that_are_only_read():
    assert READ_ONLY == ["via", "datumaro", "supervisely", "label_studio"]


@pytest.mark.parametrize("name", READ_ONLY)
def test_writing_is_refused_with_what_can_be_written(tmp_path, name):
    wanted = f"can be read, but not written \\(format '{name}'\\); choose one of index_masks, coco"
    small = small_set(train=1)
    for write in (
        lambda: formats.write(small, tmp_path / "out", name),
        lambda: convert(small, tmp_path / "out", name),
    ):
        with pytest.raises(ConfigError, match=wanted):
            write()
    with pytest.raises(ConfigError, match="can be read, but not written"):
        FORMATS[name].write(small, tmp_path / "out")
    found = read(make(name, tmp_path / "set"))
    with pytest.raises(ConfigError, match="can be read, but not written"):
        split_set(found, tmp_path / "out", r"im\d", "50/50")
    assert not (tmp_path / "out").exists()
    split_set(found, tmp_path / "lists", r"im\d", "50/50", lists=True)


@pytest.mark.parametrize("name", FOREIGN)
def test_each_becomes_coco_and_is_checked(tmp_path, name):
    found = read(make(name, tmp_path / "set"))
    check(found)
    convert(found, tmp_path / "out", "coco", workers=1)
    before = found.splits["all"][0].read_truth()
    after = read(tmp_path / "out").splits["all"][0].read_truth()
    assert [one.mask for one in after.instances] == [one.mask for one in before.instances]
    assert after.classes.names == before.classes.names


@pytest.mark.parametrize("name", FOREIGN)
def test_no_other_format_takes_its_folder_or_file(tmp_path, name):
    root = make(name, tmp_path)
    assert [key for key, known in FORMATS.items() if known.detect(root)] == [name]
    files = [p for p in root.rglob("*") if p.suffix in {".json", ".xml"} and "ann" not in p.parts]
    for file in files:
        if file.name not in {"meta.json", "im1.json"}:  # these name no class
            assert read(file).format == name


@pytest.mark.parametrize("name", [name for name in WRITABLE if name != "folders"])
def test_none_takes_the_folders_of_others(tmp_path, name):
    FORMATS[name].write(small_set(train=2, val=1), tmp_path / "set")
    seen = {key for key, known in FORMATS.items() if known.detect(tmp_path / "set")}
    assert not seen & ({*FOREIGN} - {name})
    for file in (tmp_path / "set").rglob("instances.json"):
        assert read(file).format == "coco"


@pytest.mark.parametrize("name", FOREIGN)
def test_missing_images_are_told(tmp_path, name):
    root = make(name, tmp_path)
    next(root.rglob("im0.png")).unlink()
    with pytest.raises(DataError, match=r"there is no (such )?image"):
        read(root)
    lenient = read(root, strict=False)
    faulty, sound = lenient.splits["all"]
    with pytest.raises(DataError, match="there is no"):
        faulty.read_truth()
    sound.read_truth()


# --- VIA ----------------------------------------------------------------------------------------


def test_via_shapes(tmp_path):
    dataset = read(make("via", tmp_path))
    told = " ".join(dataset.notes)
    for text in (
        "attribute 'name' of a region tells its class",
        "1 points and lines cover no area",
    ):
        assert text in told
    polygon, box, circle, turned = truth_of(tmp_path).instances
    assert_same_but_for_edges(polygon.mask.decode(), inside(TRIANGLE))
    assert (box.mask, box.box_xyxy) == (None, (4, 2, 9, 8))
    np.testing.assert_array_equal(circle.mask.decode(), ellipse(0, (5, 5)))
    np.testing.assert_array_equal(turned.mask.decode(), ellipse(np.rad2deg(0.5)))
    assert polygon.extras["attributes"] == {"depth": "3"}


def test_via_projects_and_version_1(tmp_path):
    entries = via_entries()
    regions = entries["im0.png99"]["regions"]
    entries["im0.png99"]["regions"] = {str(i): region for i, region in enumerate(regions)}
    for name, document in (("one", entries), ("two", {"_via_img_metadata": entries})):
        images(tmp_path / name / "train")
        (tmp_path / name / "train" / "project.json").write_text(json.dumps(document))
        (sample, _) = read(tmp_path / name).splits["train"]
        assert len(sample.read_truth().instances) == 4


def test_via_decides_which_attribute_is_the_class(tmp_path):
    images(tmp_path)
    box = {"name": "rect", "x": 1, "y": 1, "width": 3, "height": 3}

    def found(*regions):
        entry = {"filename": "im0.png", "size": 9, "regions": [*regions], "file_attributes": {}}
        (tmp_path / "via.json").write_text(json.dumps({"im0.png9": entry}))
        return read(tmp_path).classes.names

    assert found() == ("object",)
    assert found(via_region(box)) == ("object",)
    assert found(via_region(box, depth="3", Label="a"), via_region(box, Label="b")) == ("a", "b")
    assert found(via_region(box, what={"cat": True, "dog": False})) == ("cat",)
    assert found(via_region(box, what="x", where="y"), via_region(box, what="z")) == ("x", "z")
    with pytest.raises(DataError, match="region 2: expected the attribute 'what' to tell a class"):
        found(via_region(box, what="x"), via_region(box))


# --- Datumaro -----------------------------------------------------------------------------------


def test_datumaro_annotations(tmp_path):
    dataset = read(make("datumaro", tmp_path))
    assert dataset.classes.names == ("spot", "crack")
    assert dataset.classes.colours[0] == (255, 128, 0)
    truth = truth_of(tmp_path)
    joined, box, mask, round_ = truth.instances
    two = inside(TRIANGLE) | inside([[22, 12], [30, 12], [30, 20]])
    assert_same_but_for_edges(joined.mask.decode(), two)
    assert (box.mask, box.box_xyxy) == (None, (4.5, 2, 9, 8))
    np.testing.assert_array_equal(mask.mask.decode()[2:8, 3:12], STENCIL)
    assert (mask.crowd, mask.mask.area) == (True, STENCIL.sum())
    np.testing.assert_array_equal(round_.mask.decode(), ellipse(0))
    assert truth.labels == (Label(class_id=1),)
    assert (box.extras, mask.extras) == ({"attributes": {"occluded": True}}, {})


def test_datumaro_splits(tmp_path):
    for split in ("train", "val"):
        images(tmp_path / "images" / split)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        file = tmp_path / "annotations" / f"{split}.json"
        file.write_text(json.dumps(datumaro_document()))
    assert {s: len(own) for s, own in read(tmp_path).splits.items()} == {"train": 2, "val": 2}


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (datumaro_entry("bbox", 0, 7, bbox=[1, 1, 2, 2]), '"label_id" to be 0..1, got 7'),
        (datumaro_entry("bbox", 0, bbox=[1, 1, 2]), '"bbox" to be left, top, width, height'),
        (datumaro_entry("polygon", 0, points=[1, 1, 2]), '"points" to be x, y'),
        (datumaro_entry("blob", 0), '"type" to be one of bbox, polygon'),
        (datumaro_entry("mask", 0, rle={"size": [9, 9], "counts": [81]}), r"its mask is \(9, 9\)"),
    ],
)
def test_datumaro_faults(tmp_path, entry, wanted):
    document = datumaro_document()
    document["items"][0]["annotations"] = [entry]
    root = make("datumaro", tmp_path)
    (root / "annotations" / "default.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=wanted):
        truth_of(root)


# --- Supervisely --------------------------------------------------------------------------------


def test_supervisely_objects(tmp_path):
    dataset = read(make("supervisely", tmp_path))
    assert dataset.classes.colours == ((255, 128, 0), (0, 128, 255))
    told = " ".join(dataset.notes)
    assert "Corners are taken for pixels" in told
    assert "1 lines, points, graphs and cuboids are left out" in told
    holed, box, bitmap = truth_of(tmp_path).instances
    filled, hole = np.zeros((2, *SIZE), np.uint8)
    cv2.fillPoly(filled, [np.array(TRIANGLE)], 1)
    cv2.fillPoly(hole, [np.array(SQUARE)], 1)
    np.testing.assert_array_equal(holed.mask.decode(), (filled > 0) & (hole == 0))
    assert hole.sum() == 25
    assert (box.mask, box.box_xyxy) == (None, (4, 2, 10, 9))
    np.testing.assert_array_equal(bitmap.mask.decode()[2:8, 3:12], STENCIL)
    assert bitmap.mask.area == STENCIL.sum()


def test_supervisely_data_sets_are_splits(tmp_path):
    root = make("supervisely", tmp_path)
    (root / "ds").rename(root / "train")
    again = make("supervisely", tmp_path / "other")
    (again / "ds").rename(root / "val")
    (root / "val" / "ann" / "im1.png.json").unlink()
    dataset = read(root)
    assert {s: len(own) for s, own in dataset.splits.items()} == {"train": 2, "val": 1}
    assert any("1 images have no JSON file" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("bitmap", "wanted"),
    [
        ({"data": "AAAA", "origin": [3, 2]}, "its bitmap can't be unpacked"),
        ({"data": "?", "origin": [3, 2]}, "to be a text in base64"),
        ({"data": "eJwDAAAAAAE=", "origin": [3, 2]}, "expected a PNG, got 0 bytes"),
        ({"data": "AAAA", "origin": [1e9, 2]}, "expected corners in pixels of the image"),
        (None, '"bitmap" to be an object'),
    ],
)
def test_supervisely_faults(tmp_path, bitmap, wanted):
    root = make("supervisely", tmp_path)
    file = root / "ds" / "ann" / "im0.png.json"
    document = json.loads(file.read_text())
    document["objects"] = [supervisely_object("bitmap", bitmap=bitmap)]
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=wanted):
        truth_of(root)


# --- Label Studio -------------------------------------------------------------------------------


def test_label_studio_results(tmp_path):
    dataset = read(make("label_studio", tmp_path))
    assert any("1 results that are no labelled areas" in note for note in dataset.notes)
    truth = truth_of(tmp_path)
    polygon, box, turned, painted = truth.instances
    assert_same_but_for_edges(polygon.mask.decode(), inside(TRIANGLE))
    assert (box.mask, box.box_xyxy) == (None, (8, 6, 16, 18))
    np.testing.assert_array_equal(turned.mask.decode(), ellipse(30, (8, 4.8)))
    np.testing.assert_array_equal(painted.mask.decode()[2:8, 3:12], STENCIL)
    assert painted.mask.area == STENCIL.sum()
    assert truth.labels == (Label(class_id=0),)


def test_label_studio_takes_the_first_annotation_that_was_not_skipped(tmp_path):
    root = make("label_studio", tmp_path)
    tasks = studio_tasks()
    own = tasks[0]["annotations"][0]
    skipped = own | {"was_cancelled": True, "result": []}
    tasks[0]["annotations"] = [skipped, own, own | {"result": []}]
    tasks[1]["annotations"] = []
    (root / "project-1.json").write_text(json.dumps(tasks))
    dataset = read(root)
    (sample,) = dataset.splits["all"]
    assert len(sample.read_truth().instances) == 4
    told = " ".join(dataset.notes)
    assert "1 further annotations of images that have several" in told
    assert "1 tasks are not annotated" in told


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, 1, 255]), min_size=1, max_size=300))
def test_brushes_are_unpacked(values):
    found = np.array(values, np.uint8)
    np.testing.assert_array_equal(unpack_rle(bytes(packed(found)), len(found)), found)


def test_brushes_that_end_early_or_have_another_size_are_told(tmp_path):
    for numbers, wanted in (
        (brush()[:40], "its brush ends early, after 40 bytes"),
        (packed(np.zeros(7, np.uint8)), "its brush has 7 values"),
        ([300], '"rle" to be bytes 0..255'),
    ):
        root = make("label_studio", tmp_path / str(len(numbers)))
        tasks = studio_tasks()
        tasks[0]["annotations"][0]["result"][3]["value"]["rle"] = numbers
        (root / "project-1.json").write_text(json.dumps(tasks))
        with pytest.raises(DataError, match=wanted):
            truth_of(root)


def test_an_image_outside_is_no_image_of_the_set(tmp_path):
    save(tmp_path / "im9.png", picture(1))
    root = make("via", tmp_path / "set")
    entries = via_entries()
    entries["im0.png99"]["filename"] = "../im9.png"
    (root / "via_region_data.json").write_text(json.dumps(entries))
    with pytest.raises(DataError, match='expected "filename" below the folder'):
        read(root)
