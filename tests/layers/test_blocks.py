"""The shared blocks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maskwright.layers import ConvNormAct, DropPath, PixelClassifier, initialise


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("dilation", [1, 2])
def test_conv_norm_act_keeps_the_size(kernel, dilation):
    block = ConvNormAct(3, 5, kernel, dilation=dilation)
    assert block(torch.zeros(2, 3, 17, 19)).shape == (2, 5, 17, 19)


def test_conv_norm_act_is_its_three_steps():
    torch.manual_seed(0)
    block = ConvNormAct(4, 6, 3, stride=2, padding=0, groups=2, eps=1e-3).eval()
    block.norm.running_mean.uniform_()
    block.norm.running_var.uniform_(0.5, 2.0)
    images = torch.randn(2, 4, 9, 9)
    mean, var = block.norm.running_mean[:, None, None], block.norm.running_var[:, None, None]
    plain = F.conv2d(images, block.conv.weight, stride=2, groups=2)
    want = ((plain - mean) / (var + 1e-3).sqrt()).clamp_min(0)
    torch.testing.assert_close(block(images), want)
    assert block.conv.bias is None


def test_absent_steps_leave_no_trace_in_the_state_dict():
    block = ConvNormAct(3, 5, bias=True, norm=None, activation=None)
    assert set(block.state_dict()) == {"conv.weight", "conv.bias"}
    images = torch.randn(1, 3, 8, 8)
    assert torch.equal(block(images), block.conv(images))


def test_drop_path_skips_whole_images_and_keeps_the_expectation():
    torch.manual_seed(0)
    path = DropPath(0.25).train()
    branch = torch.ones(20_000, 2, 1)
    dropped = path(branch)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(path.eval()(branch), branch)


def test_drop_path_keeps_half_precision():
    assert DropPath(0.5).train()(torch.ones(4, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_pixel_classifier():
    head = PixelClassifier(8, 16, 5, dropout=0.5).eval()
    features = torch.randn(2, 8, 7, 9)
    logits = head(features)
    assert logits.shape == (2, 5, 7, 9)
    assert torch.equal(logits, head.classify(head.conv(features)))


@pytest.mark.parametrize("groups", [1, 64])
def test_initialised_convolutions_keep_the_gradients_variance(groups):
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 256, 3, groups=groups)
    initialise(conv)
    want = math.sqrt(2 / (9 * 256 / groups))
    assert conv.weight.std().item() == pytest.approx(want, rel=0.05)
    assert not conv.bias.any()


def test_initialised_linear_layers_and_norms():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 512), nn.LayerNorm(512))
    nn.init.constant_(network[1].weight, 3.0)
    network.apply(initialise)
    assert network[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not network[0].bias.any()
    assert (network[1].weight == 1).all()
