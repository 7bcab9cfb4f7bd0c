"""Measured comparisons that a command asks for: networks on the user's data, and latency, memory
and size in PyTorch, ONNX Runtime and OpenVINO beside the machine's ceilings.

The names below are imported when they are first used: almost all need torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.benchmarks.compare import compare_models, pareto_names
    from maskwright.benchmarks.comparison import Comparison
    from maskwright.benchmarks.comparison_report import ranked
    from maskwright.benchmarks.comparison_row import ComparisonRow, pareto
    from maskwright.benchmarks.demo import DemoResult, run_demo
    from maskwright.benchmarks.latency import LatencyRow, compare_latency
    from maskwright.benchmarks.study import Study, benchmark_models

__all__ = [
    "Comparison",
    "ComparisonRow",
    "DemoResult",
    "LatencyRow",
    "Study",
    "benchmark_models",
    "compare_latency",
    "compare_models",
    "pareto",
    "pareto_names",
    "ranked",
    "run_demo",
]

_WHERE = {
    "Comparison": "comparison",
    "ComparisonRow": "comparison_row",
    "compare_models": "compare",
    "pareto": "comparison_row",
    "pareto_names": "compare",
    "ranked": "comparison_report",
    "DemoResult": "demo",
    "LatencyRow": "latency",
    "Study": "study",
    "benchmark_models": "study",
    "compare_latency": "latency",
    "run_demo": "demo",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
