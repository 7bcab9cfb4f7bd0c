"""Every network on images of other channels, its weights adapted as timm adapts them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_contract import each_network, random_images, tiny
from test_modifications import card_of
from timm.models import adapt_input_conv
from torch import nn

from maskwright.architectures import input_channels, load_checkpoint, modify, save_checkpoint
from maskwright.architectures.channels import adapt_weight, for_channels
from maskwright.core.card import Modification
from maskwright.core.errors import ConfigError
from maskwright.core.pixels import Pixels


def images_of(channels, highest=255, size=(64, 64)):
    drawn = np.random.default_rng(0).integers(0, highest + 1, (2, channels, *size))
    return torch.from_numpy(drawn.astype(Pixels(highest=highest).dtype))


@each_network
@pytest.mark.parametrize("channels", [1, 4])
def test_every_network_takes_other_channels(name, channels):
    network = tiny(name).eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    learning = [parameter.requires_grad for parameter in network.parameters()]
    modification = input_channels(network, channels)
    assert [parameter.requires_grad for parameter in network.parameters()] == learning
    assert all(torch.equal(before[key], now) for key, now in network.state_dict().items())
    modify(network, modification)
    network.highest = 4095
    assert network.expects == Pixels(channels=channels, highest=4095)
    images = images_of(channels, 4095)
    with torch.no_grad():
        class_map_BHW = network.deploy(images)["class_map"]
        outputs = network.train()(network.normalise(images))
    assert class_map_BHW.shape == (2, 64, 64)
    assert set(outputs) == {"logits", *network.auxiliary_weights}
    layers = modification.parameters["layers"]
    changed = {key for key, now in network.state_dict().items() if now.shape != before[key].shape}
    assert changed == {f"{layer}.weight" for layer in layers}
    for layer in layers:
        was, now = before[f"{layer}.weight"], network.get_submodule(layer).weight
        square = was if was.ndim == 4 else was.unflatten(1, (3, -1))[..., None]
        wanted = adapt_input_conv(channels, square)
        torch.testing.assert_close(now, wanted.reshape(now.shape))


@each_network
def test_every_channel_is_seen(name):
    network = tiny(name).eval()
    modify(network, input_channels(network, 4))
    images = network.normalise(images_of(4)).requires_grad_(True)
    network(images)["logits"].square().sum().backward()
    seen_B4 = images.grad.abs().sum(dim=(2, 3))
    assert (seen_B4 > 0).all()


def test_grey_answers_as_three_equal_colours_where_normalised_alike():
    network = tiny("unet").eval()  # as it is, 0..1
    grey = images_of(1)
    with torch.no_grad():
        wanted = network(network.normalise(grey.expand(-1, 3, -1, -1)))["logits"]
        modify(network, input_channels(network, 1))
        torch.testing.assert_close(network(network.normalise(grey))["logits"], wanted)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7])
def test_weights_of_any_count_are_adapted_as_timm_does(channels):
    weight = torch.randn(6, 3, 5, 5)
    torch.testing.assert_close(
        adapt_weight(weight, 3, channels), adapt_input_conv(channels, weight)
    )


def test_what_is_normalised_with():
    assert for_channels((0.1, 0.2, 0.6), 1) == pytest.approx((0.3,))
    assert for_channels((0.1, 0.2, 0.6), 2) == pytest.approx((0.3, 0.3))
    assert for_channels((0.1, 0.2, 0.6), 3) == (0.1, 0.2, 0.6)
    assert for_channels((0.1, 0.2, 0.6), 5) == pytest.approx((0.1, 0.2, 0.6, 0.3, 0.3))


@pytest.mark.parametrize("highest", [255, 4095, 65535])
def test_the_highest_value_is_full_brightness(highest):
    network = tiny("bisenetv1").eval()
    network.highest = highest
    images = torch.full((1, 3, 4, 4), highest, dtype=images_of(3, highest).dtype)
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(network.normalise(images)[0, :, 0, 0], white)


def test_a_checkpoint_brings_them_back(tmp_path):
    network = tiny("bisenetv2").eval()
    modify(network, input_channels(network, 4))
    network.highest = 4095
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, network, card_of("bisenetv2", network))
    again, card = load_checkpoint(path)
    assert card.pixels == again.expects == Pixels(channels=4, highest=4095)
    images = images_of(4, 4095)
    with torch.no_grad():
        wanted, found = (one(one.normalise(images))["logits"] for one in (network, again))
    assert torch.equal(found, wanted)
    assert random_images(8, 8).dtype == torch.uint8  # RGB stays what it was


def test_what_can_not_be_adapted_is_told():
    network = tiny("unet")
    network.stem[0].conv = nn.Conv2d(3, 9, 3, padding=1, groups=3)
    with pytest.raises(ConfigError, match=r"without groups.*stem\.0\.conv"):
        modify(network, Modification(name="input-channels", parameters={
            "channels": 4, "layers": ["stem.0.conv"]}))  # fmt: skip
    with pytest.raises(ConfigError, match="a layer that reads"):
        modify(network, Modification(name="input-channels", parameters={
            "channels": 4, "layers": []}))  # fmt: skip
