"""Feature pyramid: coarse features are enlarged and added to finer ones.

Lin, Dollar, Girshick, He, Hariharan, Belongie: Feature Pyramid Networks for Object Detection, CVPR
2017, arXiv 1612.03144, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct

Enlargement = Literal["nearest", "bilinear"]


class FeaturePyramid(nn.Module):
    """Features of an encoder, finest first -> as many of one width, and coarser ones behind them.

    Args:
        channels: C of each of the encoder's features, finest first.
        width: C of every output.
        extra: number of levels behind the coarsest, each of half its predecessor's size.
        strided: whether they are made by a 3x3 convolution of stride 2 from the output before, as
            RetinaNet has them, instead of by taking every second pixel of it.
        enlargement: how coarse features come to the finer size.
        norm: of all convolutions, which have a bias where there is none.
        activation: behind the 3x3 convolutions, but for those of `strided` levels.

    Attributes:
        out_channels: width.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int = 256,
        *,
        extra: int = 0,
        strided: bool = False,
        enlargement: Enlargement = "nearest",
        norm: Callable[..., nn.Module] | None = None,
        activation: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.out_channels = width
        self.extra = extra
        self.enlargement = enlargement
        bias = norm is None
        self.lateral = nn.ModuleList(
            ConvNormAct(inside, width, 1, bias=bias, norm=norm, activation=None)
            for inside in channels
        )
        self.smooth = nn.ModuleList(
            ConvNormAct(width, width, 3, bias=bias, norm=norm, activation=activation)
            for _ in channels
        )
        self.further = nn.ModuleList(
            ConvNormAct(width, width, 3, stride=2, bias=bias, norm=norm, activation=None)
            for _ in range(extra if strided else 0)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """BCihw each, finest first -> [B, width, h, w] each, finest first, then the extra ones."""
        merged: list[Tensor] = []
        for level in reversed(range(len(self.lateral))):
            own = self.lateral[level](features[level])
            if merged:
                own = own + self._enlarged(merged[-1], own)
            merged.append(own)
        outputs = [smooth(own) for smooth, own in zip(self.smooth, reversed(merged))]
        for level in range(self.extra):
            last = outputs[-1]
            outputs.append(self.further[level](last) if self.further else last[..., ::2, ::2])
        return outputs

    def _enlarged(self, coarse: Tensor, like: Tensor) -> Tensor:
        size = (like.shape[-2], like.shape[-1])
        if self.enlargement == "nearest":
            return F.interpolate(coarse, size, mode="nearest")
        return F.interpolate(coarse, size, mode="bilinear", align_corners=False)
