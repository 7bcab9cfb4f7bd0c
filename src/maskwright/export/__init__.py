"""Torch network -> bundle, through gates: torch and the runtimes must agree on real images, and a
smaller precision ships only if it loses little and is measured faster.

The room has the name of the command, so that `maskwright.export` is this module. It can be called:
`maskwright.export(checkpoint, data=...)` is `export.by_name.export`.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any

import maskwright.export.by_name as by_name
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


class _CallableRoom(ModuleType):
    """A module that is also the function of its name.

    Importing any part of a room binds the room's name in the package above it, so a function put
    there under that name would be gone as soon as `maskwright.export.onnx` is imported. What is
    bound stays this module, whichever comes first; so the module answers the call.
    """

    __signature__ = inspect.signature(by_name.export)

    def __call__(self, *args: Any, **kwargs: Any) -> by_name.ExportReport | by_name.PrecisionReport:
        return by_name.export(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
