"""Pooling by dilation and by averaging, separable convolution, enlargement."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.segmentation import deeplabv3

from maskwright.layers import ASPP, PyramidPooling, SeparableConvNormAct, enlarge
from maskwright.layers.pyramid import average_bins


@pytest.mark.parametrize("size", [(8, 12), (9, 13), (6, 7), (3, 2)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_bins_average_as_adaptive_pooling_does(size, bins):
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    wanted = F.adaptive_avg_pool2d(features, bins)
    torch.testing.assert_close(average_bins(features, bins), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_pyramid_keeps_the_features_and_appends_their_averages(align_corners):
    pyramid = PyramidPooling(4, 2, (1, 3), align_corners).eval()
    features = torch.randn(1, 4, 9, 7)
    with torch.no_grad():
        joined = pyramid(features)
        means = [branch(average_bins(features, n)) for branch, n in zip(pyramid.branches, (1, 3))]
    assert joined.shape == (1, pyramid.out_channels, 9, 7)
    assert torch.equal(joined[:, :4], features)
    torch.testing.assert_close(joined[:, 4:6], means[0].expand(1, 2, 9, 7))
    wanted = F.interpolate(means[1], (9, 7), mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(joined[:, 6:], wanted)


def test_dilated_views_are_torchvisions():
    theirs = deeplabv3.ASPP(6, [2, 3], 4).double().eval()
    ours = ASPP(6, 4, (2, 3)).double().eval()
    tensors = iter(theirs.state_dict().values())  # both list 1x1, rates, mean, projection
    ours.load_state_dict({name: next(tensors) for name in ours.state_dict()})
    features = torch.randn(2, 6, 9, 7, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(features), theirs(features), rtol=1e-12, atol=1e-12)


def test_separable_views_have_fewer_parameters():
    full, separable = ASPP(32, 16, (2, 3)), ASPP(32, 16, (2, 3), separable=True)
    counts = [sum(value.numel() for value in one.parameters()) for one in (full, separable)]
    assert counts[0] - counts[1] == 2 * (32 * 16 * 9 - 32 * 9 - 32 * 16)
    assert separable(torch.randn(2, 32, 5, 6)).shape == (2, 16, 5, 6)


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_separable_convolution_is_the_full_one_of_rank_one(dilation):
    block = SeparableConvNormAct(3, 5, dilation, norm=None, activation=None)
    features = torch.randn(2, 3, 9, 8)
    weight = block.pointwise.weight * block.depthwise.weight.transpose(0, 1)
    wanted = F.conv2d(features, weight, padding=dilation, dilation=dilation)
    torch.testing.assert_close(block(features), wanted, rtol=1e-4, atol=1e-5)
    assert set(block.state_dict()) == {"depthwise.weight", "pointwise.weight"}


def test_separable_padding_is_what_it_is_told():
    block = SeparableConvNormAct(3, 5, 2, padding=1)
    assert isinstance(block.norm, nn.BatchNorm2d)
    assert block(torch.randn(2, 3, 9, 8)).shape == (2, 5, 7, 6)


def test_enlarging_keeps_what_fits_and_corners_where_asked():
    features = torch.randn(1, 2, 3, 4)
    assert enlarge(features, features.shape) is features
    aligned = enlarge(features, (7, 10), align_corners=True)
    torch.testing.assert_close(aligned[..., ::3, ::3][..., :1, :], features[..., :1, :])
    torch.testing.assert_close(aligned[..., -1, -1], features[..., -1, -1])
    centre = enlarge(features, (9, 12))
    torch.testing.assert_close(centre[..., 1::3, 1::3], features)
