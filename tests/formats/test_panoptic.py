"""COCO panoptic: ids, categories, crowds and void as the file format tells; faults are named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_sets import CLASSES, dataset, picture, save

from maskwright import formats
from maskwright.core import DataError, Dataset, Instance, Mask, Sample, Segmentation
from maskwright.formats import panoptic

SIZE = (24, 32)


def document(**changes):
    base = {
        "images": [{"id": 7, "file_name": "a.png", "height": 24, "width": 32}],
        "annotations": [
            {
                "image_id": 7,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 3, "category_id": 10, "iscrowd": 0},
                    {"id": 70000, "category_id": 25, "iscrowd": 0},
                    {"id": 300, "category_id": 25, "iscrowd": 1},
                ],
            }
        ],
        "categories": [
            {"id": 25, "name": "ball", "isthing": 1},
            {"id": 10, "name": "grass", "isthing": 0},
        ],
    }
    return base | changes


def folder(root, content=None, ids=None):
    numbers = np.zeros(SIZE, np.int64)
    numbers[:10], numbers[12:14], numbers[20] = 3, 70000, 300
    numbers = numbers if ids is None else ids
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1)
    save(root / "annotations/panoptic_val2017/a.png", colours.astype(np.uint8))
    save(root / "val2017/a.png", picture(1))
    text = json.dumps(document() if content is None else content)
    (root / "annotations/panoptic_val2017.json").write_bytes(("\ufeff" + text).encode())
    return root


def test_ids_are_red_plus_256_green_plus_65536_blue(tmp_path):
    found = formats.read(folder(tmp_path))
    assert found.format == "coco_panoptic"
    assert (found.classes.names, found.classes.things) == (("grass", "ball"), {1})
    (one,) = found.splits["val"]
    truth = one.read_truth()
    assert truth.panoptic.class_of == {3: 0, 300: 1, 70000: 1}
    assert truth.panoptic.crowds == {300}
    assert (truth.panoptic.segment_ids[12] == 70000).all()
    assert np.unique(truth.semantic[10:12]).tolist() == [255]
    areas = [(i.class_id, i.mask.area, i.crowd) for i in truth.instances]
    assert areas == [(1, 32, True), (1, 64, False)]  # the grass is no object


def test_ignored_categories_are_void(tmp_path):
    found = panoptic.read(folder(tmp_path), ignore=["ball"])
    truth = found.splits["val"][0].read_truth()
    assert set(np.unique(truth.semantic)) == {0, 255}
    assert set(np.unique(truth.panoptic.segment_ids)) == {0, 3}


def test_segments_come_back_with_their_ids(tmp_path):
    before = panoptic.read(folder(tmp_path / "one")).splits["val"][0].read_truth()
    assert panoptic.write(panoptic.read(tmp_path / "one"), tmp_path / "two") == ()
    after = panoptic.read(tmp_path / "two").splits["val"][0].read_truth()
    np.testing.assert_array_equal(before.panoptic.segment_ids, after.panoptic.segment_ids)
    assert after.panoptic.class_of == before.panoptic.class_of
    written = json.loads((tmp_path / "two/annotations/panoptic_val.json").read_text())
    infos = written["annotations"][0]["segments_info"]
    assert infos[2] == {"id": 70000, "category_id": 25, "area": 64, "bbox": [0, 12, 32, 2],
                        "iscrowd": 0}  # fmt: skip


def test_things_that_nothing_tells_apart_are_a_crowd(tmp_path):
    ids = np.full(SIZE, 2, np.uint8)  # ball, a thing
    ids[:4] = 0
    mask = Mask.encode(np.pad(np.ones((3, 3), bool), ((10, 11), (10, 19))))
    ball = Instance(class_id=2, box_xyxy=mask.box_xyxy, mask=mask)
    truth = Segmentation(size=SIZE, classes=CLASSES, semantic=ids, instances=(ball,))
    one = Sample(name="a", image=picture(0), truth_of=truth, tasks=frozenset({"semantic"}))
    small = Dataset(root=tmp_path, format="x", classes=CLASSES, splits={"all": (one,)})
    assert panoptic.write(small, tmp_path / "out") == ()
    after = panoptic.read(tmp_path / "out").splits["all"][0].read_truth()
    np.testing.assert_array_equal(after.semantic, ids)
    assert [(i.crowd, i.mask.area) for i in after.instances] == [
        (True, 24 * 32 - 128 - 9),
        (False, 9),
    ]


def test_what_is_lost_is_told(tmp_path):
    told = panoptic.write(dataset(train=2), tmp_path / "out")
    assert "coco_panoptic can't hold the track ids of 2 objects." in told
    assert "coco_panoptic can't hold 2 objects that are boxes without a mask." in told
    assert any("class maps of 2 images under objects" in text and "IoU" in text for text in told)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"annotations": []}, "image a.png has no annotation"),
        ({"annotations": document()["annotations"] * 2}, "stands there twice"),
        ({"annotations": [{"image_id": 9}]}, "image_id 9, which no image has"),
        ({"annotations": [{"image_id": 7, "file_name": "../a.png"}]}, "'../a.png'"),
        ({"annotations": [{"image_id": 7, "file_name": "a.png"}]}, "segments_info"),
        ({"annotations": [{"image_id": 7, "file_name": "b.png", "segments_info": []}]},
         "b.png does not exist"),
        ({"annotations": [{"image_id": 7, "file_name": "a.png", "segments_info": [{"id": 0}]}]},
         "expected an id in 1..16777215"),
        ({"categories": [{"id": 10, "name": "grass"}]}, "category_id 25, but the categories are"),
    ],
)  # fmt: skip
def test_faults_are_named_and_kept_for_later_when_lenient(tmp_path, change, wanted):
    root = folder(tmp_path, document(**change))
    with pytest.raises(DataError, match=r"panoptic_val2017\.json") as caught:
        panoptic.read(root)
    assert wanted in str(caught.value)
    lenient = panoptic.read(root, strict=False)
    with pytest.raises(DataError, match=r"panoptic_val2017\.json|does not exist"):
        lenient.splits["val"][0].read_truth()


def test_pixels_that_the_json_lacks_are_named(tmp_path):
    root = folder(tmp_path, ids=np.full(SIZE, 5))
    with pytest.raises(DataError, match=r"a\.png holds segment ids 5 that its entry"):
        panoptic.read(root).splits["val"][0].read_truth()
    root = folder(tmp_path, ids=np.full((9, 9), 3))
    with pytest.raises(DataError, match=r"a\.png is 9x9"):
        panoptic.read(root).splits["val"][0].read_truth()
