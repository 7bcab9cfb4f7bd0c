"""The exported graph: same answers, folded, quiet, nothing of this machine in it."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from on_runtimes import unfolded_norms
from onnx import TensorProto, helper
from standin import make_images, make_network

from maskwright.export.onnx import OPSET, to_onnx

SIZE = (48, 64)


@pytest.fixture(scope="module")
def graph() -> bytes:
    return to_onnx(make_network(), SIZE)


def answers(graph: bytes, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images})))


def test_the_graph_takes_bytes_and_gives_the_standard_outputs(graph):
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    (given,) = model.graph.input
    (got,) = model.graph.output
    for value, name, shape in ((given, "images", [1, 3, *SIZE]), (got, "class_map", [1, *SIZE])):
        assert value.name == name
        assert value.type.tensor_type.elem_type == TensorProto.UINT8
        assert [size.dim_value for size in value.type.tensor_type.shape.dim] == shape
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET


def test_the_answers_are_those_of_torch(graph):
    network = make_network()
    for image in make_images(3, SIZE):
        images = np.ascontiguousarray(image.transpose(2, 0, 1))[None]
        with torch.no_grad():
            wanted = network.deploy(torch.from_numpy(images))["class_map"].numpy()
        assert len(np.unique(wanted)) == 3
        assert (answers(graph, images)["class_map"] == wanted).mean() > 0.999


def test_probabilities_are_another_output_of_the_same_graph(graph):
    network = make_network()
    soft = to_onnx(network, SIZE, probabilities=True)
    plain, more = (onnx.load_from_string(each).graph for each in (graph, soft))
    assert [value.name for value in more.output] == ["class_map", "probabilities"]
    assert [size.dim_value for size in more.output[1].type.tensor_type.shape.dim] == [1, 3, *SIZE]
    kinds = [node.op_type for node in more.node]
    assert "Softmax" not in kinds  # which ONNX Runtime is slow at; spelled out, it is five nodes
    assert len(kinds) == len(plain.node) + 5  # all else is shared
    images = np.ascontiguousarray(make_images(1, SIZE)[0].transpose(2, 0, 1))[None]
    found = answers(soft, images)
    with torch.no_grad():
        logits = network(network.normalise(torch.from_numpy(images)))["logits"]
    wanted = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)
    np.testing.assert_array_equal(found["probabilities"].argmax(1), found["class_map"])
    np.testing.assert_array_equal(found["class_map"], answers(graph, images)["class_map"])


def test_batch_norms_are_folded_into_their_convolutions(graph):
    parts = onnx.load_from_string(graph).graph
    assert unfolded_norms(parts) == []
    kinds = [node.op_type for node in parts.node]
    assert "BatchNormalization" not in kinds


def test_a_norm_that_was_not_folded_is_found():
    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

    norm = helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["y"], name="norm")
    conv = helper.make_node("Conv", ["x", "w"], ["c"])
    also = helper.make_node("Relu", ["c"], ["z"])
    for nodes, found in (([conv, norm], ["norm"]), ([conv, norm, also], [])):
        graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
        assert unfolded_norms(graph) == found


def test_nothing_of_this_machine_is_in_the_graph_and_it_is_reproducible(graph):
    for trace in (b"/home", b"/usr", b"site-packages", b"standin.py", b"stack_trace"):
        assert trace not in graph
    assert to_onnx(make_network(), SIZE) == graph


def test_export_is_quiet_and_leaves_no_traces(capfd, caplog):
    network = make_network().train()
    with warnings.catch_warnings(record=True) as told, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        to_onnx(network, (32, 32))
    assert capfd.readouterr() == ("", "")
    assert not told
    assert not caplog.records
    assert all(module.training for module in network.modules())
    assert logging.getLogger("torch.onnx").level == logging.NOTSET
