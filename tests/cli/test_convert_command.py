"""`maskwright convert` and `data split` as users meet them: what is said, refused, skipped."""

from __future__ import annotations

import inspect
import json
import shutil

import pytest
import small_sets
from cases import contents

from maskwright import formats
from maskwright.cli.convert import convert as convert_command


@pytest.fixture
def coco_set(tmp_path):
    """Two splits in COCO, that the test may spoil."""
    formats.FORMATS["coco"].write(small_sets.dataset(train=4, val=2), tmp_path / "coco")
    return tmp_path / "coco"


def spoil(root, **changes):
    """Change the first annotation (or image) of train."""
    file = root / "train/instances.json"
    document = json.loads(file.read_text())
    for key, value in changes.items():
        entries = document["images" if key == "file_name" else "annotations"]
        entries[0][key] = value
    file.write_text(json.dumps(document))


def test_convert_says_what_it_did_and_what_was_lost(run, coco_set, tmp_path):
    result = run("convert", coco_set, tmp_path / "out", "--to", "yolo_seg")
    assert result.code == 0, result
    assert "lost: yolo_seg can't hold that 6 objects are crowds." in result.out
    assert "yolo_seg in" in result.out
    assert "train 4, val 2; 0 skipped" in result.out
    rows = (tmp_path / "out/losses.csv").read_text().splitlines()
    assert rows[0] == "image,lost,count,mean_iou,lowest_iou"
    assert "train/scene_0,that objects are crowds,1,," in rows
    before = contents(tmp_path / "out")
    again = run("convert", coco_set, tmp_path / "out", "--to", "yolo_seg")
    assert "finished before" in again.out
    assert contents(tmp_path / "out") == before


def test_options_reach_the_writer(run, coco_set, tmp_path):
    to = ("--to", "coco", "--polygons", "--link", "--ignore", "grass", "--workers", 1)
    assert run("convert", coco_set, tmp_path / "out", *to).code == 0
    document = json.loads((tmp_path / "out/train/instances.json").read_text())
    assert [entry["name"] for entry in document["categories"]] == ["line", "ball"]
    (image,) = (tmp_path / "out/train/images").glob("scene_0.png")
    assert image.samefile(coco_set / "train/images/scene_0.png")
    edge = ("--to", "yolo_seg", "--vertices", "edge")
    assert run("convert", coco_set, tmp_path / "edge", *edge).code == 0
    assert "vertices: edge" in (tmp_path / "edge/data.yaml").read_text()
    told = run("convert", tmp_path / "edge", tmp_path / "c", "--to", "coco",
               "--read-vertices", "centre")  # fmt: skip
    assert "read as centres of pixels, as asked" in told.out


def test_labelme_and_cvat_as_polygons_or_masks(run, coco_set, tmp_path):
    for to in ("labelme", "cvat"):
        for masks in ((), ("--masks",)):
            out = tmp_path / f"{to}{len(masks)}"
            assert run("convert", coco_set, out, "--to", to, *masks).code == 0
            told = run("data", "stats", out)
            assert f"is read as {to}" in told.out
            files = [p.read_text() for p in out.rglob("*") if p.suffix in {".json", ".xml"}]
            as_masks = any('"shape_type":"mask"' in text or "<mask " in text for text in files)
            assert as_masks == bool(masks)


def test_help_lists_what_can_be_written():
    told = inspect.get_annotations(convert_command, eval_str=True)["to"].__metadata__[0].help
    assert all(name in told for name in formats.WRITABLE)
    assert not any(name in told for name in set(formats.FORMATS) - set(formats.WRITABLE))


def test_options_that_make_no_sense(refused, coco_set, tmp_path):
    out = tmp_path / "out"
    for arguments, wanted in {
        ("--to", "pascal"): "no format 'pascal'; the formats are index_masks",
        ("--to", "via"): "VIA annotations can be read, but not written (format 'via'); choose",
        ("--to", "voc", "--masks"): "masks is an option of labelme, cvat",
        ("--to", "voc", "--polygons"): "polygons is an option of coco",
        ("--to", "yolo_seg", "--vertices", "corner"): "'corner'",
        ("--to", "coco", "--read-vertices", "edge"): "vertices is an option of yolo_seg",
        ("--to", "coco", "--workers", 0): "got 0",
        ("--to", "coco", "--ignore", "goal"): "goal",
        ("--to", "coco", "--format", "yolo"): "no format 'yolo'",
        (): "--to",
    }.items():
        assert wanted in refused("convert", coco_set, out, *arguments), arguments
    for ratios in ("70", "0/100", "a/b"):
        arguments = ("--by", "scene_(.*)", "--ratios", ratios)
        assert repr(ratios) in refused("data", "split", coco_set, out, *arguments)
    assert "no group" in refused("data", "split", coco_set, out, "--by", "video")
    assert "--by" in refused("data", "split", coco_set, out)
    assert not out.exists()


def test_places_that_do_not_fit(refused, coco_set, tmp_path):
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere} does not exist" in refused("convert", nowhere, tmp_path / "o", "--to", "voc")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    assert f"{full} exists and is not empty" in refused("convert", coco_set, full, "--to", "voc")
    assert contents(full) == {"mine.txt": b"keep"}
    masks = ("--to", "index_masks")
    for image in ("train", "val"):
        file = coco_set / image / "instances.json"
        document = json.loads(file.read_text())
        for entry in document["annotations"]:
            entry.pop("segmentation", None)
        file.write_text(json.dumps(document))
    assert "has boxes only (2)" in refused("convert", coco_set, tmp_path / "masks", *masks)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"category_id": 99}, "annotation 1 has category_id 99, but the categories are 1, 2, 3"),
        ({"bbox": [1, 2, -3, 4]}, "annotation 1 has the box [1, 2, -3, 4]"),
        ({"bbox": [1, 2, float("nan"), 4]}, "annotation 1 has the box [1, 2, nan, 4]"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "it is (9, 9) (height, width)"),
        ({"segmentation": {"size": [24, 32], "counts": "\x7f"}}, "annotation 1 has no usable mask"),
        ({"segmentation": [[1, 2, 3]]}, "annotation 1 has no usable mask"),
        ({"file_name": "gone.png"}, "lacks: gone.png"),
        ({"file_name": "../scene_0.png"}, "expected an image with an integer"),
        ({"file_name": "scene_1.png"}, "stands there twice"),
    ],
)  # fmt: skip
def test_faulty_entries_are_named_and_skipped_only_when_asked(
    run, refused, coco_set, tmp_path, changes, wanted
):
    spoil(coco_set, **changes)
    message = refused("convert", coco_set, tmp_path / "out", "--to", "voc")
    assert wanted in message
    assert "train/instances.json" in message
    result = run("convert", coco_set, tmp_path / "rest", "--to", "voc", "--skip-bad")
    assert result.code == 0, result
    if "stands there twice" in wanted or "integer" in wanted:
        assert "Left out." in result.out
        assert "train 3, val 2; 0 skipped" in result.out
    else:
        assert "skipped train/" in result.out
        assert "train 3, val 2; 1 skipped" in result.out
        summary = json.loads((tmp_path / "rest/conversion.json").read_text())
        assert len(summary["skipped"]) == 1
    assert formats.read(tmp_path / "rest").splits["train"]


def test_broken_json_is_named(refused, coco_set, tmp_path):
    (coco_set / "val/instances.json").write_text('{"images": [')
    assert "val/instances.json is no valid JSON" in refused(
        "convert", coco_set, tmp_path / "out", "--to", "voc", "--skip-bad"
    )


def test_an_image_that_two_splits_claim(run, refused, coco_set, tmp_path):
    root = tmp_path / "official"
    shutil.copytree(coco_set / "train/images", root / "images")
    (root / "annotations").mkdir()
    for split in ("train", "val"):
        shutil.copy(coco_set / "train/instances.json", root / f"annotations/instances_{split}.json")
    message = refused("convert", root, tmp_path / "out", "--to", "voc")
    assert "scene_0.png is claimed by train and by val" in message
    result = run("convert", root, tmp_path / "out", "--to", "voc", "--skip-bad")
    assert result.code == 0, result
    assert "train 4, val 0; 4 skipped" in result.out


def test_split_tells_each_part(run, coco_set, tmp_path):
    by = ("--by", r"scene_(\d+)", "--ratios", "60/20/20")
    result = run("data", "split", coco_set, tmp_path / "out", *by)
    assert result.code == 0, result
    assert "6 groups, the largest of 1 images" in result.out
    found = formats.read(tmp_path / "out")
    assert {split: len(own) for split, own in found.splits.items()} == {
        "train": 4,
        "val": 1,
        "test": 1,
    }
    assert run("data", "split", coco_set, tmp_path / "lists", *by, "--lists").code == 0
    assert len((tmp_path / "lists/train.txt").read_text().splitlines()) == 4


def test_image_labels_are_converted_and_told(run, tmp_path):
    for number in range(4):
        place = f"train/{'ok' if number % 2 else 'rust'}/{number}.png"
        small_sets.save(tmp_path / "set" / place, small_sets.picture(number))
    assert run("convert", tmp_path / "set", tmp_path / "voc", "--to", "voc").code == 0
    assert run("convert", tmp_path / "voc", tmp_path / "again", "--to", "folders").code == 0
    names = [
        sorted(p.name for p in (tmp_path / f"again/train/{c}").iterdir()) for c in ("ok", "rust")
    ]
    assert names == [["1.png", "3.png"], ["0.png", "2.png"]]
    told = run("data", "stats", tmp_path / "again").out
    assert "labels" in told
    assert "nan" not in told
    assert "no errors" in run("data", "check", tmp_path / "again").out


def test_fields_that_a_format_lacks_are_said_and_counted(run, coco_set, tmp_path):
    spoil(coco_set, keypoints=[1, 2, 2], attributes={"occluded": True})
    result = run("convert", coco_set, tmp_path / "out", "--to", "yolo_boxes")
    assert result.code == 0, result
    assert "lost: yolo_boxes can't hold the keypoints of 1 objects." in result.out
    rows = (tmp_path / "out/losses.csv").read_text().splitlines()
    assert "train/scene_0,the attributes of objects,1,," in rows


def test_the_way_a_set_is_read_can_be_told(run, refused, coco_set, tmp_path):
    photos = tmp_path / "photos"
    for split in ("train", "val"):
        shutil.move(coco_set / split / "images", photos / split)
    assert "images that" in refused("data", "stats", coco_set)
    shown = run("data", "stats", coco_set, "--read", f"images={photos}")
    assert shown.code == 0, shown
    done = run(
        "convert", coco_set, tmp_path / "out", "--to", "coco",
        "--read", f"images={photos}", "--read", "crowds=objects",
    )  # fmt: skip
    assert done.code == 0, done
    written = json.loads((tmp_path / "out/train/instances.json").read_text())
    assert {one["iscrowd"] for one in written["annotations"]} == {0}
    assert "OPTION=VALUE" in refused("data", "check", coco_set, "--read", "images")
    assert "crowds" in refused("data", "check", coco_set, "--read", "crowds=maybe")
    assert "is no folder" in refused("data", "check", coco_set, "--read", "images=nowhere")
    assert "option of" in refused("data", "check", coco_set, "--read", "vertices=edge")


def test_files_of_polygons_and_boxes_are_said_with_a_way_out(run, refused, coco_set, tmp_path):
    mixed = run("convert", coco_set, tmp_path / "mixed", "--to", "yolo_seg")
    assert "note: the label files of 6 images hold polygons and boxes" in mixed.out
    lengths = {}
    for boxes in ("rectangle", "leave-out"):
        out = tmp_path / boxes
        done = run("convert", coco_set, out, "--to", "yolo_seg", "--boxes", boxes)
        assert "hold polygons and boxes" not in done.out
        rows = [row.split() for row in (out / "labels/train/scene_0.txt").read_text().splitlines()]
        assert all(len(row) > 6 for row in rows)
        lengths[boxes] = len(rows)
    assert lengths == {"rectangle": 2, "leave-out": 1}
    # (1.5, 2.25, 20, 12) in an image of 24x32: the pixels whose centres lie inside
    found = formats.read(tmp_path / "rectangle").splits["train"][0].read_truth().instances
    assert found[1].box_xyxy == (2.0, 2.0, 20.0, 12.0)
    assert "row, rectangle, leave-out" in refused(
        "convert", coco_set, tmp_path / "no", "--to", "yolo_seg", "--boxes", "circle"
    )
