"""Several sets read as one, through `maskwright.read` and the command."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from commands import run_commands
from PIL import Image
from small_sets import mask_folder

import maskwright
from maskwright.core.errors import ConfigError


def box_set(root, splits=("train", "val"), names=("ball", "b")):
    """Two images a split, a box each."""
    for split in splits:
        folder = root / split / "images" if split else root / "images"
        folder.mkdir(parents=True)
        images, boxes = [], []
        for number in range(2):
            pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"i{number}.jpg")
            images.append({"id": number, "file_name": f"i{number}.jpg", "width": 64, "height": 64})
            boxes.append(
                {"id": number, "image_id": number, "category_id": number, "iscrowd": 0,
                 "bbox": [8, 8, 24, 30], "area": 720.0}
            )  # fmt: skip
        categories = [{"id": i, "name": name} for i, name in enumerate(names)]
        told = {"images": images, "annotations": boxes, "categories": categories}
        target = root / split / "boxes.json" if split else root / "boxes.json"
        target.write_text(json.dumps(told))
    return root


def both(tmp_path):
    maps = mask_folder(tmp_path / "maps", {"train": 3, "val": 2})
    return maps, box_set(tmp_path / "boxes")


def test_classes_are_joined_by_name_and_truth_keeps_its_meaning(tmp_path):
    roots = both(tmp_path)
    each = [maskwright.read(root) for root in roots]
    joined = maskwright.read(list(roots))
    names = joined.classes.names
    assert set(names) == set(each[0].classes.names) | {"ball", "b"}
    assert {split: len(own) for split, own in joined.splits.items()} == {"train": 5, "val": 4}
    for number, dataset in enumerate(each):
        prefix = roots[number].name
        for split, samples in dataset.splits.items():
            mine = {one.name: one for one in joined.splits[split]}
            for sample in samples:
                found, wanted = mine[f"{prefix}/{sample.name}"], sample.read_truth()
                assert found.tasks == sample.tasks
                truth = found.read_truth()
                assert (found.read_image() == sample.read_image()).all()
                if wanted.semantic is not None:
                    known = wanted.semantic != wanted.classes.void
                    assert ((truth.semantic == truth.classes.void) == ~known).all()
                    told = np.array(names)[truth.semantic[known]]
                    assert (told == np.array(dataset.classes.names)[wanted.semantic[known]]).all()
                for mine_one, one in zip(truth.instances or (), wanted.instances or ()):
                    assert names[mine_one.class_id] == dataset.classes.names[one.class_id]
                    assert mine_one.box_xyxy == one.box_xyxy


def test_the_root_reads_the_same_set_again(tmp_path):
    joined = maskwright.read(list(both(tmp_path)))
    again = maskwright.read(str(joined.root))
    assert again.classes == joined.classes
    assert [s.name for s in again.splits["train"]] == [s.name for s in joined.splits["train"]]
    assert os.pathsep in str(joined.root)


def test_a_set_without_splits_is_trained_on(tmp_path):
    maps = mask_folder(tmp_path / "maps", {"train": 3, "val": 2})
    joined = maskwright.read([maps, box_set(tmp_path / "boxes", splits=("",))])
    assert {split: len(own) for split, own in joined.splits.items()} == {"train": 5, "val": 2}
    assert any("all of it is trained on" in note for note in joined.notes)


def test_classes_to_ignore_may_be_of_either(tmp_path):
    roots = list(both(tmp_path))
    joined = maskwright.read(roots, ignore=["ball"])
    assert "ball" not in joined.classes.names
    assert "b" in joined.classes.names
    with pytest.raises(ConfigError, match="no class 'x' to ignore"):
        maskwright.read(roots, ignore=["x"])
    with pytest.raises(ConfigError, match="got none"):
        maskwright.read([])


def test_one_command_trains_on_both_and_goes_on(tmp_path):
    """Lines here, boxes there: YOEO learns both, and every task is scored."""
    maps, boxes = both(tmp_path)
    out = tmp_path / "run"
    words = ["train", str(maps), str(boxes), "--model", "yoeo", "--set", "width=6", "--size",
             "64x64", "--set", "batch=2", "--set", "learnt_weights=true"]  # fmt: skip
    first, second = run_commands(
        tmp_path,
        [*words, "--steps", "4", "--out", str(out)],
        ["train", "--resume", "--out", str(out)],
    )
    assert first.code == 0, first
    assert second.code == 0, second
    settings = json.loads((out / "config.json").read_text())
    assert set(settings["classes"]) >= {"ball", "b"}
    assert settings["options"]["learnt_weights"] is True
    assert "mIoU" in (out / "report.html").read_text()
