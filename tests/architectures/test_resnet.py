"""Residual networks against torchvision's and timm's: same weights, same features, any stride."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet as torchvision_resnet

from maskwright.architectures.encoders import RESNETS, ResNet, ResNetConfig
from maskwright.architectures.encoders.resnet import from_reference
from maskwright.architectures.encoders.strides import plan
from maskwright.core.errors import ConfigError


def dilations(network: nn.Module) -> list[int]:
    """Of the 3x3 convolutions of the four stages, in order."""
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    convs = [module for stage in stages for module in stage.modules()]
    return [
        conv.dilation[0]
        for conv in convs
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)
    ]


def shaken(network: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with norms that do something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            nn.init.normal_(module.running_mean, 0.0, 0.1)
    return network.double().eval()


@pytest.mark.parametrize("name", RESNETS)
def test_a_classifiers_parameters_are_torchvisions(name):
    with torch.device("meta"):
        ours = ResNet(RESNETS[name]).state_dict()
        theirs = from_reference(getattr(torchvision_resnet, name)().state_dict())
    assert {key: tensor.shape for key, tensor in ours.items()} == {
        key: tensor.shape for key, tensor in theirs.items()
    }


@pytest.mark.parametrize(
    ("output_stride", "replace"), [(32, (0, 0, 0)), (16, (0, 0, 1)), (8, (0, 1, 1))]
)
def test_bottlenecks_dilate_by_torchvisions_rule(output_stride, replace):
    theirs = shaken(
        torchvision_resnet.ResNet(
            torchvision_resnet.Bottleneck, [1, 2, 2, 3], replace_stride_with_dilation=replace
        )
    )
    config = ResNetConfig(depths=(1, 2, 2, 3), output_stride=output_stride)
    ours = ResNet(config).double().eval()
    ours.load_state_dict(from_reference(theirs.state_dict()))
    images = torch.rand(1, 3, 49, 65, dtype=torch.float64)
    with torch.no_grad():
        found = ours(images)
        wanted = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        for feature, stage in zip(found[1:], [1, 2, 3, 4]):
            wanted = getattr(theirs, f"layer{stage}")(wanted)
            torch.testing.assert_close(feature, wanted, rtol=1e-12, atol=1e-12)
    assert [feature.shape[1] for feature in found] == list(ours.channels)
    sizes = [-(-49 // stride) for stride in ours.strides]
    assert [feature.shape[2] for feature in found] == sizes
    assert ours.strides[-1] == output_stride


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_basic_blocks_dilate_as_timms(output_stride):
    theirs = shaken(timm.create_model("resnet18", features_only=True, output_stride=output_stride))
    config = dataclasses.replace(RESNETS["resnet18"], output_stride=output_stride)
    ours = ResNet(config).double().eval()
    ours.load_state_dict(from_reference(theirs.state_dict()))
    images = torch.rand(1, 3, 65, 49, dtype=torch.float64)
    with torch.no_grad():
        for found, wanted in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_the_first_block_can_dilate_and_the_last_stage_have_a_grid_of_its_own():
    with torch.device("meta"):
        sizes = ResNetConfig(depths=(1, 1, 2, 3), output_stride=8)
        assert dilations(ResNet(sizes)) == [1, 1, 1, 2, 2, 4, 4]
        first = dataclasses.replace(sizes, dilate_first=True)
        assert dilations(ResNet(first)) == [1, 1, 2, 2, 4, 4, 4]
        grid = dataclasses.replace(sizes, multi_grid=(4, 8, 16))
        assert dilations(ResNet(grid)) == [1, 1, 1, 2, 4, 8, 16]


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_fewer_levels_give_the_same_features_with_fewer_stages(levels):
    sizes = ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16))
    whole = ResNet(sizes).eval()
    part = ResNet(dataclasses.replace(sizes, levels=levels)).eval()
    part.load_state_dict({key: whole.state_dict()[key] for key in part.state_dict()})
    with torch.no_grad():
        images = torch.rand(1, 3, 33, 65)
        found, wanted = part(images), whole(images)[:levels]
    assert len(found) == len(part.channels) == len(part.strides) == levels
    assert all(torch.equal(one, other) for one, other in zip(found, wanted))
    assert not hasattr(part, f"layer{levels}")


def test_three_namings_of_a_deep_stem_are_one():
    with torch.device("meta"):
        network = ResNet(ResNetConfig(deep_stem=(8, 12, 24)))
    assert network.channels[0] == 24
    ours = network.state_dict()
    classifier = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3"}
    sequence, numbered = {}, {"fc.weight": torch.zeros(1)}
    for name, tensor in ours.items():
        first, second, *rest = name.split(".")
        if first == "conv1":
            sequence[f"layer0.{second}.{rest[0]}"] = tensor
            numbered[f"{classifier[second]}.{rest[0]}"] = tensor
        elif first == "bn1":
            sequence[f"layer0.7.{second}"] = numbered[f"bn3.{second}"] = tensor
        else:
            sequence[name] = numbered[name] = tensor
    for theirs in (ours, sequence, numbered):
        assert {name: id(tensor) for name, tensor in from_reference(theirs).items()} == {
            name: id(tensor) for name, tensor in ours.items()
        }
    assert all(name.startswith("encoder.") for name in from_reference(ours, "encoder."))


def test_strides_are_planned_from_the_image_on():
    reached = [step.reached for step in plan((2, 2, 1, 2, 2, 2), 16)]
    assert reached == [2, 4, 4, 8, 16, 16]
    assert [step.dilation for step in plan((2, 2, 2, 2, 2), 8)] == [1, 1, 1, 2, 4]


def test_sizes_that_contradict_each_other_are_told():
    with pytest.raises(ConfigError, match="one of 8, 16, 32, got 12"):
        ResNet(ResNetConfig(output_stride=12))
    with pytest.raises(ConfigError, match=r"last stage's 3 blocks, got \(1, 2\)"):
        ResNetConfig(multi_grid=(1, 2))
    with pytest.raises(ConfigError, match=r"can be wanted \(0: all\), got levels 1"):
        ResNetConfig(levels=1)
    with pytest.raises(ConfigError, match="3 positive entries in deep_stem"):
        ResNetConfig(deep_stem=(64, 64))
