"""Encoders: image -> features at several strides.

Residual networks, MobileNets and Xception with real output strides; all others through timm.
"""

from __future__ import annotations

from maskwright.architectures.encoders.choice import EncoderSettings, create_encoder
from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.encoders.mobilenet import MOBILENETS, MobileNet, MobileNetConfig
from maskwright.architectures.encoders.resnet import (
    RESNET_FORMS,
    RESNETS,
    DilatedResNetSettings,
    ResNet,
    ResNetConfig,
)
from maskwright.architectures.encoders.timm_encoder import TimmEncoder
from maskwright.architectures.encoders.xception import Xception, XceptionConfig

__all__ = [
    "MOBILENETS",
    "RESNETS",
    "RESNET_FORMS",
    "DilatedResNetSettings",
    "Encoder",
    "EncoderSettings",
    "MobileNet",
    "MobileNetConfig",
    "ResNet",
    "ResNetConfig",
    "TimmEncoder",
    "Xception",
    "XceptionConfig",
    "create_encoder",
]
