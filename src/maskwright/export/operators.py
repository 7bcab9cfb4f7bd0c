"""Our own operations as ONNX: what the exporter puts into the graph in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxscript import opset18

from maskwright.layers.suppression import kept

_OP: Any = opset18  # whose stubs refuse the numbers that it takes
_NO_LIMIT = 0x7FFFFFFFFFFFFFFF
_FLOAT = 1  # onnx.TensorProto.FLOAT


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """torch operation -> the function that writes its nodes."""
    return {kept._opoverload: _kept}


def _kept(boxes_BN4: Any, scores_BN: Any, threshold: float) -> Any:
    """The places that NonMaxSuppression lists, as true in a mask of all candidates."""
    scores_B1N = _OP.Unsqueeze(scores_BN, [1])
    found_M3 = _OP.NonMaxSuppression(boxes_BN4, scores_B1N, [_NO_LIMIT], [threshold])
    places_M2 = _OP.Gather(found_M3, [0, 2], axis=1)
    zeros_BN = _OP.ConstantOfShape(_OP.Shape(scores_BN))
    ones_M = _OP.Cast(_OP.ReduceSum(_OP.Mul(places_M2, 0), [1], keepdims=0), to=_FLOAT)
    marked_BN = _OP.ScatterND(zeros_BN, places_M2, _OP.Add(ones_M, 1.0))
    return _OP.Greater(marked_BN, 0.5)
