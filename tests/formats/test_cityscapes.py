"""Cityscapes: ids, groups, polygons alone, names of cities; classes of one's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from small_sets import dataset, picture, save

from maskwright import formats
from maskwright.core import ConfigError, DataError
from maskwright.formats import cityscapes
from maskwright.formats.cityscapes_labels import LABELS, classes_of

SIZE = (24, 32)
STEM = "aachen/aachen_000000_000019"
ROAD, CAR, CARAVAN, TRAIN_ROAD, TRAIN_CAR = 7, 26, 29, 0, 13


def save16(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids.astype(np.uint16)).save(path)


def folder(root, pngs=True):
    save(root / f"leftImg8bit/train/{STEM}_leftImg8bit.png", picture(1))
    ids = np.full(SIZE, ROAD, np.uint8)
    ids[:5] = 0
    ids[5:8] = CARAVAN
    ids[10:14, 3:9] = ids[10:14, 12:20] = ids[20, 5:30] = CAR
    numbered = ids.astype(int)
    numbered[5:8] = CARAVAN * 1000
    numbered[10:14, 3:9], numbered[10:14, 12:20] = CAR * 1000, CAR * 1000 + 1
    base = root / f"gtFine/train/{STEM}_gtFine"
    if pngs:
        save(base.with_name(base.name + "_labelIds.png"), ids)
        save16(base.with_name(base.name + "_instanceIds.png"), numbered)

    def box(left, top, right, bottom):
        return [[left, top], [right, top], [right, bottom], [left, bottom]]

    objects = [
        {"label": "road", "polygon": box(0, 0, 31, 23)},
        {"label": "sky", "polygon": box(0, 0, 31, 23), "deleted": 1},
        {"label": "out of roi", "polygon": box(0, -3, 31, 4)},
        {"label": "caravan", "polygon": box(0, 5, 31, 7)},
        {"label": "car", "polygon": box(3, 10, 8, 13)},
        {"label": "car", "polygon": box(12, 10, 19, 13)},
        {"label": "cargroup", "polygon": box(5, 20, 29, 20)},
    ]
    document = {"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": objects}
    path = base.with_name(base.name + "_polygons.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return root


def test_the_table_is_the_published_one():
    classes = classes_of(LABELS)
    assert len(LABELS) == 35
    assert len(classes) == 19
    assert classes.names[0] == "road"
    assert classes.names[-1] == "bicycle"
    assert [classes.names[i] for i in sorted(classes.things)] == [
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]  # fmt: skip
    assert classes.colours[classes.index("vegetation")] == (107, 142, 35)


@pytest.mark.parametrize("pngs", [True, False])
def test_ids_groups_and_polygons(tmp_path, pngs):
    found = formats.read(folder(tmp_path, pngs))
    assert found.format == "cityscapes"
    (one,) = found.splits["train"]
    assert one.name == "aachen_000000_000019"
    truth = one.read_truth()
    expected = np.full(SIZE, TRAIN_ROAD, np.uint8)
    expected[:8] = 255  # what isn't trained
    expected[10:14, 3:9] = expected[10:14, 12:20] = expected[20, 5:30] = TRAIN_CAR
    np.testing.assert_array_equal(truth.semantic, expected)
    found = sorted((i.class_id, i.mask.area, i.crowd) for i in truth.instances)
    assert found == [(TRAIN_CAR, 24, False), (TRAIN_CAR, 25, True), (TRAIN_CAR, 32, False)]


def test_written_ids_are_the_published_ones_and_polygons_draw_them_again(tmp_path):
    before = cityscapes.read(folder(tmp_path / "one"))
    assert cityscapes.write(before, tmp_path / "two") == ()
    assert not (tmp_path / "two/labels.json").exists()
    base = tmp_path / f"two/gtFine/train/{STEM}_gtFine"
    ids = np.array(Image.open(base.with_name(base.name + "_labelIds.png")))
    assert set(np.unique(ids)) == {0, ROAD, CAR}
    first = cityscapes.read(tmp_path / "two").splits["train"][0].read_truth()
    for kind in ("labelIds", "instanceIds"):
        base.with_name(f"{base.name}_{kind}.png").unlink()
    again = cityscapes.read(tmp_path / "two").splits["train"][0].read_truth()
    np.testing.assert_array_equal(first.semantic, again.semantic)
    assert {i.mask.packed for i in first.instances} == {i.mask.packed for i in again.instances}


def test_own_classes_bring_their_table_and_losses_are_told(tmp_path):
    told = cityscapes.write(dataset(train=2), tmp_path / "out")
    assert "cityscapes can't hold 2 objects that are boxes without a mask." in told
    found = cityscapes.read(tmp_path / "out")
    assert found.classes.names == ("grass", "line", "ball")
    assert found.classes.things == {2}
    assert [one.name for one in found.splits["train"]] == ["scene_0", "scene_1"]
    assert (tmp_path / "out/leftImg8bit/train/scene/scene_0_leftImg8bit.png").is_file()
    table = json.loads((tmp_path / "out/labels.json").read_text())
    assert [(row["name"], row["id"], row["trainId"]) for row in table] == [
        ("grass", 1, 0),
        ("line", 2, 1),
        ("ball", 3, 2),
    ]
    (tmp_path / "out/labels.json").write_text('[{"name": "grass"}]')
    with pytest.raises(DataError, match=r"labels\.json: expected a list"):
        cityscapes.read(tmp_path / "out")


def test_faults_are_named(tmp_path):
    root = folder(tmp_path)
    base = root / f"gtFine/train/{STEM}_gtFine"
    save(base.with_name(base.name + "_labelIds.png"), np.full(SIZE, 77, np.uint8))
    with pytest.raises(DataError, match=r"labelIds\.png holds ids 77"):
        cityscapes.read(root).splits["train"][0].read_truth()
    save(base.with_name(base.name + "_labelIds.png"), np.full((9, 9), 7, np.uint8))
    with pytest.raises(DataError, match=r"labelIds\.png is 9x9"):
        cityscapes.read(root).splits["train"][0].read_truth()
    base.with_name(base.name + "_labelIds.png").unlink()
    for text, wanted in (
        ("{", "no valid JSON"),
        ('{"objects": []}', "imgHeight"),
        ('{"imgHeight": 24, "imgWidth": 32, "objects": [{"label": "ufo", "polygon": [[1, 1]]}]}',
         "'ufo'"),
    ):  # fmt: skip
        base.with_name(base.name + "_polygons.json").write_text(text)
        with pytest.raises(DataError, match=r"polygons\.json") as caught:
            cityscapes.read(root).splits["train"][0].read_truth()
        assert wanted in str(caught.value)
    base.with_name(base.name + "_polygons.json").unlink()
    with pytest.raises(DataError, match="has neither"):
        cityscapes.read(root)
    with pytest.raises(ConfigError, match="no class 'ufo'"):
        cityscapes.read(root, ignore=["ufo"])
