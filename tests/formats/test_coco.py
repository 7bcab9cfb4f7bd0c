"""COCO: masks equal those of pycocotools bit for bit, and every fault names file and entry."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference
from shared import shared_path
from small_sets import CLASSES, dataset, exif, picture, save

from maskwright.core import ConfigError, DataError, Dataset, Instance, Mask, Sample, Segmentation
from maskwright.formats import coco, coco_files

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools

CATEGORIES = [{"id": 7, "name": "ball"}, {"id": 3, "name": "robot"}]
BOX = {"id": 1, "image_id": 5, "category_id": 7, "bbox": [1.5, 2, 3, 4.25]}


def document(*annotations, images=None, categories=CATEGORIES):
    if images is None:
        images = [{"id": 5, "file_name": "a.png", "height": 24, "width": 32}]
    return {"images": images, "annotations": list(annotations), "categories": categories}


def folder(root, content, name="instances.json", images=("a.png",)):
    for file in images:
        save(root / "images" / file, picture(1))
    text = content if isinstance(content, str) else json.dumps(content)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root


def truth_of(root, **options):
    (samples,) = coco.read(root, **options).splits.values()
    return samples[0].read_truth()


def test_categories_with_gaps_become_ranks_and_boxes_become_edges(tmp_path):
    root = folder(tmp_path, document(BOX, BOX | {"id": 2, "category_id": 3, "iscrowd": 1}))
    found = coco.read(root)
    assert found.classes.names == ("robot", "ball")
    assert found.classes.things == {0, 1}
    (one,) = found.splits["all"]
    assert one.tasks == {"boxes"}
    ball, robots = one.read_truth().instances
    assert (ball.class_id, ball.box_xyxy, ball.crowd, ball.mask) == (
        1,
        (1.5, 2, 4.5, 6.25),
        False,
        None,
    )
    assert (robots.class_id, robots.crowd) == (0, True)


def test_every_kind_of_segmentation_equals_pycocotools(tmp_path):
    polygon = [[3.2, 4.0, 20.5, 6.0, 11.0, 19.5], [25, 2, 30, 2, 30, 9]]
    merged = reference.merge(reference.frPyObjects(polygon, 24, 32))
    pixels = reference.decode(merged).astype(bool)
    flat = pixels.ravel(order="F")
    counts, value = [0], False
    for pixel in flat.tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    plain = {"size": [24, 32], "counts": counts}
    packed = {"size": [24, 32], "counts": merged["counts"].decode()}
    entries = [BOX | {"id": i, "segmentation": s} for i, s in enumerate([polygon, plain, packed])]
    (one,) = coco.read(folder(tmp_path, document(*entries))).splits["all"]
    assert one.tasks == {"boxes", "instances"}
    for instance in one.read_truth().instances:
        np.testing.assert_array_equal(instance.mask.decode(), pixels)


def test_without_a_box_the_mask_gives_it(tmp_path):
    square = [[4, 3, 10, 3, 10, 8, 4, 8]]
    entry = {"id": 1, "image_id": 5, "category_id": 7, "segmentation": square}
    (instance,) = truth_of(folder(tmp_path, document(entry))).instances
    assert instance.box_xyxy == instance.mask.box_xyxy == (4, 3, 10, 8)


def test_ignored_categories_are_left_out(tmp_path):
    root = folder(tmp_path, document(BOX, BOX | {"id": 2, "category_id": 3}))
    truth = truth_of(root, ignore=("robot",))
    assert truth.classes.names == ("ball",)
    assert [instance.class_id for instance in truth.instances] == [0]
    with pytest.raises(ConfigError, match="no category 'goal'"):
        coco.read(root, ignore=("goal",))


def test_images_without_annotations_have_none_found(tmp_path):
    assert truth_of(folder(tmp_path, document())).instances == ()


@pytest.mark.parametrize(
    ("file", "images", "splits"),
    [
        ("train/instances.json", "train/images", ["train"]),
        ("valid/_annotations.coco.json", "valid", ["val"]),
        ("annotations/instances_val2017.json", "val2017", ["val"]),
        ("annotations/instances_train.json", "images/train", ["train"]),
        ("boxes.json", "images", ["all"]),
    ],
)
def test_layouts(tmp_path, file, images, splits):
    save(tmp_path / images / "a.png", picture(1))
    folder(tmp_path, document(BOX), file, images=())
    assert coco.detect(tmp_path) == f"COCO annotations in {file}"
    found = coco.read(tmp_path)
    assert list(found.splits) == splits
    np.testing.assert_array_equal(found.splits[splits[0]][0].read_image(), picture(1))
    alone = coco.read(tmp_path / file)
    np.testing.assert_array_equal(alone.splits["all"][0].read_image(), picture(1))


def test_of_several_files_the_richest_is_read(tmp_path):
    folder(tmp_path, document(BOX), "boxes.json")
    folder(tmp_path, document(BOX | {"segmentation": [[1, 1, 9, 1, 9, 9]]}))
    found = coco.read(tmp_path)
    assert found.splits["all"][0].tasks == {"boxes", "instances"}
    assert any("boxes.json" in note for note in found.notes)
    assert coco_files.find_parts(tmp_path / "images") == []


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_written_sets_read_back_to_the_pixel(tmp_path_factory, data):
    objects = []
    for _ in range(data.draw(st.integers(0, 4))):
        seed = data.draw(st.integers(0, 2**31))
        pixels = np.random.default_rng(seed).random((11, 8)) < data.draw(st.floats(0.05, 1))
        mask = Mask.encode(pixels) if data.draw(st.booleans()) else None
        edges = sorted(data.draw(st.lists(st.integers(0, 32), min_size=4, max_size=4)))
        objects.append(
            Instance(
                class_id=data.draw(st.integers(0, 2)),
                box_xyxy=(edges[0] / 4, edges[1] / 4, edges[2] / 4, edges[3] / 4),
                mask=mask,
                score=data.draw(st.none() | st.sampled_from([0.25, 0.875])),
                crowd=data.draw(st.booleans()),
                track_id=data.draw(st.none() | st.integers(0, 9)),
            )
        )
    truth = Segmentation(size=(11, 8), classes=CLASSES, instances=tuple(objects))
    one = Sample(
        name="deep/er", image=picture(1, (11, 8)), truth_of=truth, tasks=frozenset({"instances"})
    )
    root = tmp_path_factory.mktemp("set")
    written = Dataset(root=root, format="x", classes=CLASSES, splits={"val": (one,)})
    assert coco.write(written, root / "out") == ()
    found = coco.read(root / "out")
    assert found.classes == CLASSES
    assert found.splits["val"][0].name == "deep/er"
    assert found.splits["val"][0].read_truth().instances == truth.instances


def test_written_files_are_read_by_pycocotools(tmp_path, capsys):
    from pycocotools.coco import COCO

    (lost,) = coco.write(dataset(train=2), tmp_path / "out")
    assert "class maps of 2 images" in lost
    read = COCO(str(tmp_path / "out/train/instances.json"))
    capsys.readouterr()
    first = read.loadAnns(read.getAnnIds(imgIds=[1]))[0]
    mask = dataset(train=1).splits["train"][0].read_truth().instances[0].mask
    np.testing.assert_array_equal(read.annToMask(first), mask.decode())
    assert first["area"] == mask.area
    assert [category["id"] for category in read.loadCats(read.getCatIds())] == [1, 2, 3]


def test_truth_can_be_sent_to_another_process(tmp_path):
    root = folder(tmp_path, document(BOX))
    one = pickle.loads(pickle.dumps(coco.read(root).splits["all"][0]))
    assert len(one.read_truth().instances) == 1


class TestFaults:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"images": [', "no valid JSON"),
            ("[]", 'lists "images", "annotations"'),
            ({"images": [], "annotations": []}, '"categories" is NoneType'),
            (document(images=[]), "empty set"),
            (document(images=[{"id": 5}]), '"file_name" below'),
            (document(images=[{"id": 5, "file_name": "../a.png"}]), '"file_name" below'),
            (document(images=[{"id": 5, "file_name": "a.png"}] * 2), "twice"),
            (document(categories=[]), "no category"),
            (document(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "must agree"),
            (document(categories=[{"id": 1}]), 'category with "id" and "name"'),
            (document(BOX | {"category_id": 8}), "annotation 1 has category_id 8"),
            (document(BOX | {"image_id": 8}), "annotation 1 has image_id 8"),
            (document(BOX | {"bbox": [1, 2, 3]}), "annotation 1 has the box"),
            (document(BOX | {"bbox": [1, 2, -3, 4]}), "annotation 1 has the box"),
            (document({"id": 4, "image_id": 5, "category_id": 3}), "annotation 4 has neither"),
        ],
    )
    def test_broken_files(self, tmp_path, content, message):
        with pytest.raises(DataError, match=message) as caught:
            coco.read(folder(tmp_path, content))
        assert str(tmp_path) in str(caught.value)

    @pytest.mark.parametrize(
        "segmentation",
        [
            {"size": [24, 32], "counts": [3]},
            {"size": [32, 24], "counts": [32 * 24]},
            {"counts": "abc"},
            [[1, 2, 3]],
            [1, 2, 3, 4, 5, 6],
            "text",
        ],
    )
    def test_broken_segmentations(self, tmp_path, segmentation):
        root = folder(tmp_path, document(BOX | {"segmentation": segmentation}))
        with pytest.raises(DataError, match=r"instances\.json: annotation 1 has no usable mask"):
            truth_of(root)

    def test_missing_images(self, tmp_path):
        images = [{"id": i, "file_name": f"{i}.png"} for i in range(8)]
        root = folder(tmp_path, document(images=images), images=["3.png"])
        with pytest.raises(DataError, match=r"names 7 images .* 0.png, .* and 2 more"):
            coco.read(root)
        found = coco.read(root, strict=False).splits["all"]
        assert found[3].read_truth().size == (24, 32)
        with pytest.raises(DataError, match="does not exist"):
            found[0].read_image()

    def test_lenient_reading_keeps_the_fault_for_its_image(self, tmp_path):
        images = [{"id": i, "file_name": f"{i}.png"} for i in range(2)]
        content = document(
            BOX | {"image_id": 0},
            BOX | {"id": 2, "image_id": 1, "category_id": 99},
            BOX | {"id": 3, "image_id": 77},
            images=images,
        )
        found = coco.read(folder(tmp_path, content, images=["0.png", "1.png"]), strict=False)
        good, bad = found.splits["all"]
        assert len(good.read_truth().instances) == 1
        with pytest.raises(DataError, match="annotation 2 has category_id 99"):
            bad.read_truth()
        assert any("annotation 3 has image_id 77" in note for note in found.notes)

    def test_another_size_and_rotation(self, tmp_path):
        root = folder(tmp_path, document(BOX))
        save(root / "images" / "a.png", picture(1, (24, 30)))
        with pytest.raises(DataError, match=r"is 24x32, but .* is 24x30"):
            truth_of(root)
        save(root / "images" / "a.png", picture(1, (24, 32)), exif=exif(8))
        with pytest.raises(DataError, match="before its EXIF rotation"):
            truth_of(root)

    def test_no_layout(self, tmp_path):
        with pytest.raises(DataError, match="holds no COCO annotations"):
            coco.read(tmp_path)
        with pytest.raises(DataError, match="does not exist"):
            coco.read(tmp_path / "nowhere.json")


def test_coco_mini_equals_pycocotools_bit_for_bit(capsys):
    from pycocotools.coco import COCO

    root = shared_path("data/coco_mini")
    found = coco.read(root)
    assert {split: len(own) for split, own in found.splits.items()} == {
        "train": 370,
        "val": 55,
        "test": 65,
    }
    assert len(found.classes) == 80
    objects = {"val": 474, "test": 530}
    for split, expected in objects.items():
        read = COCO(str(root / split / "instances.json"))
        by_name = {entry["file_name"]: key for key, entry in read.imgs.items()}
        compared = 0
        for sample in found.splits[split]:
            entries = read.imgToAnns[by_name[sample.image.name]]
            instances = sample.read_truth().instances
            assert len(entries) == len(instances)
            for entry, instance in zip(entries, instances):
                np.testing.assert_array_equal(read.annToMask(entry), instance.mask.decode())
                assert (
                    found.classes.names[instance.class_id]
                    == read.cats[entry["category_id"]]["name"]
                )
                compared += 1
        assert compared == expected
    capsys.readouterr()


def test_robocup_boxes_are_boxes_only():
    found = coco.read(shared_path("data/robocup_msl_boxes"))
    assert [len(own) for own in found.splits.values()] == [130, 40, 40]
    assert all(one.tasks == {"boxes"} for one in found.splits["val"])
    assert sum(len(one.read_truth().instances) for one in found.splits["val"]) == 269


def test_a_box_of_null_is_that_of_the_mask(tmp_path):
    mask = {"segmentation": [[2, 3, 10, 3, 10, 9, 2, 9]], "bbox": None}
    (one,) = coco.read(folder(tmp_path, document(BOX | mask))).splits["all"]
    (found,) = one.read_truth().instances
    assert found.box_xyxy == found.mask.box_xyxy == (2, 3, 10, 9)


@pytest.mark.parametrize("value", ["0", "false", "", float("nan"), 2, -1, [], {}])
def test_flags_that_are_neither_0_nor_1_are_told(tmp_path, value):
    """Text is always true, and so is NaN."""
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "iscrowd": value}
        ],
    }
    save(tmp_path / "images" / "a.png", picture(0, (8, 8)))
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r'annotation 1 has "iscrowd" .*expected 0 or 1'):
        coco.read(tmp_path)
    document["annotations"][0]["iscrowd"] = 0
    document["categories"][0]["isthing"] = value
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r'category 1 has "isthing" .*expected 0 or 1'):
        coco.read(tmp_path)


@pytest.mark.parametrize(
    "flag", [(None, False), (0, False), (False, False), (1, True), (1.0, True)]
)
def test_flags_as_files_write_them(tmp_path, flag):
    value, crowd = flag
    document = {
        "images": [{"id": 1.0, "file_name": "a.png", "height": 8, "width": 8}],
        "categories": [{"id": 1.0, "name": "a"}],
        "annotations": [
            {"id": 1.0, "image_id": 1.0, "category_id": 1.0, "bbox": [1, 1, 4, 4],
             "segmentation": [{"counts": [8, 8, 48], "size": [8, 8]}], "iscrowd": value}
        ],
    }  # fmt: skip
    save(tmp_path / "images" / "a.png", picture(0, (8, 8)))
    (tmp_path / "instances.json").write_text(json.dumps(document))
    [sample] = coco.read(tmp_path).splits["all"]
    [one] = sample.read_truth().instances
    assert one.crowd is crowd
    assert one.mask.area == 8
