"""VGG's stages of 3x3 convolutions, the encoder of the first segmentation networks.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015,
arXiv 1409.1556. VGG-16 is configuration D of table 1.

Those networks were trained in Caffe, on BGR 0..255 less a mean. `from_caffe` turns the first
convolution round, so that it answers the same to what our networks are given: RGB, less the same
mean, divided by `IMAGENET_STD`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from maskwright.architectures.normalisation import IMAGENET_STD
from maskwright.layers.conv import ConvNormAct

VGG16_WIDTHS = (64, 128, 256, 512, 512)
VGG16_DEPTHS = (2, 2, 3, 3, 3)

SMALL_WIDTHS = (16, 32, 64, 128, 128)
SMALL_DEPTHS = (1, 1, 2, 2, 2)
"""Configuration A (VGG-11) at a quarter of its widths: what a CPU trains in minutes."""

_CONV = re.compile(r"conv(\d+)_(\d+)(_bn)?\.(\w+)")


def vgg_stage(
    in_channels: int,
    width: int,
    depth: int,
    *,
    padding: int | None = None,
    dilation: int = 1,
    norm: type[nn.Module] | None = None,
) -> nn.Sequential:
    """`depth` 3x3 convolutions with bias, each followed by ReLU; no pooling.

    Args:
        in_channels: C of the input.
        width: C of the output.
        depth: number of convolutions.
        padding: zeros on each side; None keeps the size.
        dilation: of every convolution.
        norm: between convolution and ReLU, where there is one.
    """
    sides = [in_channels, *[width] * depth]
    return nn.Sequential(
        *(
            ConvNormAct(*pair, 3, padding=padding, dilation=dilation, bias=True, norm=norm)
            for pair in itertools.pairwise(sides)
        )
    )


def from_caffe(weights: Mapping[str, Tensor], stages: str, bgr: bool = True) -> dict[str, Tensor]:
    """Caffe's names of VGG's convolutions -> those of a list of `vgg_stage`s; others stay.

    Args:
        weights: conv1_1 to conv5_3, conv1_1_bn to conv5_3_bn where there are batch norms.
        stages: name of the list in the network, such as "stages".
        bgr: whether the first convolution takes BGR 0..255: it is turned round for RGB in units of
            IMAGENET_STD.
    """
    renamed = {}
    for name, tensor in weights.items():
        found = _CONV.fullmatch(name)
        if found:
            stage, conv, norm, leaf = found.groups()
            part = "norm" if norm else "conv"
            name = f"{stages}.{int(stage) - 1}.{int(conv) - 1}.{part}.{leaf}"
        renamed[name] = tensor
    first = f"{stages}.0.0.conv.weight"
    if bgr and first in renamed:
        renamed[first] = for_rgb(renamed[first])
    return renamed


def rgb_images(images_B3HW: Tensor) -> Tensor:
    """BGR 0..255 less a mean -> RGB less the same mean, in units of IMAGENET_STD.

    What `from_caffe` does to weights, done to images.
    """
    images_B3HW = images_B3HW.flip(1)
    return images_B3HW / _units(images_B3HW)


def for_rgb(weight_C3kk: Tensor) -> Tensor:
    """Weights of a convolution for BGR 0..255 -> for RGB in units of IMAGENET_STD."""
    weight_C3kk = weight_C3kk.flip(1)
    return weight_C3kk * _units(weight_C3kk)


def _units(like: Tensor) -> Tensor:
    """Levels of 0..255 that one unit of an RGB input stands for, [1, 3, 1, 1]."""
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64, device=like.device)
    return (255.0 * std).view(1, 3, 1, 1).to(like.dtype)
