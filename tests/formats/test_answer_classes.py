"""Ids and names in answers mean what the labelled set's own files mean, whatever is left out."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from small_sets import CLASSES, mask_folder, picture, save

import maskwright
from maskwright.core import ConfigError, Dataset, Instance, Mask, Panoptic, Sample, Segmentation
from maskwright.core.classes import Classes
from maskwright.formats import read, read_predictions, recast, write

SIZE = (24, 32)
NAMES = CLASSES.names


def objects(seed):
    """One object of each class, none touching another."""
    found = []
    for class_id in range(len(NAMES)):
        pixels = np.zeros(SIZE, bool)
        top = 2 + seed
        pixels[top : top + 8, 2 + 10 * class_id : 9 + 10 * class_id] = True
        mask = Mask.encode(pixels)
        found.append(Instance(class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask))
    return tuple(found)


def class_map(seed):
    ids = np.zeros(SIZE, np.uint8)
    for one in objects(seed):
        ids[one.mask.decode()] = one.class_id
    return ids


def memory(tmp_path, tasks):
    samples = []
    for i in range(2):
        forms = {}
        if "semantic" in tasks:
            forms["semantic"] = class_map(i)
        if "instances" in tasks:
            forms["instances"] = objects(i)
        if "panoptic" in tasks:
            segments = np.zeros(SIZE, np.int32)
            for number, one in enumerate(objects(i), start=1):
                segments[one.mask.decode()] = number
            class_of = {number: number - 1 for number in range(1, len(NAMES) + 1)}
            forms["panoptic"] = Panoptic(segment_ids=segments, class_of=class_of)
        samples.append(
            Sample(
                name=f"im{i}", image=picture(i, SIZE), tasks=frozenset(tasks),
                truth_of=Segmentation(size=SIZE, classes=CLASSES, **forms),
            )
        )  # fmt: skip
    return Dataset(root=tmp_path, format="memory", classes=CLASSES, splits={"val": tuple(samples)})


def own_masks(tmp_path):
    """A set of masks whose ids a model answers as they are, without a list of classes."""
    write(memory(tmp_path, {"semantic"}), tmp_path / "set", "index_masks")
    return tmp_path / "set", tmp_path / "set" / "val" / "masks"


def masks_with_void_class(tmp_path):
    """Id 1 of the files is ignored by the set itself."""
    data, found = own_masks(tmp_path)
    told = json.loads((data / "classes.json").read_text()) | {"ignore_index": 1}
    (data / "classes.json").write_text(json.dumps(told))
    return data, found


def named_masks(tmp_path):
    data, found = own_masks(tmp_path)
    shutil.copytree(found, tmp_path / "found")
    shutil.copy(data / "classes.json", tmp_path / "found")
    return data, tmp_path / "found"


def yolo_rows(tmp_path):
    """Ids with gaps: 1, 4, 9."""
    write(memory(tmp_path, {"instances", "boxes"}), tmp_path / "set", "yolo_seg")
    ids = (1, 4, 9)
    text = "train: images/val\nval: images/val\nvertices: centre\nnames:\n"
    text += "".join(f"  {i}: {name}\n" for i, name in zip(ids, NAMES))
    (tmp_path / "set" / "data.yaml").write_text(text)
    (tmp_path / "found").mkdir()
    for rows in (tmp_path / "set").rglob("im*.txt"):
        lines = [line.partition(" ") for line in rows.read_text().splitlines()]
        moved = [f"{ids[int(first)]} {rest}" for first, _, rest in lines]
        rows.write_text("\n".join(moved))
        (tmp_path / "found" / rows.name).write_text("\n".join(f"{row} 0.75" for row in moved))
    return tmp_path / "set", tmp_path / "found"


def coco_set(tmp_path):
    """Categories 7, 9, 30, and their results."""
    write(memory(tmp_path, {"instances", "boxes"}), tmp_path / "set", "coco")
    [file] = (tmp_path / "set").rglob("*.json")
    document = json.loads(file.read_text())
    ids = {entry["id"]: new for entry, new in zip(document["categories"], (7, 9, 30))}
    for entry in document["categories"]:
        entry["id"] = ids[entry["id"]]
    for entry in document["annotations"]:
        entry["category_id"] = ids[entry["category_id"]]
    file.write_text(json.dumps(document))
    return tmp_path / "set", document


def coco_results(tmp_path):
    data, document = coco_set(tmp_path)
    keys = ("image_id", "category_id", "segmentation", "bbox")
    found = [{key: one[key] for key in keys} | {"score": 0.5} for one in document["annotations"]]
    (tmp_path / "results.json").write_text(json.dumps(found))
    return data, tmp_path / "results.json"


def coco_annotations(tmp_path):
    data, document = coco_set(tmp_path)
    (tmp_path / "found.json").write_text(json.dumps(document))
    return data, tmp_path / "found.json"


def panoptic_results(tmp_path):
    write(memory(tmp_path, {"panoptic"}), tmp_path / "set", "coco_panoptic")
    [file] = (tmp_path / "set" / "annotations").glob("*.json")
    listed = json.loads(file.read_text())["annotations"]
    (tmp_path / "results.json").write_text(json.dumps({"annotations": listed}))
    shutil.copytree(file.with_suffix(""), tmp_path / "results")
    return tmp_path / "set", tmp_path / "results.json"


def voc_set(tmp_path):
    write(memory(tmp_path, {"semantic"}), tmp_path / "set", "voc")
    shutil.copytree(tmp_path / "set", tmp_path / "found")
    return tmp_path / "set", tmp_path / "found"


KINDS = (own_masks, masks_with_void_class, named_masks, yolo_rows, coco_results, coco_annotations,
         panoptic_results, voc_set)  # fmt: skip


@pytest.mark.parametrize("ignore", [(), *((name,) for name in NAMES), NAMES[:2], NAMES[1:]])
@pytest.mark.parametrize("kind", KINDS)
def test_right_answers_stay_right_whatever_is_ignored(tmp_path, kind, ignore):
    data, found = kind(tmp_path)
    if kind is masks_with_void_class and set(NAMES) <= {*ignore, NAMES[1]}:
        pytest.skip("nothing would be left")
    scores = maskwright.evaluate(found, data, ignore=ignore)
    assert scores.headline().value == 1.0
    assert not set(ignore) & set(scores.classes.names)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_read_as_the_truth_that_they_copy(tmp_path, kind):
    data, found = kind(tmp_path)
    dataset = read(data)
    samples = dataset.split("val", "all", "train")
    predictions = read_predictions(found, dataset, samples)
    one = predictions.read(samples[0], SIZE)
    truth = samples[0].read_truth()
    both = [
        form
        for form in ("semantic", "panoptic", "instances")
        if getattr(truth, form) is not None and getattr(one, form) is not None
    ]
    assert both
    for form in both:
        if form == "semantic":
            np.testing.assert_array_equal(one.semantic, truth.semantic)
        elif form == "instances":
            assert [each.class_id for each in one.instances] == [
                each.class_id for each in truth.instances
            ]
        else:
            assert one.panoptic.class_of == truth.panoptic.class_of


def test_a_class_beyond_the_set_is_void_or_what_it_stands_for(tmp_path):
    data, found = named_masks(tmp_path)
    told = json.loads((found / "classes.json").read_text())
    (found / "classes.json").write_text(json.dumps(told | {"names": ["grass", "line", "puck"]}))
    notes = []
    scores = maskwright.evaluate(found, data, note=notes.append)
    assert any("puck, which the labelled set lacks" in note and "--map puck=" in note
               for note in notes)  # fmt: skip
    assert any("never answers ball" in note for note in notes)
    assert scores.to_dict()["maps"]["areas"]["classes"][2]["iou"] == 0.0
    right = maskwright.evaluate(found, data, stands_for={"puck": "ball"}, note=notes.append)
    assert right.headline().value == 1.0
    with pytest.raises(ConfigError, match="puck to stand for void or a class"):
        maskwright.evaluate(found, data, stands_for={"puck": "goal"})


def test_results_without_a_score_are_told(tmp_path):
    data, file = coco_results(tmp_path)
    entries = json.loads(file.read_text())
    for entry in entries[:2]:
        del entry["score"]
    file.write_text(json.dumps(entries))
    notes = []
    maskwright.evaluate(file, data, note=notes.append)
    assert any("2 objects have no score and count as certain (1)" in note for note in notes)


@pytest.mark.parametrize(("name", "leave_out", "counted"), [
    ("predictions.json", None, "from 1, as an id beyond"),
    ("predictions.json", 2, "from 1, as Ultralytics does"),
    ("results.json", None, "from 1, as an id beyond"),
    ("results.json", 2, "as 0 grass, 1 line, 2 ball"),
])  # fmt: skip
def test_categories_counted_from_one_are_recognised(tmp_path, name, leave_out, counted):
    """What cannot be known is told: without the last class, the file's name decides."""
    write(memory(tmp_path, {"semantic", "instances", "boxes"}), tmp_path / "set", "yolo_seg")
    entries = [
        {"image_id": f"im{i}", "category_id": one.class_id + 1, "score": 0.5,
         "segmentation": one.mask.to_coco(), "bbox": [*one.box_xyxy[:2], 7, 8]}
        for i in range(2) for one in objects(i) if one.class_id != leave_out
    ]  # fmt: skip
    (tmp_path / name).write_text(json.dumps(entries))
    dataset = read(tmp_path / "set")
    samples = dataset.split("val", "train", "all")
    predictions = read_predictions(tmp_path / name, dataset, samples)
    assert any(counted in note for note in predictions.notes)
    found = predictions.read(samples[0], SIZE)
    shift = 0 if "from 1" in counted else 1
    assert [one.class_id for one in found.instances] == [
        class_id + shift for class_id in range(3) if class_id != leave_out
    ]


def test_recast_leaves_out_every_form_of_a_class():
    segments = np.zeros(SIZE, np.int32)
    segments[:4], segments[4:8] = 5, 6
    found = Segmentation(
        size=SIZE, classes=CLASSES, semantic=class_map(0), instances=objects(0),
        panoptic=Panoptic(segment_ids=segments, class_of={5: 0, 6: 1}, crowds=frozenset({6})),
    )  # fmt: skip
    fewer = Classes.of(["ball", "grass"])
    moved = recast(found, [1, 255, 0], fewer)
    expected = np.full(256, 255)
    expected[[0, 2]] = [1, 0]
    np.testing.assert_array_equal(moved.semantic, expected[found.semantic])
    assert [one.class_id for one in moved.instances] == [1, 0]
    assert moved.panoptic.class_of == {5: 1}
    np.testing.assert_array_equal(moved.panoptic.segment_ids, np.where(segments == 5, 5, 0))
    assert not moved.panoptic.crowds


def test_masks_of_a_set_that_names_its_classes_by_id_alone(tmp_path):
    """A set whose own void id a model answers, too."""
    data = mask_folder(tmp_path / "set", {"val": 1}, list(NAMES))
    shutil.copytree(data / "val" / "masks", tmp_path / "found")
    [mask] = (tmp_path / "found").iterdir()
    ids = np.full(SIZE, 255, np.uint8)
    save(mask, ids)
    assert maskwright.evaluate(tmp_path / "found", data).headline().value == 0.0
