"""Deformable convolution: torchvision's, and the same by sampling."""

from __future__ import annotations

import pytest
import torch

from maskwright.layers.deformable import DeformableConv


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("far", [0.5, 6.0])
def test_sampling_is_torchvisions_operation(stride, far, modulated):
    torch.manual_seed(0)
    layer = DeformableConv(5, 7, stride, modulated=modulated, bias=modulated).double()
    torch.nn.init.normal_(layer.offset.weight, std=far)
    features = torch.randn(2, 5, 11, 14, dtype=torch.float64)
    said = layer.offset(features)
    weights = said[:, 18:].sigmoid() if modulated else None
    found = layer.by_sampling(features, said[:, :18], weights)
    torch.testing.assert_close(found, layer(features))


@pytest.mark.parametrize("modulated", [False, True])
def test_it_begins_as_a_plain_convolution_or_half_of_one(modulated):
    layer = DeformableConv(3, 4, modulated=modulated, bias=modulated)
    features = torch.randn(1, 3, 8, 9)
    plain = torch.nn.functional.conv2d(features, layer.weight, None, padding=1)
    wanted = plain / 2 + layer.bias.view(1, -1, 1, 1) if modulated else plain
    torch.testing.assert_close(layer(features), wanted)
