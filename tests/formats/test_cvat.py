"""CVAT's XML: images and tracks read, what is written is read, what isn't kept is told."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_sets import (
    SIZE,
    STENCIL,
    TRIANGLE,
    assert_same_but_for_edges,
    images,
    inside,
    make,
    runs,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sets import picture, save

from maskwright.core import Classes, DataError, Dataset, Instance, Label, Mask, Sample, Segmentation
from maskwright.formats import DrawingOptions, cvat, read
from maskwright.formats.cvat_shapes import runs_of
from maskwright.jobs import convert

CLASSES = Classes.of(["spot", "crack"], None, [0, 1])


def put(root: Path, inner: str, meta: str = "") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    text = f"<annotations><version>1.1</version><meta>{meta}</meta>{inner}</annotations>"
    (root / "annotations.xml").write_text(text)
    return root


def drawn(root: Path, inner: str):
    """The objects of a set of one image in which this is drawn."""
    save(root / "images" / "im0.png", picture(0))
    put(root, f'<image id="0" name="im0.png" width="32" height="24">{inner}</image>')
    (sample,) = read(root).splits["all"]
    return sample.read_truth().instances


def test_every_kind_of_shape(tmp_path):
    dataset = read(make("cvat", tmp_path))
    assert dataset.format == "cvat"
    assert dataset.classes.names == ("spot", "crack", "person")  # parts of skeletons are no classes
    assert dataset.classes.colours[0] == (255, 128, 0)
    told = " ".join(dataset.notes)
    assert "1 polylines, points, cuboids and skeletons are left out" in told
    first, empty = dataset.splits["all"]
    assert (first.tasks, empty.tasks) == ({"boxes", "labels"}, {"boxes", "instances"})
    truth = first.read_truth()
    box, joined, mask, ellipse = truth.instances
    assert (box.mask, box.box_xyxy) == (None, (4.5, 2, 9, 8))
    two = inside(TRIANGLE) | inside([[22, 12], [30, 12], [30, 20]])
    assert_same_but_for_edges(joined.mask.decode(), two)
    np.testing.assert_array_equal(mask.mask.decode()[2:8, 3:12], STENCIL)
    turn = np.exp(-1j * np.pi / 6)  # 30 degrees clockwise on the screen, undone
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    place = ((x - 16) + 1j * (y - 12)) * turn
    expected = (place.real / 8) ** 2 + (place.imag / 5) ** 2 <= 1
    np.testing.assert_array_equal(ellipse.mask.decode(), expected)
    assert truth.labels == (Label(class_id=1),)
    assert box.extras == {"attributes": {"occluded": True, "deep": "yes"}}
    assert empty.read_truth().instances == ()


def test_what_was_drawn_is_written_again(tmp_path):
    make("cvat", tmp_path / "set")
    done = convert(read(tmp_path / "set"), tmp_path / "out", "cvat", workers=1)
    assert done.losses == ()
    image = ET.parse(tmp_path / "out/annotations.xml").getroot().find("image")
    assert [one.get("points") for one in image.findall("polygon")][:2] == [
        "2,3;20,3;2,21", "22,12;30,12;30,20"]  # fmt: skip
    assert image.find("box").get("occluded") == "1"
    assert image.find("box/attribute").attrib == {"name": "deep"}
    assert image.find("box/attribute").text == "yes"
    before, after = (read(tmp_path / place).splits["all"][0] for place in ("set", "out"))
    assert before.read_truth().instances == after.read_truth().instances
    to_yolo = convert(read(tmp_path / "set"), tmp_path / "yolo", "yolo_seg", workers=1)
    assert any("the attributes of 1 objects" in text for text in to_yolo.losses)


def test_what_cvat_tells_of_task_images_and_order_is_written_again(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"set/images/{name}.png", picture(0))
    box = '<box label="{}" xtl="1" ytl="1" xbr="9" ybr="9" z_order="{}"/>'
    tag = '<tag label="crack"><attribute name="sure">no</attribute></tag>'
    inner = "".join(
        f'<image id="{number}" name="{name}.png" width="32" height="24">{own}</image>'
        for number, name, own in ((17, "b", box.format("spot", 2) + tag), (4, "a", ""))
    )
    labels = "".join(
        f"<label><name>{name}</name><color>{colour}</color></label>"
        for name, colour in (("spot", "#f80"), ("crack", "#010203"))
    )
    meta = f"<task><id>5</id><name>wall &amp; roof</name><labels>{labels}</labels></task>"
    put(tmp_path / "set", inner, meta)
    found = read(tmp_path / "set")
    assert found.classes.colours == ((255, 136, 0), (1, 2, 3))
    assert "1 attributes of image labels are left out." in found.notes
    done = convert(found, tmp_path / "out", "cvat", workers=1)
    assert done.losses == ()
    assert "attributes of image labels are left out,1" in (tmp_path / "out/losses.csv").read_text()
    root = ET.parse(tmp_path / "out/annotations.xml").getroot()
    assert (root.findtext("meta/task/id"), root.findtext("meta/task/name")) == ("5", "wall & roof")
    ids = {one.get("name"): one.get("id") for one in root.findall("image")}
    assert ids == {"a.png": "4", "b.png": "17"}
    assert root.find("image/box").get("z_order") == "2"
    to_yolo = convert(found, tmp_path / "yolo", "yolo_boxes", workers=1)
    told = " ".join(to_yolo.losses)
    assert "id, name" in told
    assert "'z_order' of 1 objects" in told


def test_attributes_that_xml_cant_hold_are_counted(tmp_path):
    small = memory([np.ones(SIZE, bool)])
    (sample,) = small.splits["train"]
    truth = sample.read_truth()
    odd = {"attributes": {"a": 1.5, "b": [1], "c": True, "d": "x\x00", "e": "é"}}
    told = (replace(truth.instances[0], extras=odd),)
    one = replace(sample, truth_of=replace(truth, instances=told))
    losses = cvat.write(replace(small, splits={"train": (one,)}), tmp_path / "out")
    assert losses == ("cvat can't hold attributes of 1 objects that are more than a line of text.",)
    (found,) = read(tmp_path / "out").splits["train"][0].read_truth().instances
    assert found.extras["attributes"] == {"a": "1.5", "c": "true", "e": "é"}


def test_a_turned_box_is_the_box_around_it_told(tmp_path):
    (box,) = drawn(tmp_path, '<box label="a" xtl="10" ytl="10" xbr="18" ybr="12" rotation="90"/>')
    np.testing.assert_allclose(box.box_xyxy, (13, 7, 15, 15))
    assert any("1 turned boxes are read as the upright" in note for note in read(tmp_path).notes)


def test_subsets_are_splits_and_tags_alone_are_no_objects(tmp_path):
    for subset, folder in (("Train", "Train"), ("Validation", "")):
        images(tmp_path / "images" / folder)
        save(tmp_path / "images" / folder / f"{subset}.png", picture(1))
    inner = "".join(
        f'<image id="0" name="{subset}.png" subset="{subset}" width="32" height="24">'
        f'<tag label="{label}"/></image>'
        for subset, label in (("Train", "a"), ("Validation", "b"))
    )
    dataset = read(put(tmp_path, inner))
    assert [*dataset.splits] == ["train", "val"]
    (sample,) = dataset.splits["val"]
    assert sample.tasks == {"labels"}
    assert sample.read_truth().labels == (Label(class_id=1),)
    assert sample.read_truth().instances is None


VIDEO = """<track id="3" label="car">
<box frame="0" outside="0" keyframe="1" xtl="1" ytl="2" xbr="9" ybr="8"/>
<box frame="1" outside="0" keyframe="0" xtl="2" ytl="2" xbr="10" ybr="8"/>
<box frame="2" outside="1" keyframe="1" xtl="2" ytl="2" xbr="10" ybr="8"/></track>
<track id="4" label="way"><polygon frame="2" outside="0" keyframe="1" points="2,3;20,3;2,21"/>
</track>"""
META = """<task><size>{}</size><original_size><width>32</width><height>24</height></original_size>
</task>"""


@pytest.mark.parametrize(
    "names", [("frame_000000", "frame_000001", "frame_000002"), ("a", "b", "c")]
)
def test_tracks_of_a_video(tmp_path, names):
    for number, name in enumerate(names):
        save(tmp_path / "images" / f"{name}.png", picture(number))
    dataset = read(put(tmp_path, VIDEO, META.format(3)))
    told = " ".join(dataset.notes)
    assert "1 shapes of tracks were made by CVAT between key frames" in told
    assert ("taken for the frames 0, 1, 2" in told) == (names[0] == "a")
    truths = [sample.read_truth().instances for sample in dataset.splits["all"]]
    assert [sample.name for sample in dataset.splits["all"]] == [*names]
    assert [[one.track_id for one in own] for own in truths] == [[3], [3], [4]]
    assert truths[1][0].box_xyxy == (2, 2, 10, 8)
    assert_same_but_for_edges(truths[2][0].mask.decode(), inside(TRIANGLE))


def test_a_video_without_its_frames_is_told(tmp_path):
    put(tmp_path, VIDEO, META.format(3))
    with pytest.raises(DataError, match=r"tracks of a video of 3 frames, but .* has 0 images"):
        read(tmp_path)
    save(tmp_path / "images" / "frame_000000.png", picture(0))
    with pytest.raises(DataError, match="2 frames with objects have no image: 1, 2"):
        read(tmp_path)
    assert len(read(tmp_path, strict=False).splits["all"]) == 1


def test_entities_are_never_expanded(tmp_path):
    (tmp_path / "annotations.xml").write_text(
        '<!DOCTYPE a [<!ENTITY b "c">]><annotations><image name="&b;"/></annotations>'
    )
    with pytest.raises(DataError, match="declares the XML entity b"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("inner", "wanted"),
    [
        ('<box xtl="1" ytl="1" xbr="2" ybr="2"/>', "<box>, number 1: expected a label, got none"),
        ('<box label="a" xtl="nan" ytl="1" xbr="2" ybr="2"/>', "a number as xtl, got 'nan'"),
        ('<polygon label="a" points="1,2;3"/>', "expected points as \"x,y;x,y;...\", got '1,2;3'"),
        ('<polygon label="a" points="1,2;3,4"/>', "expected at least 3 corners, got 2"),
        (
            '<mask label="a" rle="3, 4" left="0" top="0" width="2" height="2"/>',
            "got 2 that sum to 7",
        ),
        ('<mask label="a" rle="4" left="0" top="0" width="99999" height="99999"/>', "in pixels"),
        ('<blob label="a"/>', "expected one of box, polygon, ellipse, mask, .* got <blob>"),
        ("<tag/>", 'a <tag> has no "label"'),
    ],
)
def test_faults_are_named_and_kept_to_their_image(tmp_path, inner, wanted):
    images(tmp_path / "images")
    put(
        tmp_path,
        f'<image id="0" name="im0.png" width="32" height="24">{inner}</image>'
        '<image id="1" name="im1.png" width="32" height="24"><tag label="a"/></image>',
    )
    with pytest.raises(DataError, match=f"image 'im0.png': .*{wanted}"):
        read(tmp_path)
    faulty, sound = read(tmp_path, strict=False).splits["all"]
    with pytest.raises(DataError, match=wanted):
        faulty.read_truth()
    assert sound.read_truth().labels == (Label(class_id=0),)


def test_a_mask_larger_than_its_image_is_refused_before_it_is_decoded(tmp_path):
    with pytest.raises(DataError, match="its pixels are 32768x32768"):
        drawn(
            tmp_path,
            '<mask label="a" rle="0, 1073741824" left="0" top="0" width="32768" height="32768"/>',
        )


@pytest.mark.parametrize("name", ["../im0.png", "/im0.png", "", "a/../../im0.png"])
def test_no_image_is_looked_for_outside(tmp_path, name):
    save(tmp_path / "im0.png", picture(0))
    root = put(tmp_path / "set", f'<image id="0" name="{name}" width="32" height="24"/>')
    with pytest.raises(DataError, match="expected the name of an image below its folder"):
        read(root)
    subset = '<image id="0" name="im0.png" subset="../.." width="32" height="24"/>'
    with pytest.raises(DataError, match="there is no such image"):
        read(put(tmp_path / "set", subset))


def memory(masks, labels=None) -> Dataset:
    objects = tuple(
        Instance(class_id=i % 2, box_xyxy=(m := Mask.encode(pixels)).box_xyxy, mask=m)
        for i, pixels in enumerate(masks)
    )
    truth = Segmentation(size=masks[0].shape, classes=CLASSES, instances=objects, labels=labels)
    sample = Sample(name="a <&\" b/ä", image=picture(0, masks[0].shape), truth_of=truth,
                    tasks=frozenset({"instances", "boxes"}))  # fmt: skip
    return Dataset(root=Path("m"), format="m", classes=CLASSES, splits={"train": (sample,)})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.02, 0.98), masks=st.booleans())
def test_what_is_written_is_read_to_the_pixel(tmp_path_factory, seed, share, masks):
    pixels = np.random.default_rng(seed).random((2, 13, 17)) < share
    pixels[:, seed % 13, seed % 17] = True
    assert runs_of(pixels[0]) == runs(pixels[0])
    root = tmp_path_factory.mktemp("set") / "out"
    before = memory(pixels, (Label(class_id=1),))
    assert cvat.write(before, root, DrawingOptions(masks=masks)) == ()
    after = read(root)
    assert (after.classes.names, after.classes.colours) == (CLASSES.names, CLASSES.colours)
    (sample,) = after.splits["train"]
    assert sample.name == 'a <&" b/ä'
    own = before.splits["train"][0].read_truth()
    truth = sample.read_truth()
    assert [one.mask for one in truth.instances] == [one.mask for one in own.instances]
    assert truth.labels == own.labels


def test_the_file_is_as_cvat_writes_it(tmp_path):
    pixels = np.zeros((1, *SIZE), bool)
    pixels[0, 3:9, 4:20] = pixels[0, 15:20, 4:20] = True
    for masks in (False, True):
        cvat.write(memory(pixels), tmp_path / str(masks), {"masks": masks})
        root = ET.parse(tmp_path / str(masks) / "annotations.xml").getroot()
        (image,) = root.findall("image")
        assert {*image.attrib} == {"id", "name", "subset", "width", "height"}
        assert (tmp_path / str(masks) / "images" / "train" / image.get("name")).is_file()
        assert [one.findtext("name") for one in root.iter("label")] == ["spot", "crack"]
        assert [one.tag for one in image] == (["mask"] if masks else ["polygon", "polygon"])
        if masks:
            (one,) = image
            window = pixels[0, 3:20, 4:20]
            assert one.get("rle") == ", ".join(map(str, runs(window)))
            assert [one.get(key) for key in ("left", "top", "width", "height")] == [
                "4", "3", "16", "17"]  # fmt: skip
        else:
            assert [one.get("group_id") for one in image] == ["1", "1"]


def test_what_it_cant_hold_is_counted(tmp_path):
    pixels = np.ones((1, *SIZE), bool)
    small = memory(pixels, (Label(class_id=0, score=0.5),))
    (sample,) = small.splits["train"]
    truth = sample.read_truth()
    crowd = (replace(truth.instances[0], crowd=True, score=0.5),)
    one = replace(sample, truth_of=replace(truth, instances=crowd))
    done = convert(replace(small, splits={"train": (one,)}), tmp_path / "out", "cvat", workers=1)
    told = " ".join(done.losses)
    for text in ("1 objects are crowds", "scores of 1 objects", "scores of 1 image labels"):
        assert text in told
    none = replace(sample, truth_of=replace(truth, instances=None, labels=None))
    with pytest.raises(DataError, match="neither objects nor image labels"):
        cvat.write(replace(small, splits={"train": (none,)}), tmp_path / "none")
