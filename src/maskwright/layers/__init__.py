"""Torch blocks with two or more users; each file names its source."""

from __future__ import annotations

from maskwright.layers.conv import ConvNormAct
from maskwright.layers.drop_path import DropPath
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise
from maskwright.layers.residual import BasicBlock, Bottleneck

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ConvNormAct",
    "DropPath",
    "PixelClassifier",
    "initialise",
]
