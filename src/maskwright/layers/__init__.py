"""Torch blocks with two or more users; each file names its source."""

from __future__ import annotations

from maskwright.layers.context import AveragePooling, MultiScaleDilation
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.drop_path import DropPath
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise, initialise_scores
from maskwright.layers.reflect import reflect_pad
from maskwright.layers.upsample import bilinear_upsampling, enlarge_and_crop

__all__ = [
    "AveragePooling",
    "ConvNormAct",
    "DropPath",
    "MultiScaleDilation",
    "PixelClassifier",
    "bilinear_upsampling",
    "enlarge_and_crop",
    "initialise",
    "initialise_scores",
    "reflect_pad",
]
