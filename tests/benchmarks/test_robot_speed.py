"""The measurement for robots tells what it must; no timing is asserted."""

from __future__ import annotations

import json
import sys

import cv2
import pytest
from onnx import TensorProto, helper

from benchmarks.robot import measure_robot
from benchmarks.run import main
from maskwright.core.card import ModelCard
from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.resize import Resize
from maskwright.runtimes import ov, write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The strongest channel of each pixel; no torch."""
    node = helper.make_node("ArgMax", ["images"], ["ids"], axis=1, keepdims=0)
    cast = helper.make_node("Cast", ["ids"], ["class_map"], to=TensorProto.UINT8)
    graph = helper.make_graph(
        [node, cast],
        "strongest",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, 48, 64])],
        [helper.make_tensor_value_info("class_map", TensorProto.UINT8, [1, 48, 64])],
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    card = ModelCard(
        name="strongest",
        architecture="none",
        config={},
        classes=Classes.of(["red", "green", "blue"]),
        tasks=("semantic",),
        resize=Resize(size=(48, 64)),
    )
    path = tmp_path_factory.mktemp("robot") / "model.mask"
    write_bundle(path, card, model.SerializeToString())
    return path


def test_stages_add_up_and_the_tail_is_ordered(bundle):
    threads = cv2.getNumThreads()
    found = measure_robot(bundle, frames=30, size=(60, 80), runtime="onnxruntime")
    json.dumps(found)
    assert cv2.getNumThreads() == threads
    assert (found["bundle"], found["input"], found["frame"]) == ("model.mask", [48, 64], [60, 80])
    assert found["runtime"]["threads"] == 1
    assert set(found["times"]) == {
        "read", "preprocess", "network", "postprocess", "all but the network", "total",
    }  # fmt: skip
    for row in found["times"].values():
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["jitter_ms"] == pytest.approx(row["p99_ms"] - row["p50_ms"], abs=2e-4)
    assert found["times"]["network"]["p50_ms"] < found["times"]["total"]["p50_ms"]
    if sys.platform == "linux":
        assert 10 < found["peak_memory_mib"] < 100_000


def test_command_writes_a_row_for_each_runtime(bundle, tmp_path, capsys):
    out = tmp_path / "robot.json"
    words = ["robot", str(bundle), "--frames", "3", "--size", "60x80", "--out", str(out)]
    assert main(words) == 0
    found = json.loads(out.read_text())
    names = [row["runtime"]["name"] for row in found["rows"]]
    assert names == ["onnxruntime", *(["openvino"] if ov.installed() else [])]
    assert all((row["frame"], row["frames"]) == ([60, 80], 3) for row in found["rows"])
    assert found["threads"] == 1
    assert str(bundle.parent) not in out.read_text()  # no folder of this machine
    assert "model.mask onnxruntime: network" in capsys.readouterr().out


def test_nothing_to_measure_is_told(bundle):
    with pytest.raises(ConfigError, match="got 0 of"):
        measure_robot(bundle, frames=0)
    with pytest.raises(ConfigError, match=r"got 5 of \(0, 9\)"):
        measure_robot(bundle, frames=5, size=(0, 9))
