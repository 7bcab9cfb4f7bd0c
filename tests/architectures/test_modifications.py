"""Networks that were changed: what a card tells is done again, and nothing else.

Folding is held against the network before it, cutting against a hand-written cut of the same
channels, and the mechanism against a wrapper of the test's own.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import safetensors
import safetensors.torch
import torch
from standin import make_images
from test_contract import each_network, random_images, tiny
from torch import nn

from maskwright.architectures import (
    batch_norm_fusion,
    build,
    load_checkpoint,
    modifications,
    modify,
    rebuild,
    save_checkpoint,
)
from maskwright.architectures.checkpoint import METADATA_KEY
from maskwright.architectures.dilation import Dilation
from maskwright.architectures.fcn import FCN
from maskwright.architectures.fully_connected import FullyConnected
from maskwright.architectures.segformer import SegFormer
from maskwright.core.card import ModelCard, Modification
from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.resize import Resize
from maskwright.export import export
from maskwright.layers.conv import ConvNormAct

WITHOUT_PAIRS = (SegFormer, FCN, Dilation, FullyConnected)
"""Without batch norms behind convolutions: SegFormer's one stands behind a sum."""


def with_statistics(network, seed=0):
    """Batch norms that do something, and different for each channel."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return network.eval()


def norms(network):
    return [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]


def logits_of(network, images_B3HW):
    with torch.no_grad():
        return network(network.normalise(images_B3HW))["logits"]


def card_of(name, network):
    return ModelCard(
        name="changed",
        architecture=name,
        config=network.config_dict(),
        classes=Classes.of(["grass", "line", "ball"]),
        tasks=("semantic",),
        resize=Resize(size=(64, 64)),
    )


@each_network
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_folded_batch_norms_answer_as_before(name, dtype, tolerance):
    network = with_statistics(tiny(name)).to(dtype)
    images_B3HW = random_images(64, 64)
    wanted = logits_of(network, images_B3HW)
    before, training = norms(network), [module.training for module in network.modules()]
    fusion = batch_norm_fusion(network)
    assert [module.training for module in network.modules()] == training
    modify(network, fusion)
    assert bool(fusion.parameters["pairs"]) == (not isinstance(network, WITHOUT_PAIRS))
    assert len(norms(network)) == len(before) - len(fusion.parameters["pairs"])
    found = logits_of(network, images_B3HW)
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * float(wanted.abs().max()))
    assert network.modifications == (fusion,)
    assert batch_norm_fusion(network).parameters["pairs"] == []


def test_only_what_one_batch_norm_alone_reads_is_folded():
    class Forks(type(tiny("unet"))):
        def forward(self, images_B3HW):
            made = self.stem[0].conv(images_B3HW)
            return {"logits": self.stem[0].norm(made)[:, :3] + made[:, :3]}

    network = with_statistics(tiny("unet"))
    network.__class__ = Forks
    assert batch_norm_fusion(network).parameters["pairs"] == []


def test_transposed_grouped_and_plain_norms_fold_too():
    class Parts(type(tiny("unet"))):
        def forward(self, images_B3HW):
            return {"logits": self.parts(images_B3HW)}

    network = tiny("unet")
    network.__class__ = Parts
    network.parts = nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6, affine=False),
        nn.ConvTranspose2d(6, 4, 3, groups=2, bias=False), nn.BatchNorm2d(4),
        nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False),
    )  # fmt: skip
    for module in network.parts:
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    network = network.double().eval()
    images_B3HW = random_images(64, 64)
    wanted = logits_of(network, images_B3HW)
    fusion = batch_norm_fusion(network)
    assert fusion.parameters["pairs"] == [["parts.0", "parts.1"], ["parts.2", "parts.3"]]
    modify(network, fusion)
    torch.testing.assert_close(logits_of(network, images_B3HW), wanted, rtol=1e-12, atol=1e-12)


# --- channels that stay --------------------------------------------------------------------------


def prune_unet(network):
    """Every level's first convolution keeps its even channels; -> what does the same again."""
    layers = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential) and len(module) == 2:
            first, second = module
            if isinstance(first, ConvNormAct) and isinstance(second, ConvNormAct):
                kept = list(range(0, first.conv.out_channels, 2))
                layers |= {
                    f"{name}.0.conv": {"out": kept},
                    f"{name}.0.norm": {"out": kept},
                    f"{name}.1.conv": {"in": kept},
                }
    return Modification(name="keep-channels", parameters={"layers": layers})


def prune_bisenet(network):
    """The depth-wise convolution inside a gather-and-expansion layer, and what is around it."""
    place = "semantic.stages.2.1"
    block = network.get_submodule(place)
    inside, wide = block.gather.conv.out_channels, block.expand[0].conv.out_channels
    kept = [index for index in range(inside) if index % 3]
    expanded = [index for index in range(wide) if index // (wide // inside) in kept]
    layers = {
        f"{place}.gather.conv": {"out": kept},
        f"{place}.gather.norm": {"out": kept},
        f"{place}.expand.0.conv": {"in": kept, "out": expanded},
        f"{place}.expand.0.norm": {"out": expanded},
        f"{place}.project.conv": {"in": expanded},
    }
    return Modification(name="keep-channels", parameters={"layers": layers})


def silenced(network, modification):
    """A copy that has all channels, those that go at zero: what cutting must not differ from."""
    network = copy.deepcopy(network)
    for name, kept in modification.parameters["layers"].items():
        layer = network.get_submodule(name)
        if "out" in kept and isinstance(layer, nn.BatchNorm2d):
            gone = [one for one in range(layer.num_features) if one not in kept["out"]]
            with torch.no_grad():
                layer.weight[gone] = layer.bias[gone] = 0.0
                layer.running_mean[gone] = 0.0
    return network


PRUNED = {"unet": prune_unet, "bisenetv2": prune_bisenet}
TINY_OPTIONS = {
    "unet": {"width": 8, "levels": 3},
    "bisenetv2": {
        "detail_widths": (16, 16, 32),
        "detail_depths": (1, 2, 2),
        "semantic_widths": (8, 16, 16, 24),
        "semantic_depths": (1, 1, 2),
        "expansion": 3,
        "head_width": 64,
        "auxiliary_width": 16,
    },
}


@pytest.mark.parametrize("name", PRUNED)
def test_a_pruned_network_is_saved_loaded_and_exported(name, tmp_path):
    network = with_statistics(tiny(name))
    images_B3HW = random_images(64, 64)
    modification = PRUNED[name](network)
    weights = sum(parameter.numel() for parameter in network.parameters())
    wanted = logits_of(silenced(network, modification), images_B3HW)
    modify(network, modification)
    found = logits_of(network, images_B3HW)
    assert sum(parameter.numel() for parameter in network.parameters()) < weights
    torch.testing.assert_close(found, wanted)
    modify(network, batch_norm_fusion(network))
    path = tmp_path / "pruned.safetensors"
    save_checkpoint(path, network, card_of(name, network))
    again, card = load_checkpoint(path)
    assert [each.name for each in card.modifications] == ["keep-channels", "fuse-batch-norm"]
    assert again.modifications == card.modifications
    assert torch.equal(logits_of(again, images_B3HW), logits_of(network, images_B3HW))
    report = export(
        again, card, tmp_path / "pruned.mask", make_images(2), threads=1, minimum_agreement=0.99
    )
    assert report.card.modifications == card.modifications
    assert json.loads(json.dumps(report.card.to_dict()))["format_version"] == 3


@pytest.mark.parametrize("name", PRUNED)
def test_a_pruned_network_is_rebuilt_for_other_weights_and_learns(name):
    network = tiny(name)
    modification = PRUNED[name](network)
    modify(network, modification)
    plain = json.loads(json.dumps(modification.to_dict()))
    again = rebuild(name, 3, TINY_OPTIONS[name], [Modification.from_dict(plain)])
    again.load_state_dict(network.state_dict(), strict=True)
    assert again.modifications == network.modifications == (modification,)
    again.train()(again.normalise(random_images(64, 64)))["logits"].sum().backward()
    assert all(parameter.grad is not None for parameter in again.get_submodule(
        next(iter(modification.parameters["layers"]))).parameters())  # fmt: skip
    other = rebuild(name, 7, TINY_OPTIONS[name], network.modifications).eval()
    assert logits_of(other, random_images(64, 64)).shape[1] == 7


def linear_layers():
    network = tiny("unet")
    network.linear = nn.Linear(6, 4)
    network.norm = nn.LayerNorm(6)
    network.transposed = nn.ConvTranspose2d(4, 6, 2, groups=2)
    return network


def test_linear_layers_layer_norms_and_transposed_convolutions_are_cut():
    network, kept = linear_layers(), [0, 3, 5]
    before = copy.deepcopy(network)
    layers = {
        "linear": {"in": kept, "out": [1, 2]},
        "norm": {"out": kept},
        "transposed": {"in": [1, 3], "out": [0, 2, 3, 4]},
    }
    modify(network, Modification(name="keep-channels", parameters={"layers": layers}))
    values = torch.randn(5, 6)
    values[:, [1, 2, 4]] = 0
    torch.testing.assert_close(network.linear(values[:, kept]), before.linear(values)[:, [1, 2]])
    assert torch.equal(network.norm.weight, before.norm.weight[kept])
    assert network.norm(values[:, kept]).shape == (5, 3)
    maps = torch.randn(2, 4, 5, 5)
    maps[:, [0, 2]] = 0
    torch.testing.assert_close(
        network.transposed(maps[:, [1, 3]]), before.transposed(maps)[:, [0, 2, 3, 4]]
    )


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ({"linear": {"out": [0, 4]}}, r"from 0 to 3 .*linear \('out'\), got \[0, 4\]"),
        ({"linear": {"out": [2, 1]}}, "rising indices"),
        ({"linear": {"in": []}}, "rising indices"),
        ({"linear": {"outer": [1]}}, "outer"),
        ({"norm": {"in": [1]}}, "LayerNorm"),
        ({"up": {"out": [1]}}, "ModuleList"),
        ({"transposed": {"in": [0, 1, 2]}}, "2 groups of 2 inputs and 3 outputs"),
        ({"transposed": {"in": [0, 1]}}, "as many channels of every group"),
        ({"nothing": {"out": [1]}}, "can't be done to this UNet"),
        ([], "can't be done to this UNet"),
    ],
)
def test_what_does_not_fit_is_told(layers, told):
    network = linear_layers()
    with pytest.raises(ConfigError, match=told):
        modify(network, Modification(name="keep-channels", parameters={"layers": layers}))
    assert network.modifications == ()


# --- the mechanism -------------------------------------------------------------------------------


class Scaled(nn.Module):
    """A layer of anybody's behind a factor of its own, with a table that no file holds."""

    def __init__(self, inner, factor):
        super().__init__()
        self.inner = inner
        self.factor = nn.Parameter(torch.full((1,), factor))
        self.register_buffer("table", torch.arange(3.0), persistent=False)

    def forward(self, features):
        return self.inner(features) * self.factor * self.table[1]


def scale(network, parameters):
    for name in parameters["layers"]:
        network.set_submodule(name, Scaled(network.get_submodule(name), parameters["factor"]))


def test_a_wrapper_with_tensors_of_its_own_comes_back(tmp_path, monkeypatch):
    monkeypatch.setitem(modifications.MODIFICATIONS, "scale", scale)
    network = with_statistics(tiny("unet"))
    images_B3HW = random_images(64, 64)
    plain = logits_of(network, images_B3HW)
    wrapping = Modification(name="scale", parameters={"layers": ["head"], "factor": 3.0})
    modify(network, wrapping)
    torch.testing.assert_close(logits_of(network, images_B3HW), 3 * plain)
    with torch.no_grad():
        network.head.factor.fill_(0.5)  # as training would change it
    path = tmp_path / "wrapped.safetensors"
    save_checkpoint(path, network, card_of("unet", network))
    again, card = load_checkpoint(path)
    assert isinstance(again.head, Scaled)
    assert card.modifications == (wrapping,)
    torch.testing.assert_close(logits_of(again, images_B3HW), plain / 2)
    export(again, card, tmp_path / "w.mask", make_images(1), threads=1, minimum_agreement=0.99)


def test_modifications_of_another_version_are_told(tmp_path):
    with pytest.raises(ModelFileError, match=r"'fake-quantise', and this version.*upgrade"):
        modify(tiny("unet"), Modification(name="fake-quantise"))
    network = tiny("unet")
    network.modifications = (Modification(name="fake-quantise"),)
    path = tmp_path / "newer.safetensors"
    save_checkpoint(path, network, card_of("unet", network))
    with pytest.raises(ModelFileError, match=r"newer\.safetensors.*'fake-quantise'.*upgrade"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": {"head": {"out": [99]}}},
        {"layers": {"tail": {"out": [0]}}},
        {"layers": 3},
        {},
    ],
)
def test_a_damaged_list_of_modifications_is_told(tmp_path, wrong):
    path = tmp_path / "x.safetensors"
    network = tiny("unet")
    save_checkpoint(path, network, card_of("unet", network))
    with safetensors.safe_open(path, "pt") as file:
        card = json.loads(file.metadata()[METADATA_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    card["modifications"] = [{"name": "keep-channels", "parameters": wrong}]
    safetensors.torch.save_file(tensors, path, {METADATA_KEY: json.dumps(card)})
    with pytest.raises(ModelFileError, match=r"x\.safetensors"):
        load_checkpoint(path)


def test_the_card_tells_what_the_network_remembers(tmp_path):
    network = tiny("unet")
    stale = replace(card_of("unet", network), modifications=(Modification(name="gone"),))
    save_checkpoint(tmp_path / "x.safetensors", network, stale)
    assert load_checkpoint(tmp_path / "x.safetensors")[1].modifications == ()


def test_building_starts_without_modifications():
    assert build("unet", 3, width=4).modifications == ()
