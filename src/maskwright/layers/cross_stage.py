"""Cross-stage partial blocks: part of the channels goes through convolutions, part goes around.

Wang, Liao, Wu, Chen, Hsieh, Yeh: CSPNet, CVPR Workshops 2020, arXiv 1911.11929; in the forms that
YOLOv8 (2023) and YOLO11 (2024) have, software without papers. Position-sensitive attention is that
of Wang et al.: YOLOv10, NeurIPS 2024, arXiv 2405.14458, section 3.2.

Legend: B batch, C channels, h w of a feature map, N = h w places, M heads.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct

ConvSiLU = partial(ConvNormAct, activation=nn.SiLU, eps=1e-3)
"""Convolution, batch norm of eps 1e-3, SiLU."""


class ResidualPair(nn.Module):
    """Two 3x3 convolutions, added to their input where asked.

    Args:
        channels: C of input and output.
        inner: C between.
        around: whether the input is added.
    """

    def __init__(self, channels: int, inner: int, around: bool) -> None:
        super().__init__()
        self.first = ConvSiLU(channels, inner)
        self.second = ConvSiLU(inner, channels)
        self.around = around

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        changed_BChw: Tensor = self.second(self.first(features_BChw))
        return features_BChw + changed_BChw if self.around else changed_BChw


class NestedPairs(nn.Module):
    """Half of the channels through two residual pairs, half around them (C3k in YOLO11).

    Args:
        channels: C of input and output.
        around: whether a pair adds its input.
    """

    def __init__(self, channels: int, around: bool) -> None:
        super().__init__()
        inner = channels // 2
        self.through = ConvSiLU(channels, inner, 1)
        self.past = ConvSiLU(channels, inner, 1)
        self.steps = nn.Sequential(*(ResidualPair(inner, inner, around) for _ in range(2)))
        self.merge = ConvSiLU(2 * inner, channels, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        through_BChw = self.steps(self.through(features_BChw))
        merged_BChw: Tensor = self.merge(torch.cat([through_BChw, self.past(features_BChw)], dim=1))
        return merged_BChw


class CrossStage(nn.Module):
    """Split in two; one half goes through steps, all of whose results are merged (C2f, C3k2).

    Args:
        channels: C of the input.
        out_channels: C of the output.
        inner: C of a half.
        steps: modules of `inner` channels, one after the other.
    """

    def __init__(
        self, channels: int, out_channels: int, inner: int, steps: list[nn.Module]
    ) -> None:
        super().__init__()
        self.split = ConvSiLU(channels, 2 * inner, 1)
        self.steps = nn.ModuleList(steps)
        self.merge = ConvSiLU((2 + len(steps)) * inner, out_channels, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, out_channels, h, w]."""
        parts = list(self.split(features_BChw).chunk(2, dim=1))
        for step in self.steps:
            parts.append(step(parts[-1]))
        merged_BChw: Tensor = self.merge(torch.cat(parts, dim=1))
        return merged_BChw


class PooledPyramid(nn.Module):
    """The features and their maxima over 5, 9 and 13 pixels, by pooling three times (SPPF).

    He, Zhang, Ren, Sun: Spatial Pyramid Pooling, ECCV 2014, arXiv 1406.4729.

    Args:
        channels: C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvSiLU(channels, channels // 2, 1)
        self.merge = ConvSiLU(4 * (channels // 2), channels, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        views = [self.reduce(features_BChw)]
        for _ in range(3):
            views.append(F.max_pool2d(views[-1], 5, stride=1, padding=2))
        merged_BChw: Tensor = self.merge(torch.cat(views, dim=1))
        return merged_BChw


class PositionSensitiveAttention(nn.Module):
    """Half of the channels through attention blocks, half around them (C2PSA).

    Args:
        channels: C of input and output.
        blocks: how many.
        head: C of a head; queries and keys have half of it.
    """

    def __init__(self, channels: int, blocks: int, head: int = 64) -> None:
        super().__init__()
        inner = channels // 2
        self.split = ConvSiLU(channels, 2 * inner, 1)
        self.blocks = nn.Sequential(*(_AttentionBlock(inner, head) for _ in range(blocks)))
        self.merge = ConvSiLU(2 * inner, channels, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        past_BChw, through_BChw = self.split(features_BChw).chunk(2, dim=1)
        merged_BChw: Tensor = self.merge(torch.cat([past_BChw, self.blocks(through_BChw)], dim=1))
        return merged_BChw


class _AttentionBlock(nn.Module):
    """Attention over all places, then two 1x1 convolutions; both added to their input."""

    def __init__(self, channels: int, head: int) -> None:
        super().__init__()
        self.heads = max(1, channels // head)
        self.value = channels // self.heads
        self.key = self.value // 2
        linear = partial(ConvNormAct, kernel=1, activation=None, eps=1e-3)
        self.project = linear(channels, channels + 2 * self.key * self.heads)
        self.position = ConvNormAct(
            channels, channels, 3, groups=channels, activation=None, eps=1e-3
        )
        self.combine = linear(channels, channels)
        self.widen = ConvSiLU(channels, 2 * channels, 1)
        self.narrow = linear(2 * channels, channels)

    def forward(self, features_BChw: Tensor) -> Tensor:
        features_BChw = features_BChw + self._attend(features_BChw)
        changed_BChw: Tensor = self.narrow(self.widen(features_BChw))
        return features_BChw + changed_BChw

    def _attend(self, features_BChw: Tensor) -> Tensor:
        batch, channels, height, width = features_BChw.shape
        packed = self.project(features_BChw).view(batch, self.heads, -1, height * width)
        query, key, value = packed.split([self.key, self.key, self.value], dim=2)
        weights_BMNN = ((query.transpose(-2, -1) @ key) * self.key**-0.5).softmax(dim=-1)
        seen_BChw = (value @ weights_BMNN.transpose(-2, -1)).reshape(batch, channels, height, width)
        place_BChw = self.position(value.reshape(batch, channels, height, width))
        combined_BChw: Tensor = self.combine(seen_BChw + place_BChw)
        return combined_BChw
