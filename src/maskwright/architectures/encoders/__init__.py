"""Encoders: image -> features at several strides, most of them through timm."""

from __future__ import annotations

from maskwright.architectures.encoders.timm_encoder import TimmEncoder

__all__ = ["TimmEncoder"]
