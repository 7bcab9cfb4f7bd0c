"""Torch blocks with two or more users; each file names its source."""

from maskwright.layers.conv import ConvNormAct

__all__ = ["ConvNormAct"]
