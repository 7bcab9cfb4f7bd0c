"""The layout is detected, told, and refused with what is known and what is there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from shared import shared_path
from small_sets import dataset, mask_folder, picture, save

from maskwright import formats
from maskwright.core import ConfigError, DataError
from maskwright.core.parts import Label


def test_the_note_says_what_was_seen(tmp_path):
    found = formats.read(mask_folder(tmp_path, {"train": 1}, ["a", "b", "c"]))
    assert found.format == "index_masks"
    assert "read as index_masks: images with masks in train/images/" in found.notes[0]


def test_a_second_layout_is_mentioned_and_can_be_chosen(tmp_path):
    formats.FORMATS["index_masks"].write(dataset(train=1, val=1), tmp_path / "set")
    formats.FORMATS["coco"].write(dataset(train=1), tmp_path / "other")
    (tmp_path / "other/train/instances.json").rename(tmp_path / "set/train/boxes.json")
    found = formats.read(tmp_path / "set")
    assert found.format == "index_masks"
    assert any("train/boxes.json" in note and "'coco'" in note for note in found.notes)
    chosen = formats.read(tmp_path / "set", format="coco")
    assert len(chosen.splits["train"][0].read_truth().instances) == 2


def test_an_unknown_layout_is_told_with_what_is_known(tmp_path):
    save(tmp_path / "photos" / "a.png", picture(0))
    with pytest.raises(DataError) as caught:
        formats.read(tmp_path)
    text = str(caught.value)
    assert "found photos/" in text
    assert all(known.layout in text for known in formats.FORMATS.values())


def test_missing_places_and_formats(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        formats.read(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no format 'pascal'; the formats are index_masks, coco"):
        formats.read(tmp_path, format="pascal")


def labelled(source):
    """The same with an image label each, which some formats need."""
    label = (Label(class_id=1),)
    return replace(
        source,
        splits={
            split: tuple(
                replace(one, truth_of=replace(one.read_truth(), labels=label)) for one in own
            )
            for split, own in source.splits.items()
        },
    )


def test_names_in_the_dict_are_those_of_the_records(tmp_path):
    for name, known in formats.FORMATS.items():
        assert known.name == name
        assert known.writable == (name in formats.WRITABLE)
        if not known.writable:
            continue
        known.write(labelled(dataset(train=2, val=1)), tmp_path / name)
        found = formats.read(tmp_path / name)
        assert found.format == name
        assert known.tasks >= found.splits["val"][0].tasks


def test_a_json_file_is_read_as_coco(tmp_path):
    save(tmp_path / "a.png", picture(0))
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "x"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    assert formats.read(tmp_path / "labels.json").format == "coco"


def test_fieldlines_are_masks_with_boxes_beside_them():
    found = formats.read(shared_path("data/fieldlines_msl"))
    assert found.format == "index_masks"
    assert found.classes.names == ("background", "field", "line")
    assert any("boxes.json" in note for note in found.notes)
