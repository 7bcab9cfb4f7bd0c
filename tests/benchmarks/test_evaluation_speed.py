"""The measurement of whole evaluations compares equal numbers; no timing is asserted."""

from __future__ import annotations

import json

from benchmarks import evaluation_speed


def test_all_contenders_come_to_pycocotools_numbers(tmp_path):
    assert evaluation_speed.write_files(tmp_path, 3) == (20, 300)
    found = {name: run(tmp_path) for name, run in evaluation_speed.CONTENDERS.items()}
    expected = found["pycocotools"][2]
    assert len(expected) == 12
    assert all(numbers == expected and peak > 0 for _, peak, numbers in found.values())


def test_the_steps_are_measured_on_equal_results():
    masks, segments = evaluation_speed.measure_masks(1), evaluation_speed.measure_panoptic(1)
    assert [set(row) for row in masks] == [{"image", "whole frames ms", "boxes ms"}] * 2
    assert [row["noise"] for row in segments] == [0.0, 0.3]
    json.dumps([masks, segments])
