"""What training can't come to is told before it starts: from counts made by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from small_sets import CLASSES, dataset, ids, mask_folder, picture, save

from maskwright import formats
from maskwright.core import DataError, Dataset, Instance, Label, Mask, Sample, Segmentation
from maskwright.jobs import check, check_for_training, count_truth
from maskwright.jobs.duplicates import fingerprint

NAMES = ["grass", "line", "ball"]


def memory(**splits):
    """Split -> truths."""
    made = {}
    for split, truths in splits.items():
        made[split] = tuple(
            Sample(
                name=f"{split}{i}",
                image=picture(i, truth.size),
                truth_of=truth,
                tasks=tasks_of(truth),
            )
            for i, truth in enumerate(truths)
        )
    return Dataset(root=Path("memory"), format="x", classes=CLASSES, splits=made)


def tasks_of(truth):
    given = {"semantic": truth.semantic, "boxes": truth.instances, "labels": truth.labels}
    return frozenset(task for task, part in given.items() if part is not None)


def drawn(*rows):
    pixels = np.array(rows, np.uint8)
    return Segmentation(size=pixels.shape, classes=CLASSES, semantic=pixels)


@pytest.mark.parametrize("void", ["train", "val"])
def test_a_split_that_is_void_all_over_is_refused(tmp_path, void):
    root = mask_folder(tmp_path, {"train": 2, "val": 2}, NAMES)
    for mask in (root / void / "masks").iterdir():
        save(mask, np.full((24, 32), 255, np.uint8))
    found = check_for_training(formats.read(root), {"semantic"})
    (why,) = found.refusals
    assert f"The images in {void} of {root} (2) hold 0 labelled pixels" in why
    assert "expected at least one of grass, line, ball" in why
    with pytest.raises(DataError, match="hold 0 labelled pixels"):
        found.require()
    told = [one for one in check(formats.read(root, strict=False)) if one.severity == "error"]
    assert [(one.kind, one.file) for one in told] == [("nothing-labelled", void)]


def test_a_sound_set_has_no_remark_and_tells_shapes_and_counts():
    small = memory(train=[drawn([0, 1, 2, 255]), drawn([0, 0], [1, 1])], val=[drawn([2, 1])])
    calls = []
    found = check_for_training(small, {"semantic"}, progress=lambda *now: calls.append(now))
    assert (found.refusals, found.remarks) == ((), ())
    found.require()
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert dict(found.aspects) == {4.0: 1, 1.0: 1, 2.0: 1}
    assert found.counts["semantic"]["train"].tolist() == [[1, 1, 1], [2, 2, 0]]
    assert found.counts["semantic"]["val"].tolist() == [[0, 1, 1]]


def test_counts_that_are_known_spare_the_reading():
    def refuse():
        raise AssertionError("the truth was read")

    tasks = frozenset({"semantic"})
    one = Sample(name="a", image=picture(0), truth_of=refuse, tasks=tasks)
    small = Dataset(root=Path("m"), format="x", classes=CLASSES, splits={"train": (one,)})
    counts = {"semantic": {"train": np.array([[5, 0, 1]])}}
    found = check_for_training(small, tasks, counts=counts)
    assert found.refusals == ()
    assert found.aspects == ((1.33, 1),)
    assert "no labelled pixel in train: line." in found.remarks[0]
    with pytest.raises(AssertionError, match="was read"):
        check_for_training(small, tasks)


def test_classes_and_images_that_teach_nothing_are_named():
    small = memory(train=[drawn([0, 255]), drawn([255, 255])], val=[drawn([0, 2])])
    bare, unseen, nowhere = check_for_training(small, {"semantic"}).remarks
    assert bare == "1 of 2 images in train hold no labelled pixel, so they teach nothing: train1."
    assert "no labelled pixel in train but some in val: ball." in unseen
    assert "no labelled pixel in train or val: line." in nowhere


def test_a_task_that_nobody_labelled_is_refused_and_crowds_are_no_objects():
    box = Instance(class_id=0, box_xyxy=(0, 0, 2, 2))
    crowd = Instance(class_id=1, box_xyxy=(0, 0, 2, 2), crowd=True)
    truths = [
        Segmentation(size=(4, 4), classes=CLASSES, instances=own) for own in ((box,), (crowd,), ())
    ]
    small = memory(train=truths[:1], test=truths[1:])
    assert (
        "None of the images in train of memory (1) has a class map"
        in check_for_training(small, {"semantic"}).refusals[0]
    )
    (why,) = check_for_training(small, {"boxes"}).refusals
    assert "The images in test of memory (2) hold 0 objects" in why
    with_val = Dataset(
        root=Path("m"),
        format="x",
        classes=CLASSES,
        splits={"train": small.splits["train"], "val": small.splits["train"], "test": ()},
    )
    assert check_for_training(with_val, {"boxes"}).refusals == ()


def test_each_task_is_counted_as_it_is_learned():
    mask = Mask.encode(ids(1) == 1)
    objects = (
        Instance(class_id=1, box_xyxy=mask.box_xyxy, mask=mask),
        Instance(class_id=2, box_xyxy=(0, 0, 1, 1)),
        Instance(class_id=2, box_xyxy=(0, 0, 1, 1), crowd=True),
    )
    truth = Segmentation(
        size=(24, 32),
        classes=CLASSES,
        semantic=ids(1),
        instances=objects,
        labels=(Label(class_id=2),),
    )
    pixels = [int((ids(1) == i).sum()) for i in range(3)]
    assert count_truth(truth, "semantic").tolist() == pixels
    assert count_truth(truth, "boxes").tolist() == [0, 1, 1]
    assert count_truth(truth, "instances").tolist() == [0, 1, 0]
    assert count_truth(truth, "labels").tolist() == [0, 0, 1]
    assert count_truth(truth, "panoptic").tolist() == [0, 0, 0]


def test_near_duplicates_are_looked_for_where_fingerprints_are_at_hand():
    small = dataset(train=3, val=2)
    prints = {
        split: [fingerprint(one.read_image()) for one in own] for split, own in small.splits.items()
    }
    tasks = {"semantic"}
    before = check_for_training(small, tasks, prints=prints).remarks
    assert not any("too good" in remark for remark in before)
    brighter = np.clip(small.splits["train"][2].read_image() * 1.1 + 5, 0, 255).astype(np.uint8)
    prints["val"][1] = fingerprint(cv2.resize(brighter, (64, 48)))
    (told,) = set(check_for_training(small, tasks, prints=prints).remarks) - set(before)
    assert told.startswith("1 of 2 images in val show what one in train shows: scene_101 (scene_2)")
