"""`formats.write`: whole or absent, and options that belong to one format only."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from small_sets import dataset

from maskwright import formats
from maskwright.core import ConfigError, DataError, MaskwrightError
from maskwright.formats import CocoOptions, YoloOptions
from maskwright.jobs import convert


def test_what_is_written_is_read(tmp_path):
    told = formats.write(dataset(train=2), tmp_path / "out", "coco")
    assert told == ("coco can't hold the class maps of 2 images.",)
    assert len(formats.read(tmp_path / "out").splits["train"]) == 2
    (tmp_path / "mine").mkdir()
    formats.write(dataset(train=1), tmp_path / "mine", "voc")
    assert formats.read(tmp_path / "mine").format == "voc"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_nothing_is_left_half_written(tmp_path):
    small = dataset(train=3)
    first, second, third = small.splits["train"]
    bare = replace(second, truth_of=replace(second.read_truth(), instances=None))
    broken = replace(small, splits={"train": (first, bare, third)})
    (tmp_path / "there").mkdir()
    for out in ("new/er", "there"):
        with pytest.raises(DataError, match="scene_1 has no objects labelled"):
            formats.write(broken, tmp_path / out, "coco")
    assert [path.name for path in tmp_path.rglob("*") if path.name != "new"] == ["there"]


def test_what_stands_there_is_kept(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("keep")
    with pytest.raises(DataError, match="full exists and is not empty; expected a new folder"):
        formats.write(dataset(train=1), tmp_path / "full", "coco")
    (tmp_path / "file").write_text("keep")
    with pytest.raises(DataError, match="is not empty"):
        formats.write(dataset(train=1), tmp_path / "file", "coco")
    with pytest.raises(MaskwrightError, match="could not write"):
        formats.write(dataset(train=1), tmp_path / "file/below", "coco")
    assert (tmp_path / "file").read_text() == (tmp_path / "full/mine.txt").read_text() == "keep"


@pytest.mark.parametrize("options", [CocoOptions(polygons=True), {"polygons": True}])
def test_options_reach_the_writer(tmp_path, options):
    small = dataset(train=1)
    (one,) = small.splits["train"]
    truth = one.read_truth()
    told_apart = tuple(replace(instance, crowd=False) for instance in truth.instances)
    one = replace(one, truth_of=replace(truth, instances=told_apart))
    for name, chosen in (("polygons", options), ("runs", None)):
        formats.write(replace(small, splits={"train": (one,)}), tmp_path / name, "coco", chosen)
        document = json.loads((tmp_path / name / "train/instances.json").read_text())
        (coded,) = [i["segmentation"] for i in document["annotations"] if "segmentation" in i]
        assert isinstance(coded, list) == (name == "polygons")
    formats.write(dataset(train=1), tmp_path / "yolo", "yolo_seg", YoloOptions(vertices="edge"))
    assert "vertices: edge" in (tmp_path / "yolo/data.yaml").read_text()
    assert any("as data.yaml says" in note for note in formats.read(tmp_path / "yolo").notes)
    asked = formats.read(tmp_path / "yolo", options={"vertices": "centre"})
    assert any("centres of pixels, as asked" in note for note in asked.notes)


@pytest.mark.parametrize(
    ("format", "options", "wanted"),
    [
        ("pascal", None, "no format 'pascal'; the formats are index_masks, coco"),
        ("coco", {"polygon": True}, "coco has no setting 'polygon'.*did you mean polygons"),
        ("coco", {"polygons": "yes"}, "expected polygons to be bool, got 'yes'"),
        ("coco", {"vertices": "edge"}, "vertices is an option of yolo_seg, got vertices='edge'"),
        ("voc", {"colour": 1}, "the format voc has no options, got colour=1"),
        ("coco", YoloOptions(), "expected as options of coco CocoOptions, got YoloOptions"),
        ("voc", CocoOptions(), "as options of voc none"),
        ("yolo_seg", {"vertices": "middle"}, "vertices to be 'centre' or 'edge', got 'middle'"),
    ],
)
def test_options_of_others_are_refused(tmp_path, format, options, wanted):
    with pytest.raises(ConfigError, match=wanted):
        formats.write(dataset(train=1), tmp_path / "out", format, options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="'centre' or 'edge', got 'middle'"):
        YoloOptions(vertices="middle")


@pytest.mark.parametrize("format", formats.WRITABLE)
def test_nothing_is_written_elsewhere(tmp_path, format):
    """A name of a split or an image comes from a file that anybody may have written."""
    small = dataset(train=1)
    (one,) = small.splits["train"]
    for name in (str(tmp_path / "else"), "../else"):
        renamed = replace(one, name=name)
        for splits in ({name: (one,)}, {"train": (renamed,)}):
            with pytest.raises(DataError, match="whose files would be written elsewhere"):
                formats.write(replace(small, splits=splits), tmp_path / "out", format)
            with pytest.raises(DataError, match="whose files would be written elsewhere"):
                convert(replace(small, splits=splits), tmp_path / "out", format, workers=1)
    assert not list(tmp_path.iterdir())
