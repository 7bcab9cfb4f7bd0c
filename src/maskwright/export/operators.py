"""Our own operations as ONNX: what the exporter puts into the graph in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18 as op

import maskwright.layers.suppression  # noqa: F401 (registers the operation)

_NO_LIMIT = 0x7FFFFFFFFFFFFFFF
_INT64 = 7  # onnx.TensorProto.INT64


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """torch operation -> the function that writes its nodes."""
    return {torch.ops.maskwright.kept.default: _kept}


def _kept(boxes_BN4: Any, scores_BN: Any, threshold: float) -> Any:
    """The places that NonMaxSuppression lists, as true in a mask of all candidates."""
    scores_B1N = op.Unsqueeze(scores_BN, [1])
    found_M3 = op.NonMaxSuppression(boxes_BN4, scores_B1N, [_NO_LIMIT], [threshold])
    places_M2 = op.Gather(found_M3, [0, 2], axis=1)
    zeros_BN = op.ConstantOfShape(op.Shape(scores_BN))
    ones_M = op.Cast(op.ReduceSum(op.Mul(places_M2, 0), [1], keepdims=0), to=1)
    marked_BN = op.ScatterND(zeros_BN, places_M2, op.Add(ones_M, 1.0))
    return op.Greater(marked_BN, 0.5)
