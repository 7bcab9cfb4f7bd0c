"""Torch blocks with two or more users; each file names its source."""

from __future__ import annotations

from maskwright.layers.batch_statistics import SyncedBatchStatistics
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.drop_path import DropPath
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise

__all__ = ["ConvNormAct", "DropPath", "PixelClassifier", "SyncedBatchStatistics", "initialise"]
