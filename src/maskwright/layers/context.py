"""Two plain ways to see further: dilation at many scales, and the average over everything.

A spatial pyramid of averages lies between the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct


class MultiScaleDilation(nn.Module):
    """3x3 layers of growing dilation, ReLU behind each, then 1x1: the context module.

    Yu, Koltun: Multi-Scale Context Aggregation by Dilated Convolutions, ICLR 2016, arXiv
    1511.07122, table 1. It starts as the identity on maps that are nowhere negative.

    Args:
        channels: C of input and output.
        dilations: of the 3x3 layers.
        multiples: C of each, in multiples of `channels`; none: 1 for all, the basic form.
        pads_once: pad the input by the sum of the dilations, instead of each layer's by its own.
    """

    def __init__(
        self,
        channels: int,
        dilations: Sequence[int],
        multiples: Sequence[int] = (),
        pads_once: bool = False,
    ) -> None:
        super().__init__()
        multiples = multiples or [1] * len(dilations)
        widths = [channels, *(channels * multiple for multiple in multiples)]
        self.pad = sum(dilations) if pads_once else 0
        self.layers = nn.ModuleList(
            ConvNormAct(
                *pair, padding=0 if self.pad else None, dilation=dilation, bias=True, norm=None
            )
            for pair, dilation in zip(itertools.pairwise(widths), dilations)
        )
        self.project = nn.Conv2d(widths[-1], channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                start_as_identity(module, channels)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, channels, h, w] -> the same shape, seen in context."""
        if self.pad:
            features_BChw = F.pad(features_BChw, [self.pad] * 4)
        for layer in self.layers:
            features_BChw = layer(features_BChw)
        return self.project(features_BChw)


@torch.no_grad()
def start_as_identity(conv: nn.Conv2d, channels: int, noise: float = 1e-3) -> None:
    """Yu and Koltun's equation 5: each output takes its share of the inputs of its group.

    Between equals (`channels` on both sides) it is the plain identity of their equation 4.

    Args:
        conv: whose weights and biases are set.
        channels: number of groups; both sides have a multiple of it.
        noise: deviation of the other weights, relative to the shares: it breaks ties.
    """
    outside, inside, height, width = conv.weight.shape
    if outside == inside == channels:
        conv.weight.zero_()
    else:
        conv.weight.normal_(std=noise * channels / outside)
    group_of_output = torch.arange(outside) * channels // outside
    group_of_input = torch.arange(inside) * channels // inside
    same = (group_of_output[:, None] == group_of_input[None]).to(conv.weight)
    centre = conv.weight[:, :, height // 2, width // 2]
    shares = torch.where(same > 0, same * (channels / outside), centre)
    conv.weight[:, :, height // 2, width // 2] = shares
    if conv.bias is not None:
        conv.bias.zero_()


class AveragePooling(nn.Module):
    """The features, and their average over the whole map beside each of them, at one scale.

    Liu, Rabinovich, Berg: ParseNet: Looking Wider to See Better, ICLR 2016 workshop, arXiv
    1506.04579, sections 3.1 to 3.3: both are normalised over the channels and scaled by a factor
    that is learnt for each channel, or the larger of them drowns the other.

    Args:
        channels: C of the input; the output has twice as many.
        scale: that the factors start from.
    """

    def __init__(self, channels: int, scale: float = 10.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((2 * channels,), scale))

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, 2 channels, h, w], the averages second."""
        mean_BC11 = features_BChw.mean(dim=(2, 3), keepdim=True)
        wide_BChw = F.normalize(mean_BC11, dim=1).expand_as(features_BChw)
        both = torch.cat([F.normalize(features_BChw, dim=1), wide_BChw], dim=1)
        return both * self.scale[:, None, None]
