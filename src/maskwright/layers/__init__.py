"""Torch blocks with two or more users; each file names its source."""

from __future__ import annotations

from maskwright.layers.attention import attend, attend_to_channels
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.drop_path import DropPath
from maskwright.layers.enlarge import enlarge
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise
from maskwright.layers.residual import BasicBlock, Bottleneck

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ConvNormAct",
    "DropPath",
    "PixelClassifier",
    "attend",
    "attend_to_channels",
    "enlarge",
    "initialise",
]
