"""Operations are counted as one would by hand, each in the precision in which it is computed."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from standin import make_network

from maskwright.benchmarks import LatencyRow
from maskwright.benchmarks.latency import DOUBT
from maskwright.benchmarks.operations import count_work
from maskwright.benchmarks.roofline import Roofline
from maskwright.benchmarks.study import Study, _share
from maskwright.benchmarks.tables import latency_table
from maskwright.cli.console import console
from maskwright.export import to_onnx
from maskwright.runtimes import ov

benchmark = importlib.import_module("maskwright.cli.benchmark")  # the package's name is the command


class Graph:
    """Nodes one after the other, from an image [1, 4, 8, 10] of floats."""

    def __init__(self):
        self.nodes, self.weights, self.last = [], [], "images"

    def put(self, kind, *weights, given=None, **attributes):
        inputs = [given or self.last]
        for weight in weights:
            inputs.append(weight if isinstance(weight, str) else self.store(weight))
        self.last = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.last], **attributes))
        return self

    def store(self, array):
        self.weights.append(numpy_helper.from_array(array, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def bytes_(self, dtype=np.uint8):
        """The pair that turns a tensor into bytes and back."""
        scale = np.float32(0.1)
        return self.put("QuantizeLinear", scale, dtype(0)).put("DequantizeLinear", scale, dtype(0))

    def byte_weights(self, *shape):
        """The name of weights that are stored as bytes."""
        before = self.last
        self.put(
            "DequantizeLinear",
            np.float32(0.1),
            np.int8(0),
            given=self.store(ones(*shape, kind=np.int8)),
        )
        name, self.last = self.last, before
        return name

    def done(self, *shape):
        graph = helper.make_graph(
            self.nodes,
            "by hand",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 4, 8, 10])],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, shape)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def ones(*shape, kind=np.float32):
    return np.ones(shape, kind)


def mixed():
    """A convolution of bytes, one of pooled bytes, one of floats, and one with weights of bytes."""
    graph = Graph().bytes_()
    graph.put("Conv", graph.byte_weights(6, 4, 3, 3), pads=[1, 1, 1, 1])  # 2 * 6*8*10 * 4*9
    graph.bytes_().put("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    graph.put("Conv", graph.byte_weights(6, 1, 3, 3), pads=[1, 1, 1, 1], group=6)  # 2 * 6*4*5 * 9
    graph.put("Sigmoid").put("Conv", ones(5, 6, 1, 1))  # 2 * 5*4*5 * 6
    graph.put("Conv", graph.byte_weights(3, 5, 1, 1))  # 2 * 3*4*5 * 5, of floats
    return graph.done(1, 3, 4, 5)


def test_layers_are_counted_by_the_precision_of_what_they_read():
    found = count_work(mixed())
    assert found.int8_gflop == pytest.approx((34560 + 2160) / 1e9)
    assert found.float_gflop == pytest.approx((1200 + 600) / 1e9)
    bytes_ = 6 * 4 * 9 + 6 * 9 + 3 * 5
    assert abs(found.int8_weights - bytes_) <= 10  # and the zero points
    assert abs(found.float_weights - 5 * 6) <= 10  # and the scales
    assert found.gflop("bf16") == {"int8": found.int8_gflop, "bf16": found.float_gflop}
    assert found.megabytes("f32") * 1e6 == 4 * found.float_weights + found.int8_weights
    assert found.megabytes("bf16") * 1e6 == 2 * found.float_weights + found.int8_weights


@pytest.mark.skipif(not ov.installed(), reason="OpenVINO is not installed")
def test_openvino_computes_as_many_layers_in_integers():
    core = ov._import_openvino().Core()
    model = core.read_model(model=mixed(), weights=b"")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [
        one["runtimePrecision"].value for one in told if one["layerType"].value == "Convolution"
    ]
    assert [kind for kind in kinds if kind not in ("u8", "i8")] == ["f32", "f32"]
    assert len(kinds) == 4


def test_matrix_products_and_transposed_convolutions():
    graph = Graph().put("ConvTranspose", ones(4, 7, 2, 2), strides=[2, 2])  # 2 * 4*8*10 * 7*4
    graph.put("Flatten", axis=2)  # [7, 320]
    graph.put("Gemm", ones(7, 11), transA=1)  # [320, 11]: 2 * 320*11 * 7
    graph.put("MatMul", ones(11, 2))  # 2 * 320*2 * 11
    assert count_work(graph.done(320, 2)).float_gflop * 1e9 == pytest.approx(17920 + 49280 + 14080)


def test_bytes_that_meet_floats_are_no_bytes():
    graph = Graph().bytes_().put("Concat", "images", axis=1)
    graph.put("Conv", graph.byte_weights(2, 8, 1, 1))
    assert count_work(graph.done(1, 2, 8, 10)).int8_gflop == 0
    moved = Graph().put("Transpose", perm=[0, 1, 3, 2])
    moved.put("Conv", moved.byte_weights(2, 4, 1, 1))
    assert count_work(moved.done(1, 2, 10, 8)).int8_gflop == 0
    graph = Graph().bytes_()
    graph.put("Concat", graph.last, axis=1)
    graph.put("Conv", graph.byte_weights(2, 8, 1, 1))
    assert count_work(graph.done(1, 2, 8, 10)).float_gflop == 0


def test_sixteen_bits_are_no_bytes():
    graph = Graph()
    graph.put(
        "DequantizeLinear",
        np.float32(1),
        np.int32(0),
        given=graph.store(ones(2, 4, 1, 1, kind=np.int32)),
    )
    wide, graph.last = graph.last, "images"
    graph.bytes_().put("Conv", wide)
    assert count_work(graph.done(1, 2, 8, 10)).int8_gflop == 0


def test_a_shape_that_nobody_knows_is_not_counted():
    graph = Graph().put("NonZero").put("Cast", to=TensorProto.FLOAT).put("MatMul", "images")
    node = graph.nodes.pop()
    graph.nodes.append(helper.make_node("MatMul", ["rows", "t1"], [node.output[0]]))
    weights = numpy_helper.from_array(ones(2, 4), "rows")
    model = onnx.load_from_string(Graph().put("Relu").done(1, 4, 8, 10))
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.append(weights)
    model.graph.output.append(helper.make_tensor_value_info("t2", TensorProto.FLOAT, [2, None]))
    assert count_work(model.SerializeToString()) is None


def test_a_networks_graph_has_the_operations_of_its_layers():
    network = make_network()
    found = count_work(to_onnx(network, (48, 64)))
    stem, depthwise = 2 * 8 * 24 * 32 * 27, 2 * (2 * 8 * 24 * 32 * 9)
    up, head = 2 * 8 * 24 * 32 * 32, 2 * 3 * 48 * 64 * 8
    assert found.float_gflop * 1e9 == pytest.approx(stem + depthwise + up + head)
    assert found.int8_gflop == 0


# --- shares ------------------------------------------------------------------------------------


ROW = LatencyRow(
    model="m", name="OpenVINO int8", runtime="openvino", threads=1, precision="f32", size=(8, 10),
    median_ms=20.0, p95_ms=20.0, p99_ms=20.0, min_ms=20.0, total_ms=20.0, fps=50.0, speed_up=1.0,
    agreement=1.0, answers=1, gflop={"int8": 8.0, "f32": 1.0}, weights_mb=1.0, version="1",
    processor="p", system="s",
)  # fmt: skip
ROOF = Roofline(threads=1, gflops={"f32": 100.0, "int8": 800.0}, gigabytes=10.0, processor="p")


def test_a_share_is_by_the_ceilings_of_the_precisions():
    assert _share(ROW, {1: ROOF}) == pytest.approx((10.0 + 10.0) / 20.0)
    floats = dataclasses.replace(ROW, gflop={"f32": 1.0})
    assert _share(floats, {1: ROOF}) == pytest.approx(10.0 / 20.0)
    reading = dataclasses.replace(floats, weights_mb=150.0)
    assert _share(reading, {1: ROOF}) == pytest.approx(15.0 / 20.0)


@pytest.mark.parametrize(
    "changes", [{"threads": 2}, {"processor": "a GPU"}, {"gflop": None}, {"gflop": {"tf32": 1.0}}]
)
def test_what_has_no_ceiling_has_no_share(changes):
    assert _share(dataclasses.replace(ROW, **changes), {1: ROOF}) is None


@pytest.mark.parametrize(
    ("gflop", "told"),
    [
        ({"int8": 8.0, "bf16": 2.0}, "int8 80%, bf16"),
        ({"int8": 9999.0, "bf16": 1.0}, "int8 99%, bf16"),
        ({"int8": 8.0}, "int8"),
        ({"bf16": 2.0}, "bf16"),
        (None, "bf16"),
    ],
)
def test_precision_tells_the_share_of_integers(gflop, told):
    assert dataclasses.replace(ROW, precision="bf16", gflop=gflop).told_precision == told


def test_a_share_above_all_is_remarked_wherever_it_is_told():
    for share, told in ((None, None), (0.5, "50%"), (1.0, "100%"), (1.37, "137%, doubtful")):
        row = dataclasses.replace(ROW, roofline=share)
        assert row.told_roofline == told
        table = latency_table([row, dataclasses.replace(ROW, roofline=0.2)])
        place = [column.name for column in table.columns].index("Roof")
        cell = table.rows[0][place]
        assert cell == (told if told and "doubtful" in told else share)
        assert (DOUBT in table.note) == (cell == "137%, doubtful")


@pytest.mark.parametrize("share", [0.5, 1.37])
def test_the_command_tells_ceilings_and_explains_a_doubt(share, capsys, monkeypatch):
    monkeypatch.setattr(console, "width", 400)
    row = dataclasses.replace(ROW, roofline=share)
    study = Study(rows=[row], skipped=[], rooflines=[ROOF], published={}, page=Path("report.html"))
    benchmark._show(study)
    told = " ".join(capsys.readouterr().out.split())
    assert ("137%, doubtful" in told) == (DOUBT in told) == (share > 1)
    assert "int8 89%, f32" in told
    assert "f32 100, int8 800 Gop/s" in told
