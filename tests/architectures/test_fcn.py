"""FCN: crops against coordinates that went through the layers, variants, both runtimes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from maskwright.architectures import fcn
from maskwright.core.errors import ConfigError

SMALL = fcn.tiny(3).config


@pytest.mark.parametrize(("stride", "wanted"), [(32, (19,)), (16, (5, 27)), (8, (5, 9, 31))])
def test_the_authors_sizes_give_the_authors_crops(stride, wanted):
    assert fcn.crop_offsets(fcn.FCNConfig(stride=stride)) == wanted


def enlarged(places, factor):
    """Coordinates through a bilinear transposed convolution; true wherever two cells meet."""
    taps = 1 - (torch.arange(2 * factor) - factor + 0.5).abs().double() / factor
    return F.conv_transpose1d(places, taps[None, None], stride=factor)


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize(("kernel", "padding"), [(7, 100), (7, 120), (5, 60), (4, 34)])
def test_crops_lay_every_place_on_itself(stride, kernel, padding):
    """Coordinates take the layers' way: means for poolings and kernels, bilinear enlargement."""
    config = fcn.FCNConfig(stride=stride, fc_kernel=kernel, padding=padding)
    offsets = list(fcn.crop_offsets(config))
    length = 320 - 2 * (padding - 1) % 32  # poolings leave nothing over
    pooled = torch.arange(1 - padding, length + padding - 1, dtype=torch.float64)[None, None]
    maps = {}
    for level in (2, 4, 8, 16, 32):
        maps[level] = pooled = F.avg_pool1d(pooled, 2, ceil_mode=True)
    places = F.avg_pool1d(pooled, kernel, stride=1)
    for level in (16, 8):
        if level >= stride:
            places = enlarged(places, 2)
            skip = maps[level][..., offsets.pop(0) :][..., : places.shape[-1]]
            torch.testing.assert_close(places[..., 3:-3], skip[..., 3:-3])
            places = skip
    found = enlarged(places, stride)[0, 0, offsets[0] : offsets[0] + length]
    torch.testing.assert_close(found[40:-40], torch.arange(40.0, length - 40).double())


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 64), (45, 61), (33, 129)])
def test_every_variant_answers_at_any_size(stride, size):
    network = fcn.FCN(dataclasses.replace(SMALL, stride=stride)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size))["logits"].shape == (1, 3, *size)
    own, other = network.state_dict(), fcn.FCN(dataclasses.replace(network.config, classes=4))
    differ = {key for key, value in other.state_dict().items() if value.shape != own[key].shape}
    assert differ == {key for key in own if key.startswith(network.head_prefixes())}


def test_skips_can_be_scaled_to_train_at_once():
    torch.manual_seed(0)
    network = fcn.FCN(dataclasses.replace(SMALL, skip_scales=(0.0, 0.0))).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for skip in network.skips.values():
            skip.bias.zero_()
        plain = network(images)["logits"]
        for skip in network.skips.values():
            skip.weight.zero_()
        torch.testing.assert_close(network(images)["logits"], plain)


@pytest.mark.parametrize("sizes", [{"fc_kernel": 3}, {"padding": 50}, {"fc_kernel": 9}])
def test_sizes_that_leave_the_image_uncovered_are_refused(sizes):
    with pytest.raises(ConfigError, match=f"got fc_kernel {sizes.get('fc_kernel', 7)}"):
        fcn.FCNConfig(**sizes)
