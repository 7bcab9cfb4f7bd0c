"""The ground: value types, masks, resizing, drawing, errors. Needs numpy and OpenCV only."""

from __future__ import annotations

from maskwright.core.card import ModelCard, Modification, Postprocess
from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import (
    ConfigError,
    DataError,
    DownloadError,
    MaskwrightError,
    ModelFileError,
)
from maskwright.core.mask import Mask
from maskwright.core.resize import Geometry, Resize
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.core.segmentation import Instance, Label, Panoptic, Segmentation

__all__ = [
    "Classes",
    "Colour",
    "ConfigError",
    "DataError",
    "Dataset",
    "DownloadError",
    "Geometry",
    "Instance",
    "Label",
    "Mask",
    "MaskwrightError",
    "ModelCard",
    "ModelFileError",
    "Modification",
    "Panoptic",
    "Postprocess",
    "Resize",
    "Sample",
    "Segmentation",
    "Task",
]
