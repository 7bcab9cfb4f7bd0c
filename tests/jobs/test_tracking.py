"""Identities over frames, on scenes whose truth has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskwright.core import Classes, Instance, Mask, Segmentation
from maskwright.core.errors import ConfigError
from maskwright.jobs.tracking import Tracker
from maskwright.metrics.identity import IdentityCounter
from maskwright.synthesis import pitch_sequence

CLASSES = Classes.of(["ball", "robot"])
SIZE = (60, 80)


def square(x: float, y: float, side: int = 10, class_id: int = 0, score=0.9, mask=True) -> Instance:
    box = (x, y, x + side, y + side)
    if not mask:
        return Instance(class_id=class_id, box_xyxy=box, score=score)
    pixels = np.zeros(SIZE, bool)
    pixels[int(y) : int(y) + side, int(x) : int(x) + side] = True
    return Instance(class_id=class_id, box_xyxy=box, mask=Mask.encode(pixels), score=score)


def ids(tracker: Tracker, *objects: Instance) -> list[int | None]:
    found = tracker.update(Segmentation(size=SIZE, classes=CLASSES, instances=objects))
    return [one.track_id for one in found.instances]


@pytest.mark.parametrize("mask", [True, False])
def test_moving_objects_keep_their_numbers_whatever_their_order(mask):
    tracker = Tracker()
    for step in range(8):
        one, other = square(2 + 5 * step, 5, mask=mask), square(60 - 5 * step, 30, mask=mask)
        found = ids(tracker, *((one, other) if step % 2 else (other, one)))
        assert found == ([2, 1] if step % 2 else [1, 2])


@pytest.mark.parametrize("mask", [True, False])
def test_a_gap_is_bridged_by_how_fast_it_went(mask):
    tracker = Tracker(patience=5)
    for step in range(5):
        assert ids(tracker, square(4 * step, 10, mask=mask)) == [1]
    for _ in range(4):
        assert ids(tracker) == []
    assert ids(tracker, square(4 * 9, 10, mask=mask)) == [1]  # far beyond where it was seen last


def test_what_was_gone_for_longer_is_another():
    tracker = Tracker(patience=2)
    assert ids(tracker, square(10, 10)) == [1]
    for _ in range(3):
        ids(tracker)
    assert ids(tracker, square(10, 10)) == [2]


def test_classes_and_unsure_objects():
    tracker = Tracker(start_score=0.5)
    assert ids(tracker, square(10, 10, score=0.4)) == [None]
    assert ids(tracker, square(10, 10, score=0.6)) == [1]
    assert ids(tracker, square(10, 10, score=0.2)) == [1]
    assert ids(tracker, square(10, 10, class_id=1)) == [2]


def test_answers_without_objects_come_back():
    found = Segmentation(size=SIZE, classes=CLASSES, semantic=np.zeros(SIZE, np.uint8))
    assert Tracker().update(found) is found


def test_settings_out_of_range_are_told():
    for wrong in ({"min_iou": 0.0}, {"patience": -1}, {"start_score": 2.0}):
        with pytest.raises(ConfigError, match="expected min_iou"):
            Tracker(**wrong)


def test_scenes_of_a_moving_camera_keep_their_identities():
    """Every eighth object is missed, and masks are cut: most identities hold all the same."""
    counter, chance = IdentityCounter(), np.random.default_rng(0)
    for seed in range(2):
        tracker = Tracker()
        for sample in pitch_sequence(seed, 20, (120, 160)):
            truth = sample.read_truth()
            seen = tuple(
                replace(one, track_id=None, score=0.9)
                for one in truth.instances
                if chance.random() > 0.125
            )
            answer = tracker.update(replace(truth, instances=seen))
            counter.update(truth.instances, answer.instances)
        counter.end_video()
    scores = counter.scores()
    assert scores.found == scores.answers
    assert scores.idf1 > 0.85
    assert scores.switches <= 0.03 * scores.found
