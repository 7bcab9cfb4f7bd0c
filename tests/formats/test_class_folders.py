"""Image labels: folders of classes and Pascal VOC's lists, there and back, and what others lose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_sets import CLASSES, picture, save
from torchvision.datasets import ImageFolder

from maskwright import formats
from maskwright.core import ConfigError, DataError, Dataset, Instance, Label, Sample, Segmentation
from maskwright.core.image import read_image
from maskwright.formats import class_folders, voc
from maskwright.jobs import contact_sheet, convert, stats


def labelled(*labels, instances=None, split="train", classes=CLASSES):
    """In memory; the class ids of each image, or None."""
    samples = tuple(
        Sample(
            name=f"im{number}",
            image=picture(number),
            truth_of=Segmentation(
                size=(24, 32),
                classes=classes,
                instances=instances,
                labels=None if own is None else tuple(Label(class_id=i) for i in own),
            ),
            tasks=frozenset({"labels"}),
        )
        for number, own in enumerate(labels)
    )
    return Dataset(root=Path("memory"), format="x", classes=classes, splits={split: samples})


def labels_of(dataset, split="train"):
    names = dataset.classes.names
    return {
        one.name: [names[label.class_id] for label in one.read_truth().labels]
        for one in dataset.splits[split]
    }


# --- folders --------------------------------------------------------------------------------------


def test_splits_of_classes_are_read_as_torchvision_reads_them(tmp_path):
    for number, place in enumerate(
        ("train/rust", "train/ok", "train/ok/left", "val/rust", "val/ok")
    ):
        save(tmp_path / place / f"{number}.png", picture(number))
    found = formats.read(tmp_path)
    assert found.format == "folders"
    assert found.classes.names == ("ok", "rust")
    assert labels_of(found) == {"0": ["rust"], "1": ["ok"], "left/2": ["ok"]}
    theirs = ImageFolder(tmp_path / "train")
    assert theirs.classes == list(found.classes.names)
    by_file = {Path(file).resolve(): label for file, label in theirs.samples}
    for one in found.splits["train"]:
        truth = one.read_truth()
        assert (one.tasks, truth.size) == ({"labels"}, (24, 32))
        assert by_file[one.image.resolve()] == truth.labels[0].class_id
    assert labels_of(formats.read(tmp_path, ignore=["ok"])) == {"0": ["rust"]}
    with pytest.raises(ConfigError, match="no class 'dirt'; they are ok, rust"):
        formats.read(tmp_path, ignore=["dirt"])


def test_classes_without_splits_and_names_that_two_classes_share(tmp_path):
    for name in ("b", "a"):
        save(tmp_path / name / "1.png", picture(1))
    (tmp_path / "empty").mkdir()
    found = formats.read(tmp_path)
    assert found.classes.names == ("a", "b", "empty")
    assert labels_of(found, "all") == {"a/1": ["a"], "b/1": ["b"]}
    save(tmp_path / "a" / "1.jpg", picture(2))
    with pytest.raises(DataError, match=r"1\.jpg and 1\.png: expected one image for each name"):
        formats.read(tmp_path)
    lenient = formats.read(tmp_path, strict=False).splits["all"]
    with pytest.raises(DataError, match="expected one image"):
        lenient[0].read_truth()
    (tmp_path / "a" / "1.jpg").unlink()
    (tmp_path / "classes.json").write_text('["b", "c", "a"]')
    with pytest.raises(DataError, match="has the folders empty, but the classes of"):
        formats.read(tmp_path)
    (tmp_path / "empty").rmdir()
    assert formats.read(tmp_path).classes.names == ("b", "c", "a")


@pytest.mark.parametrize(
    "places",
    [("photos",), ("train", "test"), ("images", "other"), ("a", "masks"), ("train2017", "val2017")],
)
def test_other_folders_of_pictures_are_not_taken_for_classes(tmp_path, places):
    for place in places:
        save(tmp_path / place / "a.png", picture(0))
    assert class_folders.detect(tmp_path) is None


@pytest.mark.parametrize("split", ["train", "all"])
def test_folders_come_back(tmp_path, split):
    source = labelled([1], [0], [1], split=split)
    assert formats.write(source, tmp_path / "out", "folders") == ()
    found = formats.read(tmp_path / "out")
    assert (found.format, list(found.splits), found.classes.names) == (
        "folders", [split], CLASSES.names,
    )  # fmt: skip
    assert found.classes.colours == CLASSES.colours
    assert labels_of(found, split) == labels_of(source, split)
    for one, other in zip(source.splits[split], found.splits[split]):
        np.testing.assert_array_equal(one.read_image(), other.read_image())


def test_what_folders_cannot_hold_is_counted_or_refused(tmp_path):
    box = (Instance(class_id=0, box_xyxy=(1, 1, 5, 5)),)
    told = formats.write(labelled([2], [1, 0], instances=box), tmp_path / "out", "folders")
    assert told == (
        "folders can't hold the objects of 2 images.",
        "folders can't hold 1 further labels of images that have several.",
    )
    assert labels_of(formats.read(tmp_path / "out")) == {"im0": ["ball"], "im1": ["line"]}
    with pytest.raises(DataError, match="train/im1 has no image label; expected one class"):
        formats.write(labelled([2], []), tmp_path / "no", "folders")
    slash = type(CLASSES).of(["a/b", "..", "train"])
    for number, wanted in enumerate(("'a/b'", "'..'")):
        with pytest.raises(DataError, match=f"the class {wanted} can't be the name of a folder"):
            formats.write(labelled([number], classes=slash), tmp_path / "no", "folders")
    with pytest.raises(DataError, match="the class 'train' can't be the name"):
        formats.write(labelled([2], split="all", classes=slash), tmp_path / "no", "folders")
    with pytest.raises(DataError, match="the splits odd would be read as classes"):
        formats.write(labelled([2], split="odd"), tmp_path / "no", "folders")
    assert not (tmp_path / "no").exists()


# --- Pascal VOC -----------------------------------------------------------------------------------


def voc_lists(root, **lists):
    for name in ("a", "b"):
        save(root / "JPEGImages" / f"{name}.jpg", picture(1))
    for name, text in lists.items():
        path = root / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_lists_of_classes_are_labels_and_0_is_left_out(tmp_path):
    root = voc_lists(tmp_path, cat_train="a  1\nb -1\n", pot_plant_train="a -1\nb  0\n")
    found = formats.read(root)
    assert (found.format, found.classes.names) == ("voc", ("cat", "pot_plant"))
    assert labels_of(found) == {"a": ["cat"], "b": []}
    assert any("1 image labels are 0" in note for note in found.notes)
    assert found.splits["train"][0].tasks == {"labels"}
    voc_lists(tmp_path, train_small="a\nb\n", cat_train_small="a  1\nb -1\n")
    (root / "ImageSets/Main/cat_train.txt").unlink()
    (root / "ImageSets/Main/pot_plant_train.txt").unlink()
    assert labels_of(formats.read(root), "train_small") == {"a": ["cat"], "b": []}


def test_voc_lists_come_back_beside_objects(tmp_path):
    objects = (
        Instance(class_id=2, box_xyxy=(1, 1, 5, 5), crowd=True),
        Instance(class_id=0, box_xyxy=(1, 1, 5, 5)),
    )
    source = labelled([0, 1], [], None, instances=objects)
    assert voc.write(source, tmp_path / "out") == ()
    lists = tmp_path / "out/ImageSets/Main"
    assert (lists / "line_train.txt").read_text() == "im0  1\nim1 -1\n"
    assert (lists / "ball_train.txt").read_text() == "im0  0\nim1  0\n"
    found = formats.read(tmp_path / "out")
    truths = [one.read_truth() for one in found.splits["train"]]
    names = found.classes.names
    told = [t.labels and [names[label.class_id] for label in t.labels] for t in truths]
    assert told == [["grass", "line"], (), None]
    assert ["labels" in one.tasks for one in found.splits["train"]] == [True, True, False]
    assert all(len(truth.instances) == 2 for truth in truths)
    without = formats.read(tmp_path / "out", ignore=["line"]).splits["train"][0].read_truth()
    assert len(without.labels) == 1


def test_lists_of_unknown_classes_are_told(tmp_path):
    root = voc_lists(tmp_path, cat_train="a  1\n", dog_train="a -1\n")
    (root / "classes.json").write_text('["background", "cat"]')
    with pytest.raises(DataError, match="has lists of images of dog in ImageSets/Main"):
        formats.read(root)


# --- others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["coco", "yolo_boxes"])
def test_formats_without_labels_count_them_for_each_image(tmp_path, to):
    box = (Instance(class_id=0, box_xyxy=(1, 1, 5, 5)),)
    source = labelled([0], [1, 2], [], instances=box)
    done = convert(source, tmp_path / "out", to, workers=1)
    assert done.losses == (f"{to} can't hold the image labels of 2 images.",)
    rows = (tmp_path / "out/losses.csv").read_text().splitlines()[1:]
    assert rows == [
        "train/im0,the image labels of images,1,,",
        "train/im1,the image labels of images,1,,",
    ]


def test_labels_are_counted_and_drawn(tmp_path):
    source = labelled([0], [0, 2], [])
    found = {one.name: (one.labels, one.images, one.objects) for one in stats(source).classes}
    assert found == {"grass": (2, 2, 0), "line": (0, 0, 0), "ball": (1, 1, 0)}
    contact_sheet(source, tmp_path / "with.png", count=1, seed=4)
    contact_sheet(labelled(None, None, None), tmp_path / "without.png", count=1, seed=4)
    shown, bare = (read_image(tmp_path / f"{name}.png") for name in ("with", "without"))
    assert shown.shape[0] > bare.shape[0]  # the legend below
    assert (shown[: len(bare)] != bare).any()  # the name with the picture
