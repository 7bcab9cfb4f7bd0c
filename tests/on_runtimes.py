"""A network's exported graph on both runtimes, as the bundle would run it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import torch

from maskwright.export.onnx import to_onnx
from maskwright.runtimes import ov


def class_maps(network, images_B3HW):
    """-> (torch's, {runtime: its class map}, the graph) for one image."""
    graph = to_onnx(network, tuple(images_B3HW.shape[-2:]))
    with torch.no_grad():
        wanted = network.eval().deploy(images_B3HW)["class_map"].numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    core = ov._core()  # one a process: see there
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(graph), "CPU", settings)
    found = {
        "onnxruntime": session.run(None, {"images": images_B3HW.numpy()})[0],
        "openvino": np.asarray(compiled([images_B3HW.numpy()])[0]),
    }
    return wanted, found, onnx.load_from_string(graph).graph


def assert_agree(network, images_B3HW):
    """Both runtimes answer as torch does, on nearly every pixel; the graph comes back.

    First each class's mean score is made 0, so that an untrained network answers several.
    """
    prefix = network.head_prefixes()[0]
    bias = next(p for key, p in network.named_parameters() if key.startswith(prefix) and p.ndim < 2)
    with torch.no_grad():
        logits = network.eval()(network.normalise(images_B3HW))["logits"]
        bias -= logits.mean(dim=(0, 2, 3))
    wanted, found, graph = class_maps(network, images_B3HW)
    assert len(np.unique(wanted)) > 1
    for runtime, got in found.items():
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), runtime
        assert (got == wanted).mean() >= 0.999, runtime
    return graph


def unfolded_norms(graph):
    """Batch norms whose only input comes from a convolution that nobody else reads."""
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    return [
        node.name
        for node in graph.node
        if node.op_type == "BatchNormalization"
        and made_by.get(node.input[0]) in ("Conv", "ConvTranspose")
        and readers[node.input[0]] == 1
    ]
