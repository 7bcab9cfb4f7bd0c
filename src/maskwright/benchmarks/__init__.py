"""Measured comparisons: latency of PyTorch, ONNX Runtime and OpenVINO, speed of the generator.

The names below are imported when they are first used: measuring latency needs torch, the rest not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.benchmarks.latency import LatencyRow, compare_latency
    from maskwright.benchmarks.synthesis import measure_synthesis

__all__ = ["LatencyRow", "compare_latency", "measure_synthesis"]

_WHERE = {"LatencyRow": "latency", "compare_latency": "latency", "measure_synthesis": "synthesis"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
