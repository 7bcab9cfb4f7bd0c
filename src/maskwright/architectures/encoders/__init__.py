"""Encoders: image -> features at several strides; ours with output strides, others through timm."""

from __future__ import annotations

from maskwright.architectures.encoders.resnet import RESNETS, ResNet, ResNetConfig
from maskwright.architectures.encoders.timm_encoder import TimmEncoder

__all__ = ["RESNETS", "ResNet", "ResNetConfig", "TimmEncoder"]
