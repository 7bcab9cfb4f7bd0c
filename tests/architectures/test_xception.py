"""Xception: sizes, strides, and what stride and dilation have in common."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from maskwright.architectures.encoders import Xception, XceptionConfig
from maskwright.architectures.encoders.xception import from_reference
from maskwright.core.errors import ConfigError

SMALL = XceptionConfig(stem=(8, 8), entry=(8, 16, 24), middle=1, leave=(24, 32, 32))


def test_the_classifiers_parameters_are_the_papers():
    with torch.device("meta"):
        network = Xception(XceptionConfig())
    count = sum(parameter.numel() for parameter in network.parameters())
    # figure 5 and table 3: 22,855,952 with the last layer of 2048 to 1000
    assert count + 2048 * 1000 + 1000 == 22_855_952
    assert network.channels == (64, 128, 256, 728, 2048)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 64), (65, 97)])
def test_sizes_are_rounded_up(output_stride, size):
    network = Xception(dataclasses.replace(SMALL, output_stride=output_stride)).eval()
    with torch.no_grad():
        features = network(torch.rand(1, 3, *size))
    assert network.strides[-1] == output_stride
    for feature, channels, stride in zip(features, network.channels, network.strides, strict=True):
        assert feature.shape == (1, channels, *(-(-side // stride) for side in size))


def test_the_cropped_form_is_as_small_as_its_reference():
    network = Xception(dataclasses.replace(SMALL, output_stride=16, cropped=True)).eval()
    with torch.no_grad():
        sizes = [tuple(feature.shape[2:]) for feature in network(torch.rand(1, 3, 160, 192))]
    assert sizes == [(77, 93), (39, 47), (20, 24), (10, 12), (6, 8)]
    assert isinstance(network.leave[2].norm, nn.Identity)


def test_names_of_another_depth_are_mapped():
    names = ["conv1.weight", "bn2.bias", "block1.rep.1.weight", "block4.rep.8.bias",
             "block5.rep.4.conv1.weight", "block5.skipbn.weight", "conv4.pointwise.weight",
             "last_linear.weight"]  # fmt: skip
    ours = from_reference({name: torch.zeros(1) for name in names}, "encoder.")
    assert list(ours) == [
        "encoder.stem.0.conv.weight",
        "encoder.stem.1.norm.bias",
        "encoder.entry.0.convs.0.norm.weight",
        "encoder.middle.0.convs.2.norm.bias",
        "encoder.leave.0.convs.1.depthwise.weight",
        "encoder.leave.0.shortcut.norm.weight",
        "encoder.leave.2.pointwise.weight",
    ]


def test_contradicting_sizes_are_told():
    with pytest.raises(ConfigError, match="3 positive entries in entry"):
        XceptionConfig(entry=(128, 256))
