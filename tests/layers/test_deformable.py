"""Deformable convolution: torchvision's, and the same by sampling."""

from __future__ import annotations

import pytest
import torch

from maskwright.layers.deformable import DeformableConv


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("far", [0.5, 6.0])
def test_sampling_is_torchvisions_operation(stride, far):
    torch.manual_seed(0)
    layer = DeformableConv(5, 7, stride).double()
    torch.nn.init.normal_(layer.moves.weight, std=far)
    torch.nn.init.normal_(layer.bias)
    features = torch.randn(2, 5, 11, 14, dtype=torch.float64)
    moves = layer.moves(features)
    found = layer.by_sampling(features, moves[:, :18], moves[:, 18:].sigmoid())
    torch.testing.assert_close(found, layer(features))


def test_it_begins_as_half_a_plain_convolution():
    layer = DeformableConv(3, 4)
    features = torch.randn(1, 3, 8, 9)
    plain = torch.nn.functional.conv2d(features, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(features), plain / 2)
