"""`check` finds every fault that was put in, goes on after each, and cries no wolf."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from shared import shared_path
from small_sets import CLASSES, dataset, ids, mask_folder, picture, sample, save

from maskwright import formats
from maskwright.core import Dataset, Instance, Mask, Sample, Segmentation
from maskwright.jobs import check
from maskwright.jobs.duplicates import fingerprint, near_duplicates

NAMES = ["grass", "line", "ball"]


def of_kind(findings, kind):
    return [finding for finding in findings if finding.kind == kind]


def altered(image):
    """Half the size, brighter, as a poor JPEG."""
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    bright = np.clip(half * 1.15 + 8, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", bright, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)


def test_a_sound_set_has_no_findings(tmp_path):
    found = formats.read(mask_folder(tmp_path, {"train": 3, "val": 2}, NAMES), strict=False)
    assert check(found) == []


def test_all_faults_are_collected_at_once(tmp_path):
    root = mask_folder(tmp_path, {"train": 7, "val": 2}, [*NAMES, "never"])
    masks, images = root / "train/masks", root / "train/images"
    (masks / "im0.png").unlink()
    save(masks / "im1.png", ids(1, (24, 30)))
    save(masks / "im2.png", np.full((24, 32), 77, np.uint8))
    (images / "im3.png").write_bytes((images / "im3.png").read_bytes()[:-30])
    (masks / "im4.png").write_text("no image")
    save(masks / "im5.png", np.full((24, 32), 255, np.uint8))
    save(root / "val/images/im100.png", cv2.resize(picture(6), (96, 72)) // 2)
    save(root / "val/masks/im100.png", ids(100, (72, 96)))
    findings = check(formats.read(root, strict=False))
    errors = {finding.file: finding.message for finding in findings if finding.severity == "error"}
    assert "lack a mask" in errors["train/im0"]
    assert "24x30" in errors["train/im1"]
    assert "ids 77" in errors["train/im2"]
    assert "truncated" in errors["train/im3"]
    assert "not an image" in errors["train/im4"]
    assert len(errors) == 5
    assert [finding.file for finding in of_kind(findings, "empty")] == ["train/im5"]
    assert [finding.file for finding in of_kind(findings, "unused-class")] == ["never"]
    (twins,) = of_kind(findings, "near-duplicate")
    assert "train/im6 and val/im100" in twins.message
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


def test_classes_that_training_never_sees(tmp_path):
    root = mask_folder(tmp_path, {"train": 1, "val": 1}, NAMES)
    save(root / "train/masks/im0.png", np.zeros((24, 32), np.uint8))
    found = of_kind(check(formats.read(root, strict=False)), "unseen-class")
    assert [finding.file for finding in found] == ["line", "ball"]
    assert "occurs in val" in found[0].message


def test_255_that_was_meant_as_a_class_is_told(tmp_path):
    root = mask_folder(tmp_path, {"train": 2}, NAMES)  # two names alone are read as 0 and 255
    for number, mask in enumerate(sorted((root / "train/masks").iterdir())):
        save(mask, np.where(ids(number) == 0, 255, 0).astype(np.uint8))
    (told,) = of_kind(check(formats.read(root)), "only-void")
    assert "every labelled pixel is grass, and in 2 images the rest is void (255)" in told.message
    assert "meant as line, save it as 1" in told.message
    save(mask, ids(1, classes=2))
    assert not of_kind(check(formats.read(root)), "only-void")


def test_boxes_without_area_or_outside_are_told():
    boxes = [(1, 1, 5, 5), (3, 3, 3, 8), (4, 4, 60, 9), (-0.5, -0.5, 32.5, 24.5)]
    instances = tuple(Instance(class_id=1, box_xyxy=box) for box in boxes)
    truths = {"odd": instances, "none": ()}
    samples = tuple(
        Sample(
            name=name,
            image=picture(number),
            truth_of=Segmentation(size=(24, 32), classes=CLASSES, instances=objects),
            tasks=frozenset({"boxes"}),
        )
        for number, (name, objects) in enumerate(truths.items())
    )
    found = check(Dataset(root="memory", format="x", classes=CLASSES, splits={"all": samples}))
    assert [finding.message.split(": ")[1] for finding in of_kind(found, "bad-box")] == [
        "object 1 (line) has no area",
        "object 2 (line) has a part outside the image",
    ]
    (nothing,) = of_kind(found, "empty")
    assert (nothing.severity, nothing.file) == ("info", "all/none")


def test_broken_coco_entries_are_collected_too(tmp_path):
    formats.FORMATS["coco"].write(dataset(train=3), tmp_path / "set")
    path = tmp_path / "set/train/instances.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 50
    content["annotations"][2]["segmentation"]["counts"] = "0"
    path.write_text(json.dumps(content))
    (tmp_path / "set/train/images/scene_2.png").unlink()
    findings = check(formats.read(tmp_path / "set", strict=False))
    errors = [(f.file, f.kind) for f in findings if f.severity == "error"]
    assert errors == [
        ("train/scene_0", "bad-annotation"),
        ("train/scene_1", "bad-annotation"),
        ("train/scene_2", "unreadable-image"),
        ("train/scene_2", "bad-annotation"),
    ]


def test_near_duplicates_within_a_split_are_no_findings():
    twice = tuple(sample(1, name) for name in "ab")
    found = check(Dataset(root="x", format="x", classes=CLASSES, splits={"train": twice}))
    assert not of_kind(found, "near-duplicate")


def test_flat_pictures_are_alike_only_where_they_are_equally_grey():
    prints = [fingerprint(np.full((20, 20, 3), grey, np.uint8)) for grey in (100, 101, 180)]
    assert [pair[:2] for pair in near_duplicates(prints[:1], prints[1:])] == [(0, 0)]
    assert near_duplicates([], prints) == []


@pytest.mark.parametrize("name", ["camvid", "coco_mini"])
def test_altered_photos_are_found_and_no_others(name):
    found = formats.read(shared_path(f"data/{name}"))
    ours = [one.read_image() for one in found.splits["train"][:60]]
    others = [fingerprint(one.read_image()) for one in found.splits["val"][:40]]
    copies = [fingerprint(altered(image)) for image in ours]
    pairs = near_duplicates([fingerprint(image) for image in ours], others + copies)
    across = {(one, other - len(others)) for one, other, _ in pairs if one != other - len(others)}
    assert not any(other < 0 for _, other in across), "photos of different splits were confused"
    found_again = {one for one, other, _ in pairs if one == other - len(others)}
    assert len(found_again) >= 58


def objects(*instances):
    truth = Segmentation(size=(24, 32), classes=CLASSES, instances=instances)
    one = Sample(name="a", image=picture(0), truth_of=truth, tasks=frozenset({"instances"}))
    return Dataset(root=Path("set"), format="coco", classes=CLASSES, splits={"train": (one,)})


def test_boxes_that_contradict_their_masks_are_told():
    pixels = np.zeros((24, 32), bool)
    pixels[4:12, 4:14] = True
    mask = Mask.encode(pixels)
    right = Instance(class_id=1, box_xyxy=(4, 4, 14, 12), mask=mask)
    rounded = Instance(class_id=1, box_xyxy=(3.2, 3.1, 15.4, 13.2), mask=mask)
    assert not of_kind(check(objects(right, rounded)), "bad-box")
    as_corners = Instance(class_id=1, box_xyxy=(4, 4, 4 + 14, 4 + 12), mask=mask)
    (told,) = of_kind(check(objects(right, as_corners)), "bad-box")
    assert "object 1 (line) has the box (4, 4, 18, 16), but its mask lies in" in told.message


def test_sets_of_nothing_but_crowds_are_told():
    crowd = Instance(class_id=1, box_xyxy=(4, 4, 14, 12), crowd=True)
    (told,) = of_kind(check(objects(crowd, crowd)), "only-crowds")
    assert "every object (2) is a crowd" in told.message
    assert "--read crowds=objects" in told.message
    single = Instance(class_id=1, box_xyxy=(4, 4, 14, 12))
    assert not of_kind(check(objects(crowd, single)), "only-crowds")
