"""What a graph computes: its multiplications and additions, in integers and in floats.

In QDQ form (pairs of QuantizeLinear and DequantizeLinear) every convolution looks like one of
floats. The runtimes compute it in integers where both of its inputs come from DequantizeLinear,
possibly by way of operations that only move numbers, past which they push the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx
from onnx import NodeProto, TensorProto

_LAYERS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_MOVING = {
    "Concat", "Flatten", "Gather", "Identity", "MaxPool", "Relu", "Reshape", "Slice", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
_BYTE = {TensorProto.INT8, TensorProto.UINT8}
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one answer of a network takes, at the least.

    Attributes:
        float_gflop: 1e9 operations of floats; a multiply-add is two. Convolutions and matrix
            products alone are counted, which are almost all.
        int8_gflop: 1e9 operations of 8-bit integers.
        float_weights: numbers that are stored as floats.
        int8_weights: numbers that are stored as 8-bit integers.
    """

    float_gflop: float
    int8_gflop: float = 0.0
    float_weights: int = 0
    int8_weights: int = 0

    def gflop(self, precision: str) -> dict[str, float]:
        """1e9 operations by precision, where floats are computed in `precision`; no zeros."""
        found = {"int8": self.int8_gflop, precision: self.float_gflop}
        return {name: value for name, value in found.items() if value}

    def megabytes(self, precision: str) -> float:
        """1e6 bytes of the weights, where floats are held in `precision`."""
        each = 2 if precision in ("bf16", "f16") else 4
        return (each * self.float_weights + self.int8_weights) / 1e6


def count_work(graph: bytes) -> Work | None:
    """Count what a graph computes for its fixed input.

    Args:
        graph: serialised ONNX.

    Returns:
        None where the shapes of a layer can't be inferred.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    shapes = _shapes(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    counted = {True: 0.0, False: 0.0}
    for node in model.graph.node:
        if node.op_type in _LAYERS:
            operations = _operations(node, shapes)
            if operations is None:
                return None
            integer = all(_from_bytes(name, makers, weights) for name in node.input[:2])
            counted[integer] += operations / 1e9
    return Work(
        float_gflop=counted[False],
        int8_gflop=counted[True],
        float_weights=_numbers(model, _FLOATS),
        int8_weights=_numbers(model, _BYTE),
    )


def _numbers(model: onnx.ModelProto, kinds: Collection[int]) -> int:
    stored = (tensor for tensor in model.graph.initializer if tensor.data_type in kinds)
    return sum(math.prod(tensor.dims) for tensor in stored)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Name -> shape, of every tensor whose shape is fixed."""
    found = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            found[value.name] = tuple(d.dim_value for d in kind.shape.dim)
    return found


def _operations(node: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    left, right, out = (shapes.get(name) for name in (*node.input[:2], node.output[0]))
    if left is None or right is None or out is None:
        return None
    if node.op_type == "Conv":  # weights [out, in / groups, height, width]
        return 2 * math.prod(out) * math.prod(right[1:])
    if node.op_type == "ConvTranspose":  # weights [in, out / groups, height, width]
        return 2 * math.prod(left) * math.prod(right[1:])
    inner = left[-1]
    if node.op_type == "Gemm" and any(one.name == "transA" and one.i for one in node.attribute):
        inner = left[0]
    return 2 * math.prod(out) * inner


def _from_bytes(
    name: str, makers: Mapping[str, NodeProto], weights: Mapping[str, TensorProto]
) -> bool:
    """Whether a tensor is one of bytes, dequantised, and at most moved since."""
    node = makers.get(name)
    if node is None:
        return False
    if node.op_type == "DequantizeLinear":
        zero = weights.get(node.input[2]) if len(node.input) > 2 else None
        return zero is None or zero.data_type in _BYTE
    if node.op_type not in _MOVING:
        return False
    sources = node.input if node.op_type == "Concat" else node.input[:1]
    return all(_from_bytes(source, makers, weights) for source in sources)
