"""`maskwright evaluate` on files alone: anybody's predictions, two of them against each other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_sets
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


@pytest.fixture
def guesses(tmp_path, original):
    """Two folders of masks for the val split: the truth with mistakes, few and many."""
    folders = {}
    for name, share in (("few", 0.05), ("many", 0.4)):
        rng = np.random.default_rng(3)
        for mask in sorted((original / "val" / "masks").iterdir()):
            truth = small_sets.ids(int(mask.stem[2:]), (64, 64))
            wrong = rng.random(truth.shape) < share
            guess = np.where(wrong, rng.integers(0, 3, truth.shape), truth % 3).astype(np.uint8)
            small_sets.save(tmp_path / name / mask.name, guess)
        folders[name] = tmp_path / name
    return folders


def test_masks_are_scored_and_compared(run, original, guesses, tmp_path):
    page, plain = tmp_path / "page.html", tmp_path / "scores.json"
    few, many = guesses["few"], guesses["many"]
    result = run("evaluate", few, original, "--ci", "--against", many, "--out", plain,
                 "--report", page)  # fmt: skip
    assert result.code == 0, result
    for wanted in ("no classes.json", "mIoU 0.", "boundary IoU 0.", "over 3 images", "[0.",
                   "few minus many", "(too few images to tell: "):  # fmt: skip
        assert wanted in result.out
    scores = json.loads(plain.read_text())
    first, second = scores["maps"], scores["against"]["maps"]
    gain = first["areas"]["miou"] - second["areas"]["miou"]
    assert scores["gains"]["mIoU"]["value"] == pytest.approx(gain)
    assert scores["intervals"]["mIoU"]["low"] <= first["areas"]["miou"]
    assert "Against many" in page.read_text()


def test_the_images_that_chose_the_weights_are_named(run, trained, guesses, original, tmp_path):
    page = tmp_path / "page.html"
    chosen = "These images (val) have chosen the model's weights"
    result = run("evaluate", trained, original, "--threads", 1, "--report", page)
    assert result.code == 0, result
    assert chosen in result.out
    assert chosen.replace("'", "&#x27;") in page.read_text()
    first = result.out[result.out.rindex("\nmIoU ", 0, result.out.index("Background alone")) :]
    assert "95 % interval" in first.splitlines()[1]
    assert "3 images" in first.splitlines()[1]
    assert chosen not in run("evaluate", trained, original, "--split", "train", "--threads", 1).out
    assert chosen not in run("evaluate", guesses["few"], original).out


def test_predictions_of_predict_score_as_the_model_does(run, original, bundle, tmp_path):
    found, scores = tmp_path / "found", []
    assert run("predict", bundle, original / "val" / "images", "--out", found).code == 0
    for what in (bundle, found):
        result = run("evaluate", what, original, "--out", tmp_path / "s.json")
        assert result.code == 0, result
        scores.append(json.loads((tmp_path / "s.json").read_text())["maps"])
    assert scores[0] == scores[1]


def test_predictions_at_fault_are_told(refused, run, original, guesses, tmp_path):
    few = guesses["few"]
    assert "does not exist" in refused("evaluate", tmp_path / "none", original)
    (tmp_path / "empty").mkdir()
    assert "holds no predictions" in refused("evaluate", tmp_path / "empty", original)
    assert "kitti" in refused("evaluate", few, original, "--protocol", "kitti")
    assert "middle" in refused("evaluate", few, original, "--vertices", "middle")
    name = next(few.iterdir())
    name.write_bytes(name.read_bytes()[:60])
    assert name.name in refused("evaluate", few, original)
    result = run("evaluate", few, original, "--skip-bad")
    assert result.code == 0, result
    assert "1 images were left out" in result.out
    assert "over 2 images" in result.out
    message = refused("evaluate", few, original, "--skip-bad", "--against", guesses["many"])
    assert "same images" in message


def test_sizes_go_by_the_area_that_a_coco_file_states(run, tmp_path):
    """Two boxes of 400 pixels, stated as 5000 and 50: COCO's own tool sorts by what is stated."""
    small_sets.save(tmp_path / "set" / "images" / "a.png", np.zeros((100, 120), np.uint8))
    corners = ((5, 5), (50, 50))
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "width": 120, "height": 100}],
        "categories": [{"id": 1, "name": "ball"}],
        "annotations": [
            {"id": 1 + place, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": area,
             "bbox": [x, y, 20, 20],
             "segmentation": [[x, y, x + 20, y, x + 20, y + 20, x, y + 20]]}
            for place, ((x, y), area) in enumerate(zip(corners, (5000, 50)))
        ],
    }  # fmt: skip
    (tmp_path / "set" / "instances.json").write_text(json.dumps(truth))
    found = [
        {"image_id": 1, "category_id": 1, "bbox": [x, y, 20, 20], "score": score}
        for x, y, score in ((5, 5, 0.9), (90, 5, 0.95))
    ]
    (tmp_path / "found.json").write_text(json.dumps(found))
    plain = tmp_path / "scores.json"
    run("evaluate", tmp_path / "found.json", tmp_path / "set", "--out", plain)
    ours = json.loads(plain.read_text())["objects"]["boxes"]["summary"]

    theirs = COCO(str(tmp_path / "set" / "instances.json"))
    peer = COCOeval(theirs, theirs.loadRes(found), "bbox")
    peer.evaluate()
    peer.accumulate()
    peer.summarize()
    expected = dict(zip(("AP", "AP50", "AP75", "APs", "APm", "APl"), peer.stats))
    assert (expected["APs"], expected["APl"]) == (0, -1)
    for name, value in expected.items():
        assert (-1 if ours[name] is None else ours[name]) == pytest.approx(value), name
