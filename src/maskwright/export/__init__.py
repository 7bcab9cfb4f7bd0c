"""Torch network -> bundle, through a gate: torch and the runtimes must agree on real images."""

from __future__ import annotations

from maskwright.export.agreement import pixel_agreement
from maskwright.export.bundle import MINIMUM_AGREEMENT, ExportReport, export
from maskwright.export.checkpoint import export_checkpoint
from maskwright.export.onnx import to_onnx, unfolded_norms

__all__ = [
    "MINIMUM_AGREEMENT",
    "ExportReport",
    "export",
    "export_checkpoint",
    "pixel_agreement",
    "to_onnx",
    "unfolded_norms",
]
