"""Residual blocks: He, Zhang, Ren, Sun, CVPR 2016, arXiv 1512.03385 (figure 5), dilatable.

Their state dicts have torchvision's names: conv1, bn1, ..., downsample.0, downsample.1.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.deformable import DeformableConv


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input.

    Args:
        inside: C of the input.
        width: C of the output.
        stride: of the first convolution.
        dilations: of the two convolutions; after a lost stride, the second's alone has changed.
        average_shortcut: the shortcut averages where it strides (`_shortcut`).
    """

    expansion = 1

    def __init__(
        self,
        inside: int,
        width: int,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
        average_shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(inside, width, stride, dilations[0])
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, dilation=dilations[1])
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inside, width, stride, average_shortcut)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, inside, h, w] -> [B, width, h / stride, w / stride], rounded up."""
        branch_BChw = F.relu(self.bn1(self.conv1(features_BChw)), inplace=True)
        branch_BChw = self.bn2(self.conv2(branch_BChw))
        return F.relu(branch_BChw + self.downsample(features_BChw), inplace=True)


class Bottleneck(nn.Module):
    """1x1 narrows, 3x3 carries stride and dilation, 1x1 widens by four; added to the input.

    Args:
        inside: C of the input.
        width: C of the 3x3 convolution; the output has four times as many.
        stride: of the 3x3 convolution.
        dilations: as a basic block takes them; the first counts.
        average_shortcut: the shortcut averages where it strides (`_shortcut`).
        deformable: the 3x3 convolution moves its taps.
        modulated: and weights them.
        deformable_bias: and adds a bias.
    """

    expansion = 4

    def __init__(
        self,
        inside: int,
        width: int,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
        average_shortcut: bool = False,
        deformable: bool = False,
        modulated: bool = False,
        deformable_bias: bool = False,
    ) -> None:
        super().__init__()
        wide = width * self.expansion
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = (
            DeformableConv(width, width, stride, dilations[0], modulated, deformable_bias)
            if deformable
            else conv3x3(width, width, stride, dilations[0])
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = _shortcut(inside, wide, stride, average_shortcut)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, inside, h, w] -> [B, 4 width, h / stride, w / stride], rounded up."""
        branch_BChw = F.relu(self.bn1(self.conv1(features_BChw)), inplace=True)
        branch_BChw = F.relu(self.bn2(self.conv2(branch_BChw)), inplace=True)
        branch_BChw = self.bn3(self.conv3(branch_BChw))
        return F.relu(branch_BChw + self.downsample(features_BChw), inplace=True)


def conv3x3(inside: int, outside: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Padded so that stride alone changes the size; without bias, as batch norm follows."""
    return nn.Conv2d(inside, outside, 3, stride, dilation, dilation, bias=False)


def _shortcut(inside: int, outside: int, stride: int, average: bool) -> nn.Module:
    """A projection where the block changes the shape (option B of section 3.3).

    A strided projection sees one pixel of four; with `average` it sees the mean of all four
    (ResNet-D of He et al. 2019, arXiv 1812.01187, section 4.2; "vd" in PaddlePaddle).
    """
    if stride == 1 and inside == outside:
        return nn.Identity()
    if not average:
        projection = nn.Conv2d(inside, outside, 1, stride, bias=False)
        return nn.Sequential(projection, nn.BatchNorm2d(outside))
    means: nn.Module = nn.Identity()
    if stride > 1:
        means = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    projection = nn.Conv2d(inside, outside, 1, bias=False)
    return nn.Sequential(means, projection, nn.BatchNorm2d(outside))
