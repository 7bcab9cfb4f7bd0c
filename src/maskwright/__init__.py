"""Maskwright: from photos to a segmentation model that runs in real time on a CPU.

    import maskwright

    model = maskwright.load("model.mask", threads=2)
    segmentation = model.predict("photo.jpg")

`import maskwright` needs no torch; the names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.api.compare import compare
    from maskwright.api.convert import convert
    from maskwright.api.evaluate import evaluate
    from maskwright.core import Classes, Dataset, Instance, Label, Mask, Sample, Segmentation
    from maskwright.core.errors import MaskwrightError
    from maskwright.export.by_name import export
    from maskwright.formats import read, write
    from maskwright.jobs.merge_panoptic import merge_panoptic
    from maskwright.jobs.tracking import Tracker
    from maskwright.runtimes import Predictor, Tiled, load, stream
    from maskwright.training.by_name import train
    from maskwright.training.callbacks import Callback

__all__ = [
    "Callback",
    "Classes",
    "Dataset",
    "Instance",
    "Label",
    "Mask",
    "MaskwrightError",
    "Predictor",
    "Sample",
    "Segmentation",
    "Tiled",
    "Tracker",
    "compare",
    "convert",
    "evaluate",
    "export",
    "load",
    "merge_panoptic",
    "read",
    "stream",
    "train",
    "write",
]

_WHERE = {
    "Callback": "maskwright.training.callbacks",
    "MaskwrightError": "maskwright.core.errors",
    "Predictor": "maskwright.runtimes",
    "Tiled": "maskwright.runtimes",
    "Tracker": "maskwright.jobs.tracking",
    "compare": "maskwright.api",
    "convert": "maskwright.api",
    "evaluate": "maskwright.api",
    "load": "maskwright.runtimes",
    "merge_panoptic": "maskwright.jobs.merge_panoptic",
    "read": "maskwright.formats",
    "stream": "maskwright.runtimes",
    "train": "maskwright.training.by_name",
    "write": "maskwright.formats",
}

try:
    __version__ = _version("maskwright")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'maskwright' has no attribute {name!r}")
    if name == "export":  # a room that can be called, so that it is the same whatever came first
        return importlib.import_module("maskwright.export")
    return getattr(importlib.import_module(_WHERE.get(name, "maskwright.core")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
