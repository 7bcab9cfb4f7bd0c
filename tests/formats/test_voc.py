"""Pascal VOC: boxes counted from 1, void contours, difficult objects, lists; XML that is a trap."""

from __future__ import annotations

import numpy as np
import pytest
from small_sets import dataset, picture, save

from maskwright import formats
from maskwright.core import ConfigError, DataError
from maskwright.formats import voc

SIZE = (24, 32)


def obj(name, box, difficult=0):
    edges = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box)
    )
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        f"<bndbox>{edges}</bndbox></object>"
    )


def xml(*objects, size=SIZE, head=""):
    return (
        f"{head}<annotation><size><width>{size[1]}</width><height>{size[0]}</height></size>\r\n"
        f"<segmented>1</segmented>{''.join(objects)}</annotation>"
    )


DOG, CAT = obj("dog", (5, 4, 11, 9)), obj("cat", (14, 2, 14, 20), difficult=1)


def folder(root, text=None, masks=True, name="2007_1"):
    save(root / f"JPEGImages/{name}.jpg", picture(1))
    annotations = root / "Annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    (annotations / f"{name}.xml").write_bytes(
        ("\ufeff" + (xml(DOG, CAT) if text is None else text)).encode()
    )
    if masks:
        ids, numbers = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
        ids[3:9, 4:11], numbers[3:9, 4:11] = 12, 1
        ids[1:20, 13], numbers[1:20, 13] = 8, 2
        ids[2, 4:11] = numbers[2, 4:11] = 255
        save(root / f"SegmentationClass/{name}.png", ids)
        save(root / f"SegmentationObject/{name}.png", numbers)
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "train.txt").write_bytes(f"{name}\r\n".encode())
    return root


def truth_of(root, **options):
    (samples,) = voc.read(root, **options).splits.values()
    return samples[0].read_truth()


def test_boxes_count_from_one_and_both_ends_belong_to_them(tmp_path):
    found = formats.read(folder(tmp_path / "VOC2012").parent)
    assert found.format == "voc"
    assert found.classes.names[:2] == ("background", "aeroplane")
    (one,) = found.splits["train"]
    assert one.tasks == {"semantic", "instances", "boxes"}
    truth = one.read_truth()
    dog, cat = truth.instances
    assert (found.classes.names[dog.class_id], dog.box_xyxy) == ("dog", (4, 3, 11, 9))
    assert dog.mask.area == 6 * 7
    assert (cat.box_xyxy, cat.crowd, cat.mask.area) == ((13, 1, 14, 20), True, 19)
    assert (truth.semantic[2, 4:11] == 255).all()
    assert truth.semantic[0, 0] == 0


def test_numbers_that_contradict_the_xml_find_what_fits(tmp_path):
    root = folder(tmp_path, xml(CAT, DOG))
    cat, dog = truth_of(root).instances
    assert (cat.mask.area, dog.mask.area) == (19, 42)
    (root / "Annotations/2007_1.xml").write_text(xml(DOG))
    dog, other = truth_of(root).instances
    assert dog.mask.area == 42
    assert voc.read(root).classes.names[other.class_id] == "cat"


def test_ignored_classes_are_void_and_their_objects_left_out(tmp_path):
    truth = truth_of(folder(tmp_path), ignore=["cat"])
    assert len(truth.instances) == 1
    assert (truth.semantic[1:20, 13] == 255).all()
    with pytest.raises(ConfigError, match="no class 'horse2'"):
        voc.read(tmp_path, ignore=["horse2"])


def test_without_maps_the_classes_are_those_that_occur(tmp_path):
    found = voc.read(folder(tmp_path, masks=False))
    assert found.classes.names == ("cat", "dog")
    assert found.splits["train"][0].tasks == {"boxes"}
    (tmp_path / "labelmap.txt").write_text("# label:color\nbird:1,2,3::\ncat:::\ndog:::\n")
    assert voc.read(tmp_path).classes.names == ("bird", "cat", "dog")


def test_lists_divide_and_lists_of_classes_do_not(tmp_path):
    folder(tmp_path, name="b")
    folder(tmp_path, name="a")
    main = tmp_path / "ImageSets/Main"
    main.mkdir()
    (main / "train.txt").write_text("a\n")
    (main / "val.txt").write_text("b\n")
    (main / "trainval.txt").write_text("a\nb\n")
    (main / "dog_train.txt").write_text("a  1\nb -1\n")
    found = voc.read(tmp_path)
    assert {split: [s.name for s in own] for split, own in found.splits.items()} == {
        "train": ["a"],
        "val": ["b"],
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<annotation>", "no valid XML"),
        ("<other/>", "expected the element <annotation>, got <other>"),
        (xml(obj("", (1, 1, 2, 2))), "2007_1.xml, object 1: expected a <name>"),
        (xml(DOG, obj("cat", (1, "x", 2, 2))), "object 2 (cat): expected a number in <ymin>"),
        (xml(obj("cat", (1, "nan", 2, 2))), "expected a number in <ymin>, got 'nan'"),
        (xml(obj("cat", (9, 1, 2, 2))), "expected xmin <= xmax"),
        (xml(head='<!DOCTYPE a [<!ENTITY b "bb">]>'), "declares the XML entity b"),
        (xml(head='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hosts">]>'), "XML entity x"),
    ],
)  # fmt: skip
def test_faulty_xml_is_named_and_kept_for_later_when_lenient(tmp_path, text, wanted):
    root = folder(tmp_path, text)
    with pytest.raises(DataError, match=r"2007_1\.xml") as caught:
        voc.read(root)
    assert wanted in str(caught.value)
    with pytest.raises(DataError, match=r"2007_1\.xml"):
        voc.read(root, strict=False).splits["train"][0].read_truth()


def test_missing_and_misfitting_files_are_named(tmp_path):
    root = folder(tmp_path, xml(size=(9, 9)))
    with pytest.raises(DataError, match=r"<size> in .*2007_1\.xml is 9x9"):
        truth_of(root)
    save(root / "SegmentationClass/2007_1.png", np.full(SIZE, 99, np.uint8))
    with pytest.raises(DataError, match="holds ids 99"):
        truth_of(root)
    folder(root)
    with (root / "ImageSets/Segmentation/train.txt").open("a") as file:
        file.write("gone\n")
    with pytest.raises(DataError, match="gone is on a list of ImageSets"):
        voc.read(root)
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_1\n")
    (root / "ImageSets/Segmentation/train.txt").write_text("2007_1\n")
    with pytest.raises(DataError, match="claimed by train and by val"):
        formats.read(root)
    lenient = formats.read(root, strict=False)
    assert lenient.splits["train"][0].read_truth()
    with pytest.raises(DataError, match="claimed by train and by val"):
        lenient.splits["val"][0].read_truth()


def test_crowds_are_difficult_and_losses_are_told(tmp_path):
    told = voc.write(dataset(train=2), tmp_path / "out")
    assert told == ("voc can't hold the track ids of 2 objects.",)
    found = voc.read(tmp_path / "out")
    assert found.classes.names == ("background", "grass", "line", "ball")
    ball, grass = found.splits["train"][0].read_truth().instances
    assert (ball.crowd, grass.crowd) == (True, False)
    assert (ball.mask.area, grass.mask) == (6 * 7 - 1, None)
    assert grass.box_xyxy == (1.5, 2.25, 20.0, 12.0)
    text = (tmp_path / "out/Annotations/scene_0.xml").read_text()
    assert "<xmin>5</xmin>" in text
    assert "<difficult>1</difficult>" in text
    assert (tmp_path / "out/ImageSets/Main/train.txt").read_text() == "scene_0\nscene_1\n"


def test_xml_beside_the_images(tmp_path):
    for split, name in (("train", "a"), ("train", "b"), ("valid", "a")):
        save(tmp_path / split / f"{name}.jpg", picture(1))
        (tmp_path / split / f"{name}.xml").write_text(xml(DOG))
    found = formats.read(tmp_path)
    assert found.format == "voc"
    assert {split: len(own) for split, own in found.splits.items()} == {"train": 2, "val": 1}
    assert found.splits["val"][0].read_truth().instances[0].box_xyxy == (4, 3, 11, 9)
    (tmp_path / "train/b.xml").unlink()
    with pytest.raises(DataError, match=r"b\.jpg has neither"):
        voc.read(tmp_path)


def test_other_encodings_are_read_and_unknown_ones_told(tmp_path):
    root = tmp_path / "train"
    save(root / "a.png", picture(0))
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = f"<annotation><object><name>划痕</name>{box}</object></annotation>"
    (root / "a.xml").write_bytes(f'<?xml version="1.0" encoding="GBK"?>{text}'.encode("gbk"))
    assert voc.read(tmp_path).classes.names == ("划痕",)
    for wrong in ("klingon", "ascii"):
        (root / "a.xml").write_bytes(f'<?xml version="1.0" encoding="{wrong}"?>{text}'.encode())
        with pytest.raises(DataError, match=r"a\.xml is no valid XML"):
            voc.read(tmp_path)
