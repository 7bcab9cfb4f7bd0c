"""YOLO: what is written reads back, here and by supervision; each fault names file and line."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shared import shared_path
from small_sets import CLASSES, dataset, exif, picture, save

from maskwright import formats
from maskwright.core import ConfigError, DataError, Dataset, Instance, Mask, Sample, Segmentation
from maskwright.formats import yolo
from maskwright.jobs import convert

BALL = "1 0.25 0.5 0.125 0.25"  # of 24x32: left 6, top 9, right 10, bottom 15
TRIANGLE = "0 0.1 0.1 0.5 0.1 0.5 0.9"


def folder(root, label=BALL, yaml="names: [robot, ball]\ntrain: images/train\n", name="a"):
    save(root / "images/train" / f"{name}.png", picture(1))
    (root / "labels/train" / name).parent.mkdir(parents=True, exist_ok=True)
    if label is not None:
        (root / "labels/train" / f"{name}.txt").write_bytes(label.encode())
    if yaml is not None:
        (root / "data.yaml").write_text(yaml, encoding="utf-8")
    return root


def objects_of(root, **options):
    (samples,) = yolo.read(root, **options).splits.values()
    return samples[0].read_truth().instances


def set_of(*instances, size=(24, 32), name="a", split="train"):
    truth = Segmentation(size=size, classes=CLASSES, instances=instances)
    tasks = frozenset({"instances", "boxes"})
    one = Sample(name=name, image=picture(1, size), truth_of=truth, tasks=tasks)
    return Dataset(root=Path("x"), format="x", classes=CLASSES, splits={split: (one,)})


def object_of(pixels, class_id=0, **more):
    mask = Mask.encode(pixels)
    return Instance(class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask, **more)


def ring(size=(60, 80)):
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(y - 30, x - 41)
    return (away < 25) & (away > 15)


def blob(seed, size=(40, 52)):
    noise = np.random.default_rng(seed).random(size).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3) > 0.5


class TestReading:
    def test_boxes_become_pixel_edges_and_polygons_masks(self, tmp_path):
        found = yolo.read(folder(tmp_path, f"{BALL}\n{TRIANGLE}\n"))
        assert found.classes.names == ("robot", "ball")
        assert found.classes.things == {0, 1}
        (one,) = found.splits["train"]
        assert (one.name, one.tasks) == ("a", {"boxes"})
        ball, robot = one.read_truth().instances
        assert (ball.class_id, ball.box_xyxy, ball.mask) == (1, (6, 9, 10, 15), None)
        expected = np.zeros((24, 32), np.uint8)
        cv2.fillPoly(expected, [np.array([[3, 2], [16, 2], [16, 22]])], 1)
        np.testing.assert_array_equal(robot.mask.decode(), expected)
        assert robot.box_xyxy == robot.mask.box_xyxy

    def test_polygons_alone_are_instances(self, tmp_path):
        (one,) = yolo.read(folder(tmp_path, TRIANGLE)).splits["train"]
        assert one.tasks == {"instances", "boxes"}

    def test_corners_are_pixels_or_edges_as_told(self, tmp_path):
        square = "0 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5"  # 8..16 by 6..12
        root = folder(tmp_path, square)
        assert objects_of(root)[0].mask.area == 9 * 7
        assert objects_of(root, options={"vertices": "edge"})[0].mask.area == 8 * 6
        folder(tmp_path, square, "names: [robot]\ntrain: images/train\nvertices: edge\n")
        assert objects_of(root)[0].mask.area == 8 * 6
        assert any("edges of pixels" in note for note in yolo.read(root).notes)
        with pytest.raises(ConfigError, match="'centre' or 'edge', got 'middle'"):
            yolo.read(root, options={"vertices": "middle"})

    def test_confidences_stand_at_the_end(self, tmp_path):
        ball, robot = objects_of(folder(tmp_path, f"{BALL} 0.75\n{TRIANGLE} 0.5"))
        assert (ball.score, robot.score) == (0.75, 0.5)
        assert robot.mask is not None

    def test_windows_line_ends_byte_order_marks_and_blank_lines(self, tmp_path):
        root = folder(tmp_path, f"\ufeff{BALL}\r\n\r\n  {TRIANGLE}\t\r\n")
        assert [one.class_id for one in objects_of(root)] == [1, 0]

    def test_unclosed_closed_and_crossing_polygons_are_filled_as_opencv_does(self, tmp_path):
        root = folder(
            tmp_path, f"{TRIANGLE}\n{TRIANGLE} 0.1 0.1\n0 0.1 0.1 0.9 0.9 0.9 0.1 0.1 0.9"
        )
        unclosed, closed, crossing = (one.mask for one in objects_of(root))
        assert unclosed == closed
        expected = np.zeros((24, 32), np.uint8)
        cv2.fillPoly(expected, [np.array([[3, 2], [29, 22], [29, 2], [3, 22]])], 1)
        np.testing.assert_array_equal(crossing.decode(), expected)

    def test_what_lies_outside_is_cut_off_and_nothing_is_nothing(self, tmp_path):
        outside = "0 0.5 0.5 1.5 0.5 1.5 1.5 0.5 1.5\n0 1.2 1.2 1.3 1.2 1.3 1.3\n1 0.5 0.5 0 0"
        corner, gone, point = objects_of(folder(tmp_path, outside))
        assert corner.mask.box_xyxy == (16, 12, 32, 24)
        assert gone.mask.area == 0
        assert point.box_xyxy == (16, 12, 16, 12)

    def test_no_label_file_and_an_empty_one_mean_no_objects(self, tmp_path):
        folder(tmp_path, "", name="empty")
        folder(tmp_path, None, name="none")
        folder(tmp_path, BALL, name="some")
        found = yolo.read(tmp_path)
        counts = {one.name: len(one.read_truth().instances) for one in found.splits["train"]}
        assert counts == {"empty": 0, "none": 0, "some": 1}
        assert any("1 images have no label file" in note for note in found.notes)

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ("[robot, ball]", ("robot", "ball")),
            ("{1: ball, 0: robot}", ("robot", "ball")),
            ("{1: ball, 7: 'no', 10: 007}", ("ball", "no", "007")),
            ("[no, Fußball]", ("no", "Fußball")),
        ],
    )
    def test_class_names_as_list_or_dict_with_gaps(self, tmp_path, names, expected):
        found = yolo.read(folder(tmp_path, yaml=f"train: images/train\nnames: {names}\n"))
        assert found.classes.names == expected
        (ball,) = found.splits["train"][0].read_truth().instances
        assert found.classes.names[ball.class_id] == (expected[0] if "{1" in names and "7" in names
                                                      else expected[1])  # fmt: skip

    def test_ignored_classes_are_left_out(self, tmp_path):
        found = yolo.read(folder(tmp_path, f"{BALL}\n{TRIANGLE}"), ignore=("robot",))
        assert found.classes.names == ("ball",)
        (ball,) = found.splits["train"][0].read_truth().instances
        assert ball.class_id == 0
        with pytest.raises(ConfigError, match="no class 'goal'; they are robot, ball"):
            yolo.read(tmp_path, ignore=("goal",))
        with pytest.raises(ConfigError, match=r"every class .* is ignored"):
            yolo.read(tmp_path, ignore=("ball", "robot"))

    def test_rotated_photos_are_labelled_upright(self, tmp_path):
        root = folder(tmp_path)
        save(root / "images/train/a.png", picture(1), exif=exif(6))
        truth = yolo.read(root).splits["train"][0].read_truth()
        assert truth.size == (32, 24)
        assert truth.instances[0].box_xyxy == (4.5, 12, 7.5, 20)

    def test_truth_can_be_sent_to_another_process(self, tmp_path):
        one = pickle.loads(pickle.dumps(yolo.read(folder(tmp_path)).splits["train"][0]))
        assert len(one.read_truth().instances) == 1


class TestLayouts:
    @pytest.mark.parametrize(
        "yaml",
        [
            "train: images/train\n",
            "train: [images/train]\n",
            "train: ../images/train\n",
            "train: train.txt\n",
            "path: .\ntrain: ./images/train/\ntest:\n",
            "path: /content/nowhere\ntrain: images/train\n",
            "train: images\\train\r\n",
        ],
    )
    def test_ways_to_name_the_images(self, tmp_path, yaml):
        root = folder(tmp_path, yaml=f"names: [robot, ball]\n{yaml}", name="höhe/ä 1")
        (root / "train.txt").write_text("./images/train/höhe/ä 1.png\r\n", encoding="utf-8")
        for place in (root, root / "data.yaml"):
            found = formats.read(place)
            assert found.format == "yolo_boxes"
            (one,) = found.splits["train"]
            assert one.name == ("ä 1" if "txt" in yaml else "höhe/ä 1")
            assert len(one.read_truth().instances) == 1

    def test_path_names_the_base(self, tmp_path):
        folder(tmp_path / "set", yaml=None)
        yaml = tmp_path / "my.yml"
        yaml.write_text("path: set\nnames: [a, b]\ntrain: images/train\nval: images/train\n")
        found = formats.read(yaml)
        assert list(found.splits) == ["all"]
        assert any("train, val name the same images" in note for note in found.notes)

    def test_lists_of_folders_keep_equal_names_apart(self, tmp_path):
        for part in ("one", "two"):
            save(tmp_path / part / "images/a.png", picture(1))
            (tmp_path / part / "labels").mkdir()
            (tmp_path / part / "labels/a.txt").write_text(BALL)
        yaml = "names: [robot, ball]\ntrain: [one/images, two/images]\n"
        (tmp_path / "data.yaml").write_text(yaml)
        found = formats.read(tmp_path)
        assert [one.name for one in found.splits["train"]] == ["one/images/a", "two/images/a"]

    @pytest.mark.parametrize(
        ("images", "labels", "splits"),
        [
            ("images", "labels", ["all"]),
            ("images/valid", "labels/valid", ["val"]),
            ("train/images", "train/labels", ["train"]),
        ],
    )
    def test_without_data_yaml(self, tmp_path, images, labels, splits):
        save(tmp_path / images / "a.png", picture(1))
        (tmp_path / labels).mkdir(parents=True)
        (tmp_path / labels / "a.txt").write_text(TRIANGLE)
        found = formats.read(tmp_path)
        assert (found.format, list(found.splits)) == ("yolo_seg", splits)
        assert found.classes.names == ("class_0",)
        (tmp_path / "classes.txt").write_text("robot\nball\n")
        assert formats.read(tmp_path).classes.names == ("robot", "ball")

    def test_labels_beside_the_images(self, tmp_path):
        save(tmp_path / "photos/a.png", picture(1))
        (tmp_path / "photos/a.txt").write_text(BALL)
        (tmp_path / "data.yaml").write_text("names: [robot, ball]\ntrain: photos\n")
        assert len(objects_of(tmp_path)) == 1

    def test_splits_without_labels_and_labels_without_images_are_told(self, tmp_path):
        root = folder(tmp_path, yaml="names: [a, b]\ntrain: images/train\ntest: images/test\n")
        save(root / "images/test/b.png", picture(2))
        (root / "labels/train/lost.txt").write_text(BALL)
        found = yolo.read(root)
        assert list(found.splits) == ["train"]
        assert any("test: none of 1 images has a label file" in note for note in found.notes)
        assert any("1 label files have no image (lost.txt)" in note for note in found.notes)


class TestWriting:
    @settings(max_examples=40, deadline=None)
    @given(arrays(bool, (9, 13)), st.integers(0, 2))
    def test_on_edges_any_mask_reads_back_to_the_pixel(self, tmp_path_factory, pixels, class_id):
        pixels[4, 5] = True
        out = tmp_path_factory.mktemp("set") / "out"
        written = set_of(object_of(pixels, class_id), size=(9, 13))
        assert yolo.write(written, out, options={"vertices": "edge"}) == ()
        found = yolo.read(out)
        assert found.classes == CLASSES
        (one,) = found.splits["train"][0].read_truth().instances
        assert one.class_id == class_id
        np.testing.assert_array_equal(one.mask.decode(), pixels)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**31))
    def test_on_centres_what_is_lost_is_told(self, tmp_path_factory, seed):
        pixels = blob(seed)
        pixels[0, 0] = True
        parts = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=8)[0] - 1
        out = tmp_path_factory.mktemp("set") / "out"
        notes = yolo.write(set_of(object_of(pixels), size=pixels.shape), out)
        (one,) = objects_of(out)
        iou = one.mask.iou(Mask.encode(pixels))
        assert iou == 1 if parts == 1 else iou > 0.8
        assert bool(notes) == (iou < 1)
        assert all(f"{iou:.3f} in train/a" in note for note in notes)

    @pytest.mark.parametrize("vertices", ["centre", "edge"])
    @pytest.mark.parametrize("thickness", [1, 2, 3])
    def test_rings_and_thin_lines_come_back(self, tmp_path, vertices, thickness):
        line = cv2.line(np.zeros((60, 80), np.uint8), (4, 7), (70, 50), 1, thickness).astype(bool)
        point = np.zeros((60, 80), bool)
        point[59, 79] = True
        written = set_of(*(object_of(p) for p in (ring(), line, point)), size=(60, 80))
        assert yolo.write(written, tmp_path / "out", options={"vertices": vertices}) == ()
        found = objects_of(tmp_path / "out")
        for expected, one in zip((ring(), line, point), found):
            np.testing.assert_array_equal(one.mask.decode(), expected)

    def test_readers_that_cut_decimals_off_find_the_same_pixels(self, tmp_path):
        pixels = np.pad(blob(3, (97, 1003)), ((5, 0), (0, 4)))
        yolo.write(set_of(object_of(pixels), size=pixels.shape), tmp_path / "out")
        fields = (tmp_path / "out/labels/train/a.txt").read_text().split()
        shares = np.array(fields[1:], np.float32).reshape(-1, 2)
        corners = shares * np.array(pixels.shape[::-1], np.float32)
        np.testing.assert_array_equal(corners.astype(np.int32), np.rint(corners))

    def test_boxes_read_back(self, tmp_path):
        box = Instance(class_id=2, box_xyxy=(1.25, 2.5, 30.75, 23.0))
        for write, name in ((yolo.write, "seg"), (yolo.write_boxes, "boxes")):
            assert write(set_of(box), tmp_path / name) == ()
            assert objects_of(tmp_path / name) == (box,)

    def test_what_the_rows_cannot_hold_is_counted(self, tmp_path):
        notes = yolo.write(dataset(train=2), tmp_path / "seg")
        assert notes == (
            "yolo_seg can't hold the class maps of 2 images.",
            "yolo_seg can't hold that 2 objects are crowds.",
            "yolo_seg can't hold the track ids of 2 objects.",
        )
        assert "yolo_boxes can't hold the masks of 2 objects." in yolo.write_boxes(
            dataset(train=2), tmp_path / "boxes"
        )
        empty = Instance(
            class_id=0, box_xyxy=(1, 2, 3, 4), mask=Mask.encode(np.zeros((24, 32), int))
        )
        scored = Instance(class_id=0, box_xyxy=(1, 2, 3, 4), score=0.5)
        assert yolo.write(set_of(empty, scored), tmp_path / "more") == (
            "yolo_seg can't hold the scores of 1 objects beside some without.",
            "yolo_seg can't hold the empty masks of 1 objects, now boxes.",
        )

    def test_scores_read_back_where_all_have_one(self, tmp_path):
        mask = object_of(ring(), score=0.25)
        box = Instance(class_id=2, box_xyxy=(1, 2, 3, 4), score=0.875)
        assert yolo.write(set_of(mask, box, size=(60, 80)), tmp_path / "out") == ()
        assert objects_of(tmp_path / "out") == (mask, box)

    def test_sets_without_splits_stay_so(self, tmp_path):
        yolo.write(set_of(object_of(ring()), size=(60, 80), split="all"), tmp_path / "out")
        assert list(formats.read(tmp_path / "out").splits) == ["all"]

    def test_refusals(self, tmp_path):
        with pytest.raises(ConfigError, match="'centre' or 'edge'"):
            yolo.write(dataset(train=1), tmp_path / "out", options={"vertices": "corner"})
        with pytest.raises(DataError, match="a split called 'names'"):
            yolo.write(dataset(names=1), tmp_path / "out")
        (tmp_path / "full").mkdir()
        (tmp_path / "full/x").touch()
        with pytest.raises(DataError, match="not empty"):
            yolo.write(dataset(train=1), tmp_path / "full")
        truth = Segmentation(size=(24, 32), classes=CLASSES)
        bare = Sample(name="a", image=picture(1), truth_of=truth, tasks=frozenset())
        bare_set = Dataset(root=tmp_path, format="x", classes=CLASSES, splits={"train": (bare,)})
        with pytest.raises(DataError, match="train/a has no objects labelled"):
            yolo.write(bare_set, tmp_path / "out")


class TestSupervision:
    """The reader of another package finds the same objects in what is written."""

    def read(self, root, **options):
        sv = pytest.importorskip("supervision")
        return sv.DetectionDataset.from_yolo(
            str(root / "images/train"),
            str(root / "labels/train"),
            str(root / "data.yaml"),
            **options,
        )

    def test_masks(self, tmp_path):
        shapes = [ring(), blob(1, (60, 80)), np.eye(60, 80, dtype=bool)]
        written = set_of(*(object_of(p, i) for i, p in enumerate(shapes)), size=(60, 80))
        yolo.write(written, tmp_path / "out")
        found = self.read(tmp_path / "out", force_masks=True)
        assert found.classes == list(CLASSES.names)
        ((_, _, detections),) = found
        assert detections.class_id.tolist() == [0, 1, 2]
        for mask, one in zip(detections.mask, objects_of(tmp_path / "out")):
            np.testing.assert_array_equal(mask, one.mask.decode())

    def test_boxes(self, tmp_path):
        boxes = [Instance(class_id=1, box_xyxy=(1.0, 2.0, 30.0, 23.0))]
        yolo.write_boxes(set_of(*boxes), tmp_path / "out")
        ((_, _, detections),) = self.read(tmp_path / "out")
        np.testing.assert_allclose(detections.xyxy, [[1, 2, 30, 23]], atol=1e-4)

    def test_what_supervision_writes_reads_back(self, tmp_path):
        sv = pytest.importorskip("supervision")
        pixels = np.zeros((2, 60, 80), bool)
        pixels[0, 5:30, 10:50] = True
        cv2.circle(pixels[1].view(np.uint8), (55, 40), 15, 1, -1)
        save(tmp_path / "photo.png", picture(1, (60, 80)))
        truth = sv.Detections(sv.mask_to_xyxy(pixels), pixels, class_id=np.array([1, 0]))
        photo = str(tmp_path / "photo.png")
        theirs = sv.DetectionDataset(["robot", "ball"], [photo], {photo: truth})
        out = tmp_path / "set"
        theirs.as_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))
        (out / "data.yaml").write_text((out / "data.yaml").read_text() + "train: images\n")
        found = objects_of(out)
        assert [one.class_id for one in found] == [1, 0]
        for expected, one in zip(pixels, found):
            np.testing.assert_array_equal(one.mask.decode(), expected)


class TestFaults:
    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("0 0.5 0.5 0.1", "expected a class and four numbers of a box"),
            ("0 0.5 0.5 0.1 x", "finite numbers with spaces between them, got 'x'"),
            ("0,0.5,0.5,0.1,0.1", "got '0,0.5,0.5,0.1,0.1'"),
            ("0 0.5 nan 0.1 0.1", "got 'nan'"),
            ("0 0.5 0.5 inf 0.1", "got 'inf'"),
            ("0 0.5 0.5 -0.1 0.1", "width and height >= 0"),
            ("0 120 60 30 40", "shares of the image's width and height in 0..1, got 120"),
            ("2 0.5 0.5 0.1 0.1", r"class id 2 has no name; the ids are 0..1 \(2 classes\)"),
            ("-1 0.5 0.5 0.1 0.1", "class id -1 has no name"),
            ("0.5 0.5 0.5 0.1 0.1", "class id 0.5 has no name"),
            ("0 0.5 0.5 0.1 0.1 7", "expected a confidence 0..1"),
            (f"{TRIANGLE} 0.3", "pairs x y, got 7 numbers"),
        ],
    )
    def test_bad_rows_are_told_with_file_and_line(self, tmp_path, row, message):
        root = folder(tmp_path, f"{TRIANGLE}\n\n{row}\n")
        with pytest.raises(DataError, match=rf"train/a\.txt, line 3: .*{message}"):
            yolo.read(root)
        folder(root, BALL, name="b")
        bad, good = yolo.read(root, strict=False).splits["train"]
        assert len(good.read_truth().instances) == 1
        with pytest.raises(DataError, match="line 3"):
            bad.read_truth()

    @pytest.mark.parametrize(
        ("yaml", "message"),
        [
            ("names: [a\ntrain: images/train", "no valid YAML"),
            ("names: !!python/name:os.system\ntrain: x", '"names" as a list'),
            ("names: 3\ntrain: images/train", '"names" as a list'),
            ("names: [a, a]\ntrain: images/train", "class names must differ"),
            ("names: {x: a}\ntrain: images/train", '"names" as a list'),
            ("names: []\ntrain: images/train", '"names" as a list'),
            ("names: [a, b]\ntrain: nowhere", "'train' names 'nowhere', but neither such a folder"),
            ("names: [a, b]\ntrain: {a: b}", "expected 'train' as a folder"),
            ("names: [a, b]", "names no train, val or test"),
            ("names: [a, b]\ntrain: images/train\nvertices: x", '"vertices" to be centre or edge'),
            ("names: [a, b]\ntrain: images/train\npalette: x", "data.yaml: "),
            ("names: [a, b]\ntrain: images/train\nthings: [9]", "thing ids"),
        ],
    )
    def test_bad_data_yaml(self, tmp_path, yaml, message):
        root = folder(tmp_path, yaml=yaml)
        with pytest.raises(DataError, match=message) as caught:
            formats.read(root)
        assert "data.yaml" in str(caught.value)

    def test_text_that_is_no_utf8(self, tmp_path):
        root = folder(tmp_path)
        (root / "labels/train/a.txt").write_bytes(b"0 0.5 \xff")
        with pytest.raises(DataError, match=r"a\.txt is no UTF-8 text \(byte 6 is 0xff\)"):
            yolo.read(root)

    def test_lists_of_images(self, tmp_path):
        root = folder(tmp_path, yaml="names: [a, b]\ntrain: list.txt\n")
        (root / "list.txt").write_text("images/train/a.png\nimages/train/gone.png\n")
        with pytest.raises(DataError, match=r"gone\.png is listed but does not exist"):
            yolo.read(root)
        good, gone = yolo.read(root, strict=False).splits["train"]
        assert len(good.read_truth().instances) == 1
        with pytest.raises(DataError, match="does not exist"):
            gone.read_truth()
        (root / "list.txt").write_text("images/train/a.png\nimages/train\n")
        with pytest.raises(DataError, match=r"list\.txt, line 2: expected the path of an image"):
            yolo.read(root)

    def test_two_images_of_one_name(self, tmp_path):
        root = folder(tmp_path)
        save(root / "images/train/a.jpg", picture(2))
        with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
            yolo.read(root)
        (one,) = yolo.read(root, strict=False).splits["train"]
        with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
            one.read_truth()

    def test_missing_folders_are_left_out_only_when_lenient(self, tmp_path):
        root = folder(tmp_path, yaml="names: [a, b]\ntrain: images/train\nval: images/val\n")
        with pytest.raises(DataError, match="'val' names 'images/val'"):
            yolo.read(root)
        found = yolo.read(root, strict=False)
        assert list(found.splits) == ["train"]
        assert any("images/val" in note and "Left out" in note for note in found.notes)

    def test_no_layout(self, tmp_path):
        with pytest.raises(DataError, match="holds no YOLO labels"):
            yolo.read(tmp_path)
        with pytest.raises(DataError, match="does not exist"):
            yolo.read(tmp_path / "data.yaml")


def test_coco_mini_survives(tmp_path):
    source = formats.read(shared_path("data/coco_mini"))
    first = source.splits["val"][:12]
    small = Dataset(root=tmp_path, format="x", classes=source.classes, splits={"val": first})
    yolo.write(small, tmp_path / "edge", options={"vertices": "edge"})
    yolo.write(small, tmp_path / "centre")
    edges, centres = (formats.read(tmp_path / name) for name in ("edge", "centre"))
    compared = 0
    for before, exact, near in zip(first, edges.splits["val"], centres.splits["val"]):
        triples = zip(*(one.read_truth().instances for one in (before, exact, near)), strict=True)
        for truth, on_edges, on_centres in triples:
            assert truth.mask == on_edges.mask
            assert truth.mask.iou(on_centres.mask) > 0.8
            compared += 1
    assert compared > 60


@pytest.mark.parametrize(("vertices", "other"), [("centre", "edge"), ("edge", "centre")])
def test_the_loss_under_the_other_reader_is_told(tmp_path, vertices, other):
    pixels = np.zeros((24, 32), bool)
    pixels[5, 4:20] = True  # a line, which the other reader loses or doubles
    small = set_of(object_of(pixels), object_of(ring((60, 80))[16:40, 20:52]))
    done = convert(small, tmp_path / "out", "yolo_seg", options={"vertices": vertices}, workers=1)
    (told,) = done.remarks
    seen = (
        yolo.read(tmp_path / "out", options={"vertices": other})
        .splits["train"][0]
        .read_truth()
        .instances
    )
    truth = small.splits["train"][0].read_truth().instances
    ious = [one.mask.iou(found.mask) for one, found in zip(truth, seen)]
    assert min(ious) <= 0.5
    assert f"see 2 masks otherwise: IoU {np.mean(ious):.3f} on average, {min(ious):.3f}" in told


def test_boxes_are_cut_off_at_the_border_and_told(tmp_path):
    outside = Instance(class_id=0, box_xyxy=(-8.0, 0.0, 8.0, 10.0))
    gone = Instance(class_id=1, box_xyxy=(40.0, 2.0, 50.0, 4.0))
    flat = Instance(class_id=1, box_xyxy=(3.0, 2.0, 3.0, 4.0))
    told = yolo.write_boxes(set_of(outside, gone, flat), tmp_path / "out")
    assert told == (
        "yolo_boxes can't hold the parts of 2 boxes outside their images: IoU 0.250 on average, "
        "0.000 in train/a.",
    )
    for line in (tmp_path / "out/labels/train/a.txt").read_text().splitlines():
        assert all(0 <= float(number) <= 1 for number in line.split()[1:])
    boxes = [one.box_xyxy for one in objects_of(tmp_path / "out")]
    assert boxes == [(0, 0, 8, 10), (32, 2, 32, 4), (3, 2, 3, 4)]


def test_aliases_that_would_fill_the_memory_are_refused(tmp_path):
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    text = "\n".join(["l0: &l0 [a, a, a]", *levels, "names: *l9", "train: images"])
    (tmp_path / "data.yaml").write_text(text)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"data\.yaml has 82 aliases"):
        yolo.read(tmp_path)


def test_more_classes_than_ids_are_refused(tmp_path):
    (tmp_path / "data.yaml").write_text("nc: 1000000000\ntrain: images")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r'expected "nc" up to 65535, got 1000000000'):
        yolo.read(tmp_path)
