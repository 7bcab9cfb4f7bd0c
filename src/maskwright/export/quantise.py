"""Smaller numbers in an ONNX graph: int8 by calibration, and weights stored in half precision.

int8 is NNCF's post-training quantisation (Kozlov et al., "Neural Network Compression Framework for
fast model inference", 2020), after `equalise`. Each layer's bias is corrected on what the quantised
layers before it give; the fast correction, which takes each layer alone, loses half a point of mIoU
more on our CamVid network, and only serves where NNCF can't do the other. QuantizeLinear and
DequantizeLinear pairs (QDQ) come out, which ONNX Runtime and OpenVINO both turn into integer
convolutions. Normalisation, softmax, the closing resize and argmax, and what makes probabilities
stay in float.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.export.equalise import equalise
from maskwright.export.quiet import quiet
from maskwright.runtimes.session import INPUT

EQUALISING_IMAGES = 32

SMALLEST_HALF = 64
"""Weights with fewer numbers (biases, scales) stay in fp32: nothing is saved there."""

_ATTENTION = {"Softmax", "LayerNormalization"}
_LOGGERS = ("nncf", "torch.utils.cpp_extension")


def quantise(graph: bytes, inputs_B3HW: Iterable[np.ndarray]) -> bytes:
    """Turn a float graph into int8, its ranges taken from what real images cause in it.

    Args:
        graph: serialised ONNX, as `to_onnx` writes it.
        inputs_B3HW: uint8 RGB [1, 3, H, W] at the graph's size; a hundred training images are
            plenty.

    Returns:
        A serialised ONNX graph in QDQ form with the same input and outputs.

    Raises:
        ConfigError: no images.
        ModelFileError: the graph has parts that can't be quantised.
    """
    items = [{INPUT: np.ascontiguousarray(image)} for image in inputs_B3HW]
    if not items:
        raise ConfigError("expected at least one training image to calibrate int8 on, got 0.")
    model = fold_constants(onnx.load_from_string(graph))
    model = equalise(model, [item[INPUT] for item in items[:EQUALISING_IMAGES]])
    with quiet(*_LOGGERS):
        nncf = _import_nncf()
        try:
            quantised = _quantise(nncf, model, items, fast=False)
        except Exception:  # NNCF 3.4 can't cut some graphs with branches into layers
            try:
                quantised = _quantise(nncf, model, items, fast=True)
            except Exception as error:  # NNCF's errors share no base
                raise ModelFileError(
                    f"NNCF {nncf.__version__} can't quantise this graph of "
                    f"{len(model.graph.node)} nodes ({type(error).__name__}: {error}); choose "
                    "precision fp16 or fp32."
                ) from error
    return bytes(unsigned(quantised).SerializeToString())


def _quantise(
    nncf: Any, model: onnx.ModelProto, items: list[dict[str, np.ndarray]], fast: bool
) -> onnx.ModelProto:
    kinds = {node.op_type for node in model.graph.node}
    # Else depthwise layers read a scale per channel, which ONNX Runtime's integer kernel refuses.
    one_scale = nncf.quantization.advanced_parameters.QuantizationParameters(per_channel=False)
    quantised: onnx.ModelProto = nncf.quantize(
        model,
        nncf.Dataset(items),
        subset_size=len(items),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER if kinds & _ATTENTION else None,
        fast_bias_correction=fast,
        ignored_scope=nncf.IgnoredScope(names=closing_nodes(model)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_quantization_params=one_scale
        ),
    )
    return quantised


def closing_nodes(model: onnx.ModelProto, name: str = "probabilities") -> list[str]:
    """The nodes that nothing but the output of that name hangs on; [] where there is none."""
    outputs = {output.name for output in model.graph.output}
    rest, closing = outputs - {name}, []
    for node in reversed(model.graph.node):  # they stand in the order in which they run
        if rest & set(node.output):
            rest.update(node.input)
        else:
            closing.append(node.name)
    return closing if name in outputs else []


def unsigned(model: onnx.ModelProto) -> onnx.ModelProto:
    """A QDQ graph whose activations are uint8: the same numbers as in int8, 128 counts higher.

    OpenVINO 2026.4 gives wrong sums where a convolution reads a concatenation of int8; of uint8 it
    gives right ones. ONNX Runtime answers the same for both.

    Args:
        model: in QDQ form; changed in place, and returned.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        zero = weights[node.input[2]] if node.op_type == "QuantizeLinear" else None
        if zero is not None and zero.data_type == onnx.TensorProto.INT8:
            shifted = numpy_helper.to_array(zero).astype(np.int16) + 128
            zero.CopyFrom(numpy_helper.from_array(shifted.astype(np.uint8), zero.name))
    del model.graph.value_info[:]  # it names the old types
    return model


def store_half(graph: bytes) -> bytes:
    """Store a graph's weights as fp16 and compute in fp32: half the file, the same speed.

    Each large fp32 weight becomes fp16 followed by a cast, which both runtimes carry out once,
    when they load. Weights beyond the range of fp16 stay as they are.

    Args:
        graph: serialised ONNX.

    Returns:
        The same for the half-size graph.
    """
    model = onnx.load_from_string(graph)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        weights = numpy_helper.to_array(tensor)
        if weights.size < SMALLEST_HALF or np.abs(weights).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), f"{name}_fp16"))
        casts.append(
            onnx.helper.make_node(
                "Cast", [tensor.name], [name], name=f"{name}_fp32", to=onnx.TensorProto.FLOAT
            )
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def integer_layers(graph: bytes) -> int:
    """How many convolutions and matrix products of a graph take quantised weights."""
    nodes = onnx.load_from_string(graph).graph.node
    dequantised = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    layers = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
    return sum(node.op_type in layers and node.input[1] in dequantised for node in nodes)


def fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Work out what depends on no input: quantisers look for weights, not for how to make them.

    SegFormer's decoder, for one, reshapes a linear layer's weights to those of a convolution.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        names = [name for name in node.input if name]
        if not names or any(name not in weights for name in names):
            kept.append(node)
            continue
        known = {name: numpy_helper.to_array(weights[name]) for name in names}
        for name, value in zip(node.output, ReferenceEvaluator(node).run(None, known)):
            weights[name] = numpy_helper.from_array(np.asarray(value), name)
    return _with(model, kept, weights)


def _with(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], weights: dict[str, onnx.TensorProto]
) -> onnx.ModelProto:
    """The model with other nodes, and those of the weights that they or the outputs read."""
    read = Counter(name for node in nodes for name in node.input)
    read.update(output.name for output in model.graph.output)
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    del folded.graph.node[:], folded.graph.initializer[:]
    folded.graph.node.extend(nodes)
    folded.graph.initializer.extend(weights[name] for name in weights if read[name])
    return folded


def _import_nncf() -> Any:
    """NNCF without its telemetry, which would report each call to a server.

    Raises:
        ConfigError: it is not installed.
    """
    if "nncf" in sys.modules:
        return sys.modules["nncf"]
    telemetry = "openvino_telemetry"
    missing = object()
    before = sys.modules.get(telemetry, missing)
    sys.modules[telemetry] = None  # type: ignore[assignment]  # as if it weren't installed
    try:
        return importlib.import_module("nncf")
    except ImportError as error:
        raise ConfigError(
            f"int8 needs NNCF, which can't be imported ({error}); run pip install "
            "'maskwright[train]', or choose precision fp16 or fp32."
        ) from error
    finally:
        if before is missing:
            del sys.modules[telemetry]
        else:
            sys.modules[telemetry] = before  # type: ignore[assignment]
