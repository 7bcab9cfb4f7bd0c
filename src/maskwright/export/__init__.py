"""Torch network -> bundle, through gates: torch and the runtimes must agree on real images, and a
smaller precision ships only if it loses little and is measured faster.
"""

from __future__ import annotations

from maskwright.export.agreement import answer_agreement
from maskwright.export.bundle import MINIMUM_AGREEMENT, ExportReport, export
from maskwright.export.checkpoint import export_checkpoint, export_checkpoint_precise
from maskwright.export.onnx import to_onnx
from maskwright.export.precision import PrecisionReport, export_precise
from maskwright.export.quantise import quantise, store_half
from maskwright.export.routes import Route

__all__ = [
    "MINIMUM_AGREEMENT",
    "ExportReport",
    "PrecisionReport",
    "Route",
    "answer_agreement",
    "export",
    "export_checkpoint",
    "export_checkpoint_precise",
    "export_precise",
    "quantise",
    "store_half",
    "to_onnx",
]
