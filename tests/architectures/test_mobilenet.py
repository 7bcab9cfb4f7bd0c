"""MobileNets against torchvision's: same weights, same features, any width."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torchvision.models import mobilenetv2, mobilenetv3
from torchvision.models._utils import IntermediateLayerGetter

from maskwright.architectures.encoders import MOBILENETS, MobileNet
from maskwright.architectures.encoders.mobilenet import from_reference
from maskwright.core.errors import ConfigError


def shaken(network: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with norms that do something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            nn.init.normal_(module.running_mean, 0.0, 0.1)
    return network.double().eval()


def ours_with(theirs: nn.Module, name: str, width: float, output_stride: int) -> MobileNet:
    sizes = dataclasses.replace(MOBILENETS[name](width), output_stride=output_stride)
    network = MobileNet(sizes).double().eval()
    weights = from_reference(theirs.state_dict())
    if not sizes.closing:
        weights = {key: tensor for key, tensor in weights.items() if "closing" not in key}
    network.load_state_dict(weights)
    return network


def assert_same(network: MobileNet, theirs: nn.Module, places: dict[str, str]) -> None:
    """Their features at these places of their sequence are ours, in order."""
    images = torch.rand(1, 3, 65, 49, dtype=torch.float64)
    with torch.no_grad():
        found = network(images)
        wanted = list(IntermediateLayerGetter(theirs, places)(images).values())
    assert len(found) == len(wanted) == len(network.strides)
    for ours, reference, stride, channels in zip(found, wanted, network.strides, network.channels):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)
        assert ours.shape == (1, channels, -(-65 // stride), -(-49 // stride))


@pytest.mark.parametrize("width", [0.35, 0.75, 1.0, 1.4])
def test_the_second_generation_is_torchvisions(width):
    theirs = shaken(mobilenetv2.mobilenet_v2(width_mult=width)).features
    network = ours_with(theirs, "mobilenetv2", width, 32)
    assert_same(network, theirs, {place: place for place in ("1", "3", "6", "13", "17")})


@pytest.mark.parametrize("width", [0.5, 1.4])
def test_the_second_generation_can_end_as_the_classifier_does(width):
    theirs = shaken(mobilenetv2.mobilenet_v2(width_mult=width)).features
    network = ours_with(theirs, "mobilenetv2-1280", width, 32)
    assert_same(network, theirs, {place: place for place in ("1", "3", "6", "13", "18")})
    assert network.channels[-1] == max(1280, int(1280 * width))


@pytest.mark.parametrize(  # each choice beside each of the others
    ("name", "tail", "dilated", "width"),
    [
        ("large", "", False, 1.0),
        ("large", "-reduced", True, 0.5),
        ("small", "", True, 0.5),
        ("small", "-reduced", False, 1.0),
        ("large", "", True, 1.0),
        ("small", "-reduced", False, 0.5),
    ],
)
def test_the_third_generation_is_torchvisions(name, tail, dilated, width):
    count, output_stride = {"large": 16, "small": 12}[name], 16 if dilated else 32
    build = getattr(mobilenetv3, f"mobilenet_v3_{name}")
    theirs = shaken(build(dilated=dilated, width_mult=width, reduced_tail=bool(tail))).features
    network = ours_with(theirs, f"mobilenetv3-{name}{tail}", width, output_stride)
    firsts = [number for number, block in enumerate(theirs) if getattr(block, "_is_cn", False)]
    places = [0, *firsts[:-1], count]
    assert_same(network, theirs, {str(place): str(place) for place in places})


@pytest.mark.parametrize("name", ["mobilenetv2-1280", "mobilenetv3-small"])
@pytest.mark.parametrize("levels", [1, 3, 4, 5])
def test_fewer_levels_give_the_same_features_with_fewer_blocks(name, levels):
    sizes = MOBILENETS[name](0.5)
    whole = MobileNet(sizes).eval()
    part = MobileNet(dataclasses.replace(sizes, levels=levels)).eval()
    part.load_state_dict({key: whole.state_dict()[key] for key in part.state_dict()})
    with torch.no_grad():
        images = torch.rand(1, 3, 65, 49)
        found, wanted = part(images), whole(images)[:levels]
    assert [one.shape[1] for one in found] == list(part.channels) == list(whole.channels[:levels])
    assert part.strides == whole.strides[:levels]
    assert (len(part.blocks) < len(whole.blocks)) == (levels < 5)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted))


def test_levels_that_a_mobilenet_lacks_are_told():
    with pytest.raises(ConfigError, match="has 5 levels of features, got 6"):
        MobileNet(dataclasses.replace(MOBILENETS["mobilenetv2"](), levels=6))


def test_zeros_can_go_around_a_block_before_it_is_widened():
    network = MobileNet(MOBILENETS["mobilenetv2-pad-early"](0.25)).eval()
    plain = MobileNet(MOBILENETS["mobilenetv2"](0.25)).eval()
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        inner = [one(torch.rand(1, 3, 65, 65))[0].shape[-1] for one in (network, plain)]
        block, other = network.blocks[2], plain.blocks[2]
        nn.init.constant_(block.expand.norm.bias, 1.0)
        other.load_state_dict(block.state_dict())
        features = torch.rand(1, 8, 9, 9)
        difference = (block(features) - other(features)).abs().sum(dim=1)[0]
    assert inner == [32, 33]  # the stem has no zeros around it
    assert float(difference[1:-1, 1:-1].max()) < 1e-6
    assert float(difference[0].min()) > 1e-4
