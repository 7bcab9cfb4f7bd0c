"""Residual networks as TensorFlow's first ones are: padded as needed, strides in front.

He, Zhang, Ren, Sun: Deep Residual Learning, CVPR 2016, arXiv 1512.03385. They differ from
`encoders.resnet` in three ways: padding is what the size needs, and the odd zero stands behind; a
bottleneck strides in its first 1x1 convolution, as the paper has it; batch norm's epsilon is 0.001.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map; a number
behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct

EPS = 1e-3
"""Of the batch norms."""


class SameResNet(nn.Module):
    """Stem and four stages of bottlenecks.

    Args:
        widths: C inside each stage's bottlenecks; they end with four times as many. The stem has
            the first.
        depths: blocks of each stage.

    Attributes:
        channels: C of the four stages' ends.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(4 * width for width in widths)
        self.stem = ConvNormAct(3, widths[0], 7, 2, padding=0, eps=EPS)
        self.stages = nn.ModuleList()
        inside = widths[0]
        for number, (width, depth) in enumerate(zip(widths, depths)):
            strides = [2 if number else 1] + [1] * (depth - 1)
            blocks = []
            for stride in strides:
                blocks.append(_Bottleneck(inside, width, stride))
                inside = 4 * width
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> the stages' maps at strides 4, 8, 16 and 32; sizes are rounded up."""
        features_BChw = self.stem(_padded(images_B3HW, 7))
        # behind a ReLU, zeros around the map never are the highest
        features_BChw = F.max_pool2d(_padded(features_BChw, 3), 3, stride=2)
        features = []
        for stage in self.stages:
            features_BChw = stage(features_BChw)
            features.append(features_BChw)
        return features


class _Bottleneck(nn.Module):
    """1x1 narrows and strides, 3x3, 1x1 widens by four; added to the input (figure 5)."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.a = ConvNormAct(inside, width, 1, stride, eps=EPS)
        self.b = ConvNormAct(width, width, 3, eps=EPS)
        self.c = ConvNormAct(width, 4 * width, 1, activation=None, eps=EPS)
        changes = stride > 1 or inside != 4 * width
        self.shortcut = (
            ConvNormAct(inside, 4 * width, 1, stride, activation=None, eps=EPS)
            if changes
            else nn.Identity()
        )

    def forward(self, features_BChw: Tensor) -> Tensor:
        branch_BChw = self.c(self.b(self.a(features_BChw)))
        return F.relu(branch_BChw + self.shortcut(features_BChw))


def _padded(maps_BChw: Tensor, kernel: int) -> Tensor:
    """With what a kernel of stride 2 needs around, so that sizes are halved and rounded up."""
    before_y, after_y, before_x, after_x = (
        side
        for length in maps_BChw.shape[-2:]
        for total in (kernel - 2 + int(length) % 2,)
        for side in (total // 2, total - total // 2)
    )
    return F.pad(maps_BChw, (before_x, after_x, before_y, after_y))
