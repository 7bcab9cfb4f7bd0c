"""What a file tells beyond our words is written again where it can be held, else counted."""

from __future__ import annotations

import contextlib
import csv
import json
import random
import shutil

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference
from small_sets import picture, save

from maskwright import formats
from maskwright.core import DataError, Mask, MaskwrightError
from maskwright.formats import coco
from maskwright.formats.coco_write import numbered
from maskwright.jobs.convert import convert

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools

SQUARE = [[4, 4, 14, 4, 14, 12, 4, 12]]
OBJECT = {
    "id": 31,
    "image_id": 900,
    "category_id": 7,
    "bbox": [4, 4, 10, 8],
    "area": 80,
    "iscrowd": 0,
    "segmentation": SQUARE,
    "keypoints": [5, 6, 2],
    "num_keypoints": 1,
    "attributes": {"occluded": True, "maker": "Ö"},
    "ignore": 1,
}
DOCUMENT = {
    "info": {"year": 2020, "version": "1.0"},
    "licenses": [{"id": 4, "name": "CC"}],
    "images": [
        {"id": 900, "file_name": "b.png", "height": 24, "width": 32, "license": 4, "coco_url": "u"},
        {"id": 5, "file_name": "a.png", "height": 24, "width": 32, "license": 4},
    ],
    "annotations": [OBJECT, OBJECT | {"id": 2, "image_id": 5, "category_id": 90}],
    "categories": [
        {"id": 7, "name": "a", "supercategory": "s", "keypoints": ["nose"], "color": "#f00"},
        {"id": 90, "name": "b", "supercategory": "s"},
    ],
}


def coco_set(root, document=None, splits=("train",)):
    for split in splits:
        for name in ("a.png", "b.png"):
            save(root / split / "images" / name, picture(1))
        text = json.dumps(DOCUMENT if document is None else document)
        (root / split / "instances.json").write_text(text)
    return root


def losses(out):
    rows = list(csv.DictReader((out / "losses.csv").read_text().splitlines()))
    return {(row["image"], row["lost"]): int(row["count"]) for row in rows}


def by_id(entries):
    return {entry["id"]: entry for entry in entries}


def holds(entry, stated):
    return all(entry.get(key) == value for key, value in stated.items())


def test_coco_to_coco_keeps_everything_that_the_file_says(tmp_path):
    convert(formats.read(coco_set(tmp_path / "set")), tmp_path / "out", "coco")
    written = json.loads((tmp_path / "out/train/instances.json").read_text())
    for key in ("images", "annotations", "categories"):
        found = by_id(written[key])
        assert found.keys() == by_id(DOCUMENT[key]).keys()
        for stated in DOCUMENT[key]:
            assert holds(found[stated["id"]], stated), stated
    assert (written["info"], written["licenses"]) == (DOCUMENT["info"], DOCUMENT["licenses"])
    assert losses(tmp_path / "out") == {}


def test_the_same_bytes_come_from_what_was_written(tmp_path):
    convert(formats.read(coco_set(tmp_path / "set")), tmp_path / "one", "coco")
    convert(formats.read(tmp_path / "one"), tmp_path / "two", "coco")
    first, second = (tmp_path / name / "train/instances.json" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("to", ["yolo_seg", "voc", "index_masks", "coco_panoptic", "cityscapes"])
def test_what_the_target_cannot_hold_is_counted_for_each_image(tmp_path, to):
    convert(formats.read(coco_set(tmp_path / "set")), tmp_path / "out", to)
    told = losses(tmp_path / "out")
    assert told[("train/a", "the keypoints of objects")] == 1
    assert told[("train/b", "the field 'ignore' of objects")] == 1
    assert (("train/b", "the attributes of objects") in told) == (to != "voc")
    assert (("train/b", "the field 'license' of images") in told) == (to != "coco_panoptic")
    of_set = {what for image, what in told if image == "the set"}
    assert any("info" in what and "licenses" in what for what in of_set) == (to != "coco_panoptic")
    assert ("the numbers of images and objects" in of_set) == (to != "coco_panoptic")


def test_running_numbers_tell_nothing_so_nothing_is_said_of_them(tmp_path):
    plain = {
        "images": [{"id": i, "file_name": f"{n}.png"} for i, n in enumerate("ab", start=1)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
        "categories": [{"id": 1, "name": "a"}],
    }
    found = convert(formats.read(coco_set(tmp_path / "set", plain)), tmp_path / "out", "yolo_boxes")
    assert found.losses == ()


def test_sets_divided_anew_keep_numbers_and_categories(tmp_path):
    from maskwright.jobs import split_set

    root = coco_set(tmp_path / "set")
    split_set(formats.read(root), tmp_path / "out", "folder|[ab]", "50/50", seed=0)
    numbers, categories = set(), set()
    for split in ("train", "val"):
        written = json.loads((tmp_path / "out" / split / "instances.json").read_text())
        numbers |= by_id(written["images"]).keys()
        categories |= by_id(written["categories"]).keys()
        assert written["info"] == DOCUMENT["info"]
        assert all("keypoints" in one for one in written["annotations"])
    assert (numbers, categories) == ({900, 5}, {7, 90})


def test_numbers_that_occur_twice_are_given_anew_and_counted(tmp_path):
    from maskwright.core.sample import Dataset

    found = formats.read(coco_set(tmp_path / "set", splits=("train", "val")))
    joined = Dataset(
        root=found.root,
        format=found.format,
        classes=found.classes,
        about=found.about,
        splits={
            "all": (
                *found.splits["train"],
                *(type(s)(name=f"v{s.name}", image=s.image, truth_of=s.truth_of, tasks=s.tasks)
                  for s in found.splits["val"]),
            )
        },
    )  # fmt: skip
    done = convert(joined, tmp_path / "out", "coco")
    written = json.loads((tmp_path / "out/instances.json").read_text())
    assert len(by_id(written["images"])) == len(by_id(written["annotations"])) == 4
    assert any("the numbers of 2 images" in told for told in done.losses)
    assert any("the numbers of 2 objects" in told for told in done.losses)
    of_image = {image["id"]: image["file_name"] for image in written["images"]}
    assert sorted(of_image[one["image_id"]] for one in written["annotations"]) == [
        "a.png", "b.png", "va.png", "vb.png",
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.integers(-3, 12))))
def test_numbers_are_unique_and_kept_where_they_can_be(wanted):
    from collections import Counter

    taken = Counter()
    numbers = numbered(wanted, "images", taken)
    assert len(set(numbers)) == len(wanted)
    first = {number: place for place, number in reversed(list(enumerate(wanted)))}
    assert all(numbers[p] == n for n, p in first.items() if n is not None)
    repeats = sum(n is not None for n in wanted) - len(set(wanted) - {None})
    assert taken["images"] == repeats


def test_polygons_stay_only_while_they_are_the_mask(tmp_path):
    from dataclasses import replace

    (one, _) = coco.read(coco_set(tmp_path)).splits["train"]
    (instance,) = one.read_truth().instances
    entry = coco.image_entry("a.png", one.read_truth())
    assert entry["annotations"][0]["segmentation"] == SQUARE
    moved = replace(
        one.read_truth(), instances=(replace(instance, mask=instance.mask.shift(0, 1)),)
    )
    (written,) = coco.image_entry("a.png", moved)["annotations"]
    decoded = reference.decode(written["segmentation"]).astype(bool)
    expected = np.zeros((24, 32), bool)
    expected[4:12, 5:15] = True
    np.testing.assert_array_equal(decoded, expected)


def test_skipping_what_is_bad_covers_every_entry(tmp_path, capsys):
    document = json.loads(json.dumps(DOCUMENT))
    document["images"] += [None, {"id": "x", "file_name": "../c.png"}]
    document["annotations"] += [3, {"id": 77, "image_id": 12345, "category_id": 7}]
    document["categories"] += ["cat", {"id": 91}, {"id": 92, "name": "a"}]
    root = coco_set(tmp_path / "set", document)
    with pytest.raises(DataError, match=r"instances\.json"):
        formats.read(root)
    done = convert(formats.read(root, strict=False), tmp_path / "out", "coco", skip_bad=True)
    assert done.images == {"train": 2}
    assert done.skipped == ()


def test_a_data_yaml_keeps_its_other_keys(tmp_path):
    root = tmp_path / "set"
    save(root / "images/train/a.png", picture(1))
    (root / "labels/train").mkdir(parents=True)
    (root / "labels/train/a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    told = {"roboflow": {"version": 3, "license": "CC BY 4.0"}, "channels": 3}
    described = {"train": "images/train", "names": ["ball"], "download": "script", **told}
    (root / "data.yaml").write_text(yaml.safe_dump(described))
    convert(formats.read(root), tmp_path / "out", "yolo_boxes")
    written = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert {key: written[key] for key in told} == told
    assert losses(tmp_path / "out") == {("the set", "what data.yaml tells beside: download"): 1}
    assert "download" not in written
    done = convert(formats.read(root), tmp_path / "coco", "coco")
    assert any("channels, download, roboflow" in sentence for sentence in done.losses)


XML = """<annotation><filename>a.png</filename><source><database>Ours</database></source>
<size><width>32</width><height>24</height><depth>3</depth></size>
<object><name>man</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>20</ymax></bndbox>
<part><name>head</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>6</xmax><ymax>8</ymax></bndbox></part>
<attributes><attribute><name>team</name><value>red</value></attribute></attributes></object>
<object><name>man</name><pose>Unspecified</pose><truncated>0</truncated>
<bndbox><xmin>13</xmin><ymin>4</ymin><xmax>22</xmax><ymax>20</ymax></bndbox></object></annotation>
"""


def voc_set(root, xml=XML):
    save(root / "JPEGImages/a.png", picture(1))
    (root / "Annotations").mkdir()
    (root / "Annotations/a.xml").write_text(xml)
    return root


def test_what_voc_says_of_objects_goes_to_voc_and_coco_and_is_counted_elsewhere(tmp_path):
    import xml.etree.ElementTree as ET

    dataset = formats.read(voc_set(tmp_path / "set"))
    convert(dataset, tmp_path / "voc", "voc")
    again = ET.parse(tmp_path / "voc/Annotations/a.xml")
    first, second = again.findall("object")
    assert [first.findtext(tag) for tag in ("pose", "truncated")] == ["Left", "1"]
    assert first.findtext("part/bndbox/xmax") == "6"
    assert first.findtext("attributes/attribute/value") == "red"
    assert [second.findtext(tag) for tag in ("pose", "truncated")] == ["Unspecified", "0"]
    assert again.findtext("source/database") == "Ours"
    convert(dataset, tmp_path / "coco", "coco")
    written = json.loads((tmp_path / "coco/instances.json").read_text())["annotations"]
    assert written[0]["attributes"] == {"truncated": 1, "pose": "Left", "team": "red"}
    assert "attributes" not in written[1]
    convert(dataset, tmp_path / "yolo", "yolo_boxes")
    told = losses(tmp_path / "yolo")
    assert told[("all/a", "the attributes of objects")] == 1
    assert told[("all/a", "the parts of objects")] == 1


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=20))
def test_any_attribute_can_be_written(tmp_path_factory, text):
    document = json.loads(json.dumps(DOCUMENT))
    document["annotations"][0]["attributes"] = {text or "x": text, "pose": text}
    root = tmp_path_factory.mktemp("any")
    dataset = formats.read(coco_set(root / "set", document))
    formats.write(dataset, root / "voc", "voc")
    formats.read(root / "voc").splits["train"][0].read_truth()
    shutil.rmtree(root)


def test_polygons_in_voc_become_masks(tmp_path):
    corners = "".join(
        f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>"
        for i, (x, y) in enumerate([(4, 4), (20, 4), (12, 18)], 1)
    )
    xml = XML.split("<object>")[0] + (
        f"<object><name>man</name><polygon>{corners}</polygon><bndbox><xmin>4</xmin><ymin>4</ymin>"
        "<xmax>20</xmax><ymax>18</ymax></bndbox></object></annotation>"
    )
    (one,) = formats.read(voc_set(tmp_path, xml)).splits["all"]
    assert "instances" in one.tasks
    (found,) = one.read_truth().instances
    expected = reference.merge(reference.frPyObjects([[4, 4, 20, 4, 12, 18]], 24, 32))
    assert found.mask == Mask.from_coco({**expected, "counts": expected["counts"].decode()})
    formats.write(formats.read(tmp_path), tmp_path / "out", "coco")
    (written,) = json.loads((tmp_path / "out/instances.json").read_text())["annotations"]
    assert written["segmentation"] == [[4, 4, 20, 4, 12, 18]]


JUNK = [
    None, [], {}, [1], "x", "", 1.5, -1, 10**400, float("nan"), True, "\ud800", {"a": {"b": [1]}},
    "../../x", [[1, 2]],
]  # fmt: skip


def fields_of(value, at=()):
    if at:
        yield at
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list)
        else ()
    ):  # fmt: skip
        yield from fields_of(inner, (*at, key))


@pytest.mark.parametrize("seed", range(12))
def test_no_field_that_is_carried_ends_a_conversion(tmp_path, seed):
    """Every field of the whole document, with anything in it, to every kind of target."""
    draw = random.Random(seed)
    targets = ["coco", "voc", "yolo_seg", "coco_panoptic", "labelme", "cvat", "index_masks"]
    every = list(fields_of(DOCUMENT))
    for trial in range(6):
        document = json.loads(json.dumps(DOCUMENT))
        *path, last = draw.choice(every)
        entry = document
        for key in path:
            entry = entry[key]
        entry[last] = draw.choice(JUNK)
        root = coco_set(tmp_path / f"{trial}", document)
        out = tmp_path / f"{trial}_out"
        with contextlib.suppress(MaskwrightError):
            dataset = formats.read(root, strict=False)
            convert(dataset, out, draw.choice(targets), skip_bad=True, workers=1)


def test_text_that_is_no_unicode_is_kept_escaped(tmp_path):
    document = json.loads(json.dumps(DOCUMENT))
    document["licenses"][0]["name"] = document["annotations"][0]["note"] = "Ö \ud800"
    convert(formats.read(coco_set(tmp_path / "set", document)), tmp_path / "out", "coco")
    written = json.loads((tmp_path / "out/train/instances.json").read_text())
    assert written["licenses"] == document["licenses"]
    assert by_id(written["annotations"])[31]["note"] == "Ö \ud800"
