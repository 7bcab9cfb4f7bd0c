"""GFLOPs and parameters against counts made another way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskwright.architectures import ARCHITECTURES, summarise
from maskwright.core.errors import ConfigError


def layer_flops(network, images_B3HW):
    """2 a multiply-add of every convolution and linear layer, by its own output (or input) size."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        if isinstance(module, nn.ConvTranspose2d):
            total += 2 * inputs[0].numel() * module.weight[0].numel()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            total += 2 * output.numel() * module.weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    with torch.no_grad():
        network(images_B3HW)
    for hook in hooks:
        hook.remove()
    return total


def full_size(name):
    entry = ARCHITECTURES[name]
    with torch.device("meta"):
        return entry.network(entry.config).eval(), torch.empty(1, 3, *entry.input_size)


ATTENTION = ("segformer", "-ocr", "caa", "danet", "dranet", "sparseinst")
"""What the names of networks with products of two tensors have in them."""


FAMILIES = {entry.network: name for name, entry in reversed(ARCHITECTURES.items())}
"""One name for each network: variants differ in sizes, which both counts read alike."""


@pytest.mark.parametrize(
    "name", [name for name in FAMILIES.values() if not any(part in name for part in ATTENTION)]
)
def test_convolutional_networks(name):
    network, images_B3HW = full_size(name)
    summary = summarise(name)
    assert summary.gflops == pytest.approx(layer_flops(network, images_B3HW) / 1e9)
    assert summary.parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["segformer-b0", "segformer-b3"])
def test_attention_and_the_joined_decoder_count_too(name):
    network, images_B3HW = full_size(name)
    config = network.config
    flops = layer_flops(network, images_B3HW)
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths)):
        tokens = (512 >> (2 + stage)) ** 2
        keys = tokens // config.reductions[stage] ** 2
        flops += depth * 2 * (2 * tokens * keys * width)  # scores, then weighted values
        # the decoder: its two matrices with each other, then on pixels
        flops += 2 * config.decoder_width**2 * width
        flops += 2 * tokens * width * config.decoder_width
    # a product of a matrix with a vector, the bias, is below what torch's counter looks at
    assert summarise(name).gflops == pytest.approx(flops / 1e9, rel=1e-9)


def test_attention_to_regions_counts_too():
    network, images_B3HW = full_size("hrnetv2-w48-ocr")
    config = network.config
    pixels, regions = 128 * 256, config.classes
    flops = 2 * pixels * regions * (config.width + 2 * config.key_width)
    flops += layer_flops(network, images_B3HW)
    assert summarise("hrnetv2-w48-ocr").gflops == pytest.approx(flops / 1e9, rel=1e-9)


def test_attention_along_lines_counts_too():
    network, images_B3HW = full_size("caa-b0")
    config, side = network.config, 512 // 16
    flops = layer_flops(network, images_B3HW)
    flops += 2 * 2 * side**3 * (config.key_width + config.width)
    assert summarise("caa-b0").gflops == pytest.approx(flops / 1e9, rel=1e-9)


@pytest.mark.parametrize("name", ["danet-resnet50", "dranet-resnet50"])
def test_attention_between_places_and_channels_counts_too(name):
    network, images_B3HW = full_size(name)
    config, places = network.config, 64 * 128
    whole = name.startswith("danet")
    asked = places if whole else sum(side**2 for side in config.regions)
    mixed = config.width if whole else config.gathered_width
    flops = layer_flops(network, images_B3HW)
    flops += 2 * places * asked * (config.key_width + config.width)
    flops += 2 * 2 * places * config.width * mixed
    assert summarise(name).gflops == pytest.approx(flops / 1e9, rel=1e-9)


def test_published_numbers_are_those_of_the_variant():
    summary = summarise("segformer-b0")
    assert {item.variant for item in summary.published} == {"segformer-b0"}
    assert any(item.value == 37.4 for item in summary.published)
    assert {item.variant for item in summarise("bisenetv2").published} == {""}


def test_unknown_name():
    with pytest.raises(ConfigError, match="did you mean bisenetv2"):
        summarise("bisenetv22")
