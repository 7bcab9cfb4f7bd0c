"""The measurement of counting tells what it must; no timing is asserted."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest

from benchmarks import scoring
from benchmarks.run import main
from benchmarks.scoring import measure_confusion_matrix
from maskwright.core.errors import ConfigError

pytest.importorskip("torchmetrics")


def test_measurement_tells_its_settings_and_restores_the_threads():
    threads = cv2.getNumThreads()
    found = measure_confusion_matrix(rounds=2, size=(32, 64))
    assert [row["name"].split(".")[0] for row in found["rows"]] == [
        "maskwright",
        "torchmetrics",
        "torchmetrics",
    ]
    ours, *theirs = (row["median_ms"] for row in found["rows"])
    assert found["ratio"] == round(min(theirs) / ours, 1)
    assert (found["rounds"], found["threads"], found["size"]) == (2, 1, [32, 64])
    assert cv2.getNumThreads() == threads
    json.dumps(found, allow_nan=False)


def test_a_matrix_that_differs_is_told(monkeypatch):
    monkeypatch.setattr(scoring, "confusion_matrix", lambda truth, *_: np.zeros((19, 20), np.int64))
    with pytest.raises(ConfigError, match="another matrix"):
        measure_confusion_matrix(rounds=1, size=(32, 64))


def test_the_maps_have_every_class_void_and_mistakes():
    truth, prediction = scoring.street(0, (128, 256))
    assert set(np.unique(truth)) == {*range(19), 255}
    assert prediction.max() < 19
    assert np.mean(truth == prediction) == pytest.approx(0.87, abs=0.03)


def test_no_rounds_and_no_torchmetrics_are_told(monkeypatch):
    with pytest.raises(ConfigError, match="got 0"):
        measure_confusion_matrix(rounds=0)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(ConfigError, match="pip install"):
        measure_confusion_matrix(rounds=1)


def test_the_command_writes_what_was_measured(tmp_path, monkeypatch):
    out = tmp_path / "scoring.json"
    monkeypatch.setattr(
        scoring, "measure_confusion_matrix", lambda rounds: {"rows": [], "ratio": 2, "r": rounds}
    )
    assert main(["scoring", "--rounds", "3", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["r"] == 3
