"""Equal ranges: the float answers stay, channels come to like ranges, OpenVINO's int8 is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskwright.architectures import build
from maskwright.export import to_onnx
from maskwright.export.equalise import _find_channels, _measure, equalise
from maskwright.export.quantise import fold_constants, unsigned
from maskwright.runtimes import ov

FLAGS = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
SUMS_IN_32_BITS = "vnni" in FLAGS
RNG = np.random.default_rng(0)


def run(model, feeds):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def images(count, size=32):
    return list(RNG.integers(0, 256, (count, 1, 3, size, size)).astype(np.uint8))


def tensor(name, values):
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def convolution(name, read, made, inputs, outputs, gain, group=1):
    """A node and its weights; output channel c is `gain[c]` times as large as the others."""
    weights = RNG.normal(size=(outputs, inputs // group, 3, 3)) * np.reshape(gain, (-1, 1, 1, 1))
    node = helper.make_node(
        "Conv", [read, f"{name}.w", f"{name}.b"], [made], pads=[1] * 4, group=group, name=name
    )
    return node, [tensor(f"{name}.w", weights), tensor(f"{name}.b", RNG.normal(size=outputs))]


def spread(range_C):
    """Of the channels that anything stirs, the largest range over the smallest."""
    return range_C.max() / range_C[range_C > 0].min()


def network(clip=False):
    """A skip of large numbers beside a branch of small ones, as in a U-Net; 8 + 4 channels."""
    parts = [
        convolution("deep", "images_f", "deep", 3, 4, [5, 2, 5, 10]),
        convolution("skip", "images_f", "skip", 3, 8, np.geomspace(1, 20, 8)),
        convolution("alone", "sum", "alone", 8, 8, np.ones(8), group=8),
        convolution("head", "cat", "class_map", 12, 2, [1, 1]),
    ]
    deep, skip, alone, head = (node for node, _ in parts)
    weights = [each for _, found in parts for each in found]
    limits = [tensor("low", 0.0), tensor("high", 1.0)] if clip else []
    nodes = [
        helper.make_node("Cast", ["images"], ["images_f"], to=TensorProto.FLOAT),
        deep,
        helper.make_node("Clip", ["deep", "low", "high"], ["active"])
        if clip
        else helper.make_node("Relu", ["deep"], ["active"]),
        skip,
        helper.make_node("Add", ["skip", "skip"], ["sum"]),
        alone,
        helper.make_node("Concat", ["active", "alone"], ["cat"], axis=1),
        head,
    ]
    graph = helper.make_graph(
        nodes,
        "skip",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("class_map", TensorProto.FLOAT, [1, 2, 32, 32])],
        weights + limits,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_channels_of_one_tensor_come_to_one_range_and_the_answer_stays():
    model, shown = network(), images(3)
    equal = equalise(model, shown)
    for name in ("cat", "sum"):
        before = _measure(model, _find_channels(model), shown)[name]
        after = _measure(equal, _find_channels(equal), shown)[name]
        assert spread(before) > 10
        assert spread(after) < 3
    for image in images(3):
        np.testing.assert_allclose(
            run(equal, {"images": image}), run(model, {"images": image}), rtol=1e-4, atol=1.0
        )


def test_a_clip_keeps_its_channels_and_the_others_come_to_their_range():
    model, shown = network(clip=True), images(3)
    equal = equalise(model, shown)
    weights = {each.name: numpy_helper.to_array(each) for each in equal.graph.initializer}
    deep = next(node for node in equal.graph.node if node.name == "deep")
    [old] = [each for each in model.graph.initializer if each.name == "deep.w"]
    np.testing.assert_allclose(weights[deep.input[1]], numpy_helper.to_array(old), rtol=1e-6)
    np.testing.assert_allclose(
        run(equal, {"images": shown[0]}), run(model, {"images": shown[0]}), rtol=1e-4, atol=1.0
    )


@pytest.mark.parametrize("name", ["unet-lite0", "bisenetv1", "bisenetv2", "segformer-b0"])
def test_every_architecture_answers_the_same_pixels(name):
    import torch

    torch.manual_seed(0)
    model = fold_constants(onnx.load_from_string(to_onnx(build(name, 5), (64, 64))))
    shown = images(2, 64)
    equal = equalise(model, shown)
    onnx.checker.check_model(equal)
    agree = [(run(equal, {"images": one}) == run(model, {"images": one})).mean() for one in shown]
    assert min(agree) >= 0.999


def quantised_concatenation(kind, zero):
    """Two quantised tensors, joined, into an integer convolution."""
    pairs = []
    for name in "ab":
        pairs += [
            helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
            helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"]),
        ]
    nodes = [
        *pairs,
        helper.make_node("Concat", ["a_d", "b_d"], ["cat"], axis=1),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_d"], axis=0),
        helper.make_node("Conv", ["cat", "w_d"], ["y"], pads=[1] * 4),
    ]
    weights = [
        tensor("scale", 0.02),
        numpy_helper.from_array(kind(zero), "zero"),
        numpy_helper.from_array(RNG.integers(-127, 128, (16, 64, 3, 3)).astype(np.int8), "w"),
        tensor("w_scale", np.full(16, 0.002)),
        numpy_helper.from_array(np.zeros(16, np.int8), "w_zero"),
    ]
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "cat", [shape(name, 1, [1, 32, 16, 16]) for name in "ab"], [shape("y", 1, None)],
        weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.skipif(not ov.installed(), reason="OpenVINO is not installed")
@pytest.mark.skipif(
    not SUMS_IN_32_BITS,
    reason="without VNNI, OpenVINO adds pairs of 8-bit products in 16 bits, which saturate",
)
def test_unsigned_activations_are_the_same_numbers_and_openvino_sums_them_rightly():
    feeds = {name: RNG.normal(size=(1, 32, 16, 16)).astype(np.float32) for name in "ab"}
    signed = quantised_concatenation(np.int8, -5)
    expected = run(signed, feeds)
    model = unsigned(signed)
    assert {each.data_type for each in model.graph.initializer if each.name == "zero"} == {
        TensorProto.UINT8
    }
    np.testing.assert_allclose(run(model, feeds), expected, atol=1e-4)
    compiled = ov._core().compile_model(
        ov._core().read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    answered = next(iter(compiled.create_infer_request().infer(feeds).values()))
    assert np.abs(answered - expected).mean() < 0.01 * np.abs(expected).mean()
