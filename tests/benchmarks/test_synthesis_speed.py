"""The measurement of the generator tells what it must; no timing is asserted."""

from __future__ import annotations

import json

import cv2

from benchmarks.synthesis import measure_synthesis


def test_measurement_counts_and_restores_the_threads():
    threads = cv2.getNumThreads()
    row = measure_synthesis((32, 32), 0.0)
    assert row["images"] == 1
    assert row["images_per_second"] > 0
    assert row["size"] == [32, 32]
    assert cv2.getNumThreads() == threads
    json.dumps(row)
