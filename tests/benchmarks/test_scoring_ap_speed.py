"""The measurement of AP compares equal numbers and tells what it must; no timing is asserted."""

from __future__ import annotations

import json

import cv2
import numpy as np

from benchmarks import detections, scoring_ap


def test_all_contenders_come_to_the_same_numbers():
    rows = scoring_ap.measure_scoring(images=6, rounds=1)
    assert [row["contender"] for row in rows] == [*scoring_ap._PEERS, "maskwright"] * 2
    assert {row["kind"] for row in rows} == {"masks", "boxes"}
    assert all(row["equal_bits"] for row in rows if row["contender"] == "maskwright")
    assert all(0 < row["ap"] < 1 for row in rows)
    json.dumps(rows)


def test_detections_are_as_many_as_told_and_the_same_again():
    truths, predictions = detections.make_detections(11)
    assert sum(len(truth.instances) for truth in truths) == 6 + 9 * 7 + 6
    assert {len(prediction.instances) for prediction in predictions} == {100}
    again = detections.make_detections(11)[1]
    for one, other in zip(predictions[10].instances, again[10].instances):
        assert one == other


def test_masks_are_those_that_opencv_draws():
    rng = np.random.default_rng(0)
    for _ in range(20):
        outline = detections._outline(rng, detections._shape(rng))
        whole = np.zeros(detections.SIZE, np.uint8)
        cv2.fillPoly(whole, [outline], 1)
        drawn = detections._filled(outline)
        assert drawn.iou(type(drawn).encode(whole)) > 0.9  # turned: an edge may round otherwise


def test_copies_have_numbers_of_their_own():
    made = detections.make_detections(2)
    data, results = scoring_ap._copied(*detections.coco_files(*made), images=2, copies=3)
    assert [image["id"] for image in data["images"]] == list(range(6))
    assert len({one["id"] for one in data["annotations"]}) == 3 * 13
    assert {one["image_id"] for one in results} == set(range(6))
