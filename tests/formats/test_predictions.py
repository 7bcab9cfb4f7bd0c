"""Predictions on files come back as they were written, and belong to the images they are for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from small_sets import CLASSES, dataset, ids, mask_folder, picture, save

from maskwright.core import (
    Classes,
    ConfigError,
    DataError,
    Dataset,
    Instance,
    Mask,
    Panoptic,
    Sample,
    Segmentation,
)
from maskwright.core.object_arrays import ObjectArrays
from maskwright.formats import (
    coco,
    coco_entries,
    coco_results,
    index_masks,
    panoptic,
    read,
    read_predictions,
    voc,
    yolo,
)
from maskwright.formats.coco_entries import Known
from maskwright.formats.predictions import match_names

SIZE = (24, 32)


def blob(seed):
    pixels = np.zeros(SIZE, bool)
    top, left = np.random.default_rng(seed).integers(1, 12, 2)
    pixels[top : top + 6, left : left + 9] = True
    pixels[top + 2, left + 3] = False
    return Mask.encode(pixels)


def scored(seed, score=0.5):
    mask = blob(seed)
    return Instance(class_id=seed % 3, box_xyxy=mask.box_xyxy, mask=mask, score=score)


def labelled(count=3, name="scene"):
    """A set in memory whose truth has objects."""
    samples = tuple(
        Sample(
            name=f"{name}_{i}",
            image=picture(i, SIZE),
            truth_of=Segmentation(size=SIZE, classes=CLASSES, instances=(scored(i),)),
            tasks=frozenset({"instances", "boxes"}),
        )
        for i in range(count)
    )
    return Dataset(root=dataset().root, format="memory", classes=CLASSES, splits={"all": samples})


def as_coco(tmp_path, count=3):
    coco.write(labelled(count), tmp_path / "truth")
    return read(tmp_path / "truth")


def found_in(predictions, samples):
    return [predictions.read(sample, SIZE) for sample in samples]


# --- masks ----------------------------------------------------------------------------------------


def test_masks_beside_a_class_list_are_matched_by_names(tmp_path):
    truth = read(mask_folder(tmp_path / "truth", {"val": 2}, list(CLASSES.names)))
    swapped = ["ball", "grass", "line"]
    for i in range(2):
        save(tmp_path / "found" / "masks" / f"im{i}.png", ids(i + 9))
    (tmp_path / "found" / "classes.json").write_text(json.dumps(swapped))
    samples = truth.splits["val"]
    predictions = read_predictions(tmp_path / "found", truth, samples)
    assert predictions.tasks == {"semantic"}
    table = np.full(256, 255, np.uint8)
    table[:3] = [CLASSES.index(name) for name in swapped]
    for i, found in enumerate(found_in(predictions, samples)):
        np.testing.assert_array_equal(found.semantic, table[ids(i + 9)])
    (tmp_path / "found" / "classes.json").unlink()
    plain = read_predictions(tmp_path / "found", truth, samples)
    assert "no classes.json" in plain.notes[0]
    np.testing.assert_array_equal(plain.read(samples[0], SIZE).semantic, ids(9))


def test_an_image_without_a_mask_is_one_where_nothing_was_found(tmp_path):
    truth = read(mask_folder(tmp_path / "truth", {"val": 3}, list(CLASSES.names)))
    save(tmp_path / "found" / "im1.png", ids(1))
    samples = truth.splits["val"]
    predictions = read_predictions(tmp_path / "found", truth, samples)
    assert predictions.missing == ("im0", "im2")
    assert "2 of 3 images have no prediction" in predictions.notes[-1]
    assert (predictions.read(samples[0], SIZE).semantic == 255).all()
    np.testing.assert_array_equal(predictions.read(samples[1], SIZE).semantic, ids(1))


def test_masks_that_cannot_be_meant_are_told(tmp_path):
    truth = read(mask_folder(tmp_path / "truth", {"val": 1}, list(CLASSES.names)))
    samples = truth.splits["val"]
    with pytest.raises(DataError, match="does not exist"):
        read_predictions(tmp_path / "nothing", truth, samples)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no predictions.*found nothing"):
        read_predictions(tmp_path / "empty", truth, samples)
    save(tmp_path / "other" / "im7.png", ids(0))
    with pytest.raises(DataError, match="1 images that the labelled split lacks: im7"):
        read_predictions(tmp_path / "other", truth, samples)
    save(tmp_path / "two" / "a" / "im0.png", ids(0))
    save(tmp_path / "two" / "b" / "im0.png", ids(0))
    with pytest.raises(DataError, match="a/im0 and b/im0 both claim the image im0"):
        read_predictions(tmp_path / "two", truth, samples)
    save(tmp_path / "small" / "im0.png", ids(0, (12, 16)))
    with pytest.raises(DataError, match=r"12x16.*24x32"):
        read_predictions(tmp_path / "small", truth, samples).read(samples[0], SIZE)
    save(tmp_path / "names" / "im0.png", ids(0))
    (tmp_path / "names" / "classes.json").write_text('["grass", "line", "tree"]')
    (tmp_path / "names" / "classes.json").write_text('["tree", "bush", "hedge"]')
    with pytest.raises(ConfigError, match=r"tree, bush, hedge, but.*none in common.*--map"):
        read_predictions(tmp_path / "names", truth, samples)


def test_names_with_folders_win_and_those_that_mean_two_images_are_told(tmp_path):
    samples = [Sample(name=n, image=picture(0), truth_of=None, tasks=frozenset()) for n in
               ("day/a", "night/a", "b")]  # fmt: skip
    assert match_names(tmp_path, {"day/a": 0, "out/b": 0}, samples) == {"day/a": "day/a",
                                                                          "b": "out/b"}  # fmt: skip
    with pytest.raises(DataError, match="a could mean day/a or night/a"):
        match_names(tmp_path, {"a": 0}, samples)


# --- objects --------------------------------------------------------------------------------------


def results(truth, tmp_path, **change):
    """COCO results as pycocotools takes them, two objects in the first image, none in the last."""
    listed = json.loads((tmp_path / "truth" / "instances.json").read_text())
    image_ids = {image["file_name"]: image["id"] for image in listed["images"]}
    entries = []
    for number, sample in enumerate(truth.splits["all"][:-1]):
        for score in (0.9, 0.3)[: 2 - number]:
            instance = scored(number + 20)
            left, top, right, bottom = instance.box_xyxy
            entries.append(
                {
                    "image_id": image_ids[f"{sample.name}.png"],
                    "category_id": instance.class_id + 1,
                    "segmentation": instance.mask.to_coco(),
                    "bbox": [left, top, right - left, bottom - top],
                    "score": score,
                }
                | change
            )
    return entries


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_coco_results_are_those_that_pycocotools_loads(tmp_path):
    truth = as_coco(tmp_path)
    samples = truth.splits["all"]
    entries = results(truth, tmp_path)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(entries))
    predictions = read_predictions(file, truth, samples)
    assert predictions.tasks == {"instances", "boxes"}
    assert predictions.missing == ()
    reference = COCO(str(tmp_path / "truth" / "instances.json"))
    loaded = reference.loadRes(str(file))
    found = found_in(predictions, samples)
    assert [len(one.instances) for one in found] == [2, 1, 0]
    for image_id, one in enumerate(found, start=1):
        theirs = loaded.loadAnns(loaded.getAnnIds(imgIds=[image_id]))
        for own, other in zip(one.instances, theirs, strict=True):
            np.testing.assert_array_equal(own.mask.decode(), loaded.annToMask(other))
            assert own.score == other["score"]
            assert own.class_id == other["category_id"] - 1


def test_results_for_a_set_that_is_not_coco_use_names_and_class_ids(tmp_path):
    truth = labelled(2, name="12")
    entries = [
        {"image_id": "12_1", "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.25},
        {"image_id": "12_0", "category_id": 0, "bbox": [1, 2, 3, 4], "score": 0.5},
    ]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(entries))
    samples = truth.splits["all"]
    predictions = read_predictions(file, truth, samples)
    assert "is no COCO set" in predictions.notes[0]
    assert predictions.tasks == {"boxes"}
    (ball,) = predictions.read(samples[1], SIZE).instances
    assert (ball.class_id, ball.box_xyxy, ball.score) == (2, (1, 2, 4, 6), 0.25)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"score": float("nan")}, "entry 0 has the score nan"),
        ({"image_id": 77}, "entry 0 has image_id 77, which no image"),
        ({"category_id": 9}, "entry 0 has category_id 9"),
        ({"bbox": [1, 2, -3, 4]}, r"entry 0 has the box \[1, 2, -3, 4\]"),
        ({"bbox": None, "segmentation": None}, 'entry 0 has neither "bbox" nor'),
    ],
)
def test_faulty_results_name_file_and_entry(tmp_path, change, told):
    truth = as_coco(tmp_path)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results(truth, tmp_path, **change)))
    with pytest.raises(DataError, match=f"results.json: {told}"):
        read_predictions(file, truth, truth.splits["all"])


def test_masks_of_another_size_and_broken_json_are_told(tmp_path):
    truth = as_coco(tmp_path)
    file = tmp_path / "results.json"
    coded = Mask.encode(np.ones((8, 8), bool)).to_coco()
    file.write_text(json.dumps(results(truth, tmp_path, segmentation=coded)))
    samples = truth.splits["all"]
    predictions = read_predictions(file, truth, samples)
    with pytest.raises(DataError, match=r"has a mask of \(8, 8\).*is \(24, 32\)"):
        predictions.read(samples[0], SIZE)
    file.write_text('[{"image_id": 1,')
    with pytest.raises(DataError, match=r"results\.json is no valid JSON"):
        read_predictions(file, truth, samples)


def test_annotations_with_scores_serve_as_predictions(tmp_path):
    truth = as_coco(tmp_path)
    guessed = Dataset(
        root=truth.root,
        format="memory",
        classes=CLASSES,
        splits={
            "all": tuple(
                replace(sample, truth_of=replace(sample.read_truth(), instances=(scored(i + 5),)))
                for i, sample in enumerate(truth.splits["all"])
            )
        },
    )
    coco.write(guessed, tmp_path / "found")
    samples = truth.splits["all"]
    predictions = read_predictions(tmp_path / "found" / "instances.json", truth, samples)
    for i, found in enumerate(found_in(predictions, samples)):
        (one,) = found.instances
        np.testing.assert_array_equal(one.mask.decode(), blob(i + 5).decode())
        assert one.score == 0.5


def test_class_maps_and_objects_of_one_folder_come_together(tmp_path):
    truth = as_coco(tmp_path, 2)
    samples = truth.splits["all"]
    (tmp_path / "found").mkdir()
    for i, sample in enumerate(samples):
        categories = np.where(ids(i) == 255, 255, ids(i) + 1).astype(np.uint8)
        save(tmp_path / "found" / "masks" / f"{sample.name}.png", categories)
    (tmp_path / "found" / "results.json").write_text(json.dumps(results(truth, tmp_path)))
    predictions = read_predictions(tmp_path / "found", truth, samples)
    assert predictions.tasks == {"semantic", "instances", "boxes"}
    found = predictions.read(samples[0], SIZE)
    np.testing.assert_array_equal(found.semantic, ids(0))
    assert len(found.instances) == 2


def test_yolo_rows_are_read_with_their_confidence(tmp_path):
    truth = labelled(3)
    yolo.write(truth, tmp_path / "set")
    texts = sorted((tmp_path / "set").rglob("scene_*.txt"))
    assert len(texts) == 3
    (tmp_path / "found" / "labels").mkdir(parents=True)
    for text in texts[:2]:
        (tmp_path / "found" / "labels" / text.name).write_text(text.read_text())
    samples = truth.splits["all"]
    predictions = read_predictions(tmp_path / "found", truth, samples, options={"vertices": "edge"})
    assert predictions.missing == ()
    first, second, third = found_in(predictions, samples)
    assert third.instances == ()
    for i, found in enumerate((first, second)):
        (one,) = found.instances
        assert one.class_id == i
        assert one.score in (0.5, 1.0)


def test_index_masks_that_were_written_score_as_predictions(tmp_path):
    """What one tool writes as a set is another's prediction."""
    truth = dataset(val=2)
    index_masks.write(truth, tmp_path / "set")
    predictions = read_predictions(tmp_path / "set" / "val", truth, truth.splits["val"])
    for i, found in enumerate(found_in(predictions, truth.splits["val"])):
        np.testing.assert_array_equal(found.semantic, ids(i))


# --- panoptic segments, and sets of other formats -------------------------------------------------


def panoptic_set(tmp_path, count=2):
    """A COCO panoptic set on disk, and what its truth was."""
    known = []
    for i in range(count):
        segments = np.zeros(SIZE, np.int32)
        segments[:10], segments[12:20, 3 + i : 20] = 1, 300 + i
        known.append(Panoptic(segment_ids=segments, class_of={1: 0, 300 + i: 2}))
    samples = tuple(
        Sample(
            name=f"scene_{i}",
            image=picture(i, SIZE),
            truth_of=Segmentation(size=SIZE, classes=CLASSES, panoptic=one),
            tasks=frozenset({"panoptic"}),
        )
        for i, one in enumerate(known)
    )
    memory = Dataset(root=tmp_path, format="memory", classes=CLASSES, splits={"val": samples})
    panoptic.write(memory, tmp_path / "set")
    return read(tmp_path / "set"), known


def test_panoptic_results_are_found_beside_their_json(tmp_path):
    truth, known = panoptic_set(tmp_path)
    samples = truth.splits["val"]
    (annotations,) = (tmp_path / "set" / "annotations").glob("*.json")
    file = tmp_path / "results.json"
    listed = json.loads(annotations.read_text())
    file.write_text(json.dumps({"annotations": listed["annotations"]}))  # the set tells the rest
    shutil.copytree(annotations.with_suffix(""), tmp_path / "results")
    predictions = read_predictions(file, truth, samples)
    assert predictions.tasks == {"panoptic", "semantic"}
    for found, expected in zip(found_in(predictions, samples), known):
        np.testing.assert_array_equal(found.panoptic.segment_ids > 0, expected.segment_ids > 0)
        assert sorted(found.panoptic.class_of.values()) == [0, 2]
    listed["annotations"][0]["segments_info"][0]["category_id"] = 77
    file.write_text(json.dumps(listed))
    with pytest.raises(DataError, match=r"results\.json: .*has category_id 77"):
        read_predictions(file, truth, samples)


def test_a_set_of_any_format_serves_as_predictions(tmp_path):
    truth = dataset(val=2)
    known = Dataset(root=truth.root, format="memory", classes=CLASSES, splits=truth.splits)
    voc.write(known, tmp_path / "voc")
    other = read(tmp_path / "voc")
    predictions = read_predictions(tmp_path / "voc", other, other.splits["val"])
    assert "semantic" in predictions.tasks
    for sample, found in zip(other.splits["val"], found_in(predictions, other.splits["val"])):
        np.testing.assert_array_equal(found.semantic, sample.read_truth().semantic)
    with pytest.raises(ConfigError, match="none in common"):
        read_predictions(
            tmp_path / "voc", replace(truth, classes=Classes.of(["x"])), truth.splits["val"]
        )


VALUES = {
    "image_id": [1, 1, 1, "a", 2.0, True, None, [1]],
    "category_id": [1, 1, 1, 2, 1.0, True, "1", None, 7],
    "score": [0.5, 0.5, 1, None, float("nan"), float("inf"), "0.5", 10**400, True],
    "bbox": [[1, 2, 3, 4.5], [1.0, 2.0, 3.0, 4.0], None, [1, 2, -3, 4], [1, 2, 3], [1, 2, 3, "4"],
             [1, 2, float("nan"), 4], 5],
    "segmentation": [{"size": [1, 1], "counts": "01"}, [[0, 0, 1, 0, 1, 1]], None, []],
    "iscrowd": [None, None, None, 0, 1, 2, "0"],
}  # fmt: skip
ENTRY = st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in VALUES.items()})


@settings(max_examples=500)
@given(st.lists(ENTRY | st.sampled_from([None, 3]), max_size=3), st.integers(0, 3))
def test_columns_pass_nothing_that_the_entries_one_by_one_would_not(entries, plain):
    good = {"image_id": 1, "category_id": 2, "score": 0.5, "bbox": [0, 0, 1.5, 2]}
    content, categories = [good] * plain + entries, {1: 0, 2: 1}
    faults = [coco_entries.fault_of(entry, Known(categories=categories)) for entry in content]
    assert not (coco_results._are_whole(content, categories) and any(faults))
    assert coco_results._are_whole([good] * max(1, plain), categories)


@pytest.mark.parametrize("boxes", [True, False])
def test_results_as_arrays_are_those_one_by_one(tmp_path, boxes):
    truth = as_coco(tmp_path)
    entries = results(truth, tmp_path)
    for entry in entries:
        entry.pop("bbox", None)
        if boxes:
            entry["bbox"] = [1, 2.5, 3, 4]
    file = tmp_path / "results.json"
    whole = []
    for more in ({}, {"iscrowd": 1}):  # a crowd among them, and they come one by one
        file.write_text(json.dumps([*entries, entries[0] | more]))
        samples = truth.splits["all"]
        found = found_in(read_predictions(file, truth, samples), samples)
        assert isinstance(found[0].instances, tuple if more else ObjectArrays)
        whole.append(
            [one.instances[: len(one.instances) - (i == 0)] for i, one in enumerate(found)]
        )
    assert [tuple(one) for one in whole[0]] == [tuple(one) for one in whole[1]]
    assert len(whole[0][0]) == 2
