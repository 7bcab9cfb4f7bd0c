"""What learns how: weight decay by the kind of each parameter, and parts that are frozen."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torch.distributed as dist
from test_contract import each_network, random_images, random_targets, tiny
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskwright.architectures import build, modify
from maskwright.architectures.deploy import evaluating
from maskwright.architectures.encoders import TimmEncoder
from maskwright.architectures.fusing import batch_norm_fusion
from maskwright.core.errors import ConfigError
from maskwright.training.config import TrainConfig
from maskwright.training.optimiser import AveragedWeights, build_optimiser

MULTIPLY = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def decayed(network):
    """Names of the parameters that are decayed."""
    inside = {
        id(parameter)
        for group in network.parameter_groups()
        if group.decays
        for parameter in group.parameters
    }
    return {name for name, parameter in network.named_parameters() if id(parameter) in inside}


def learn(network, steps=3):
    """A few steps as the trainer makes them, in the mode that the network is in."""
    optimiser = build_optimiser(network, TrainConfig(architecture="unet", steps=1, lr=0.05))
    for group in optimiser.param_groups:
        group["lr"] = group["peak"]
    for step in range(steps):
        images_B3HW = network.normalise(random_images(64, 64, seed=step))
        outputs = network(images_B3HW)
        network.losses(outputs, random_targets(3, 64, 64))["total"].backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


@each_network
def test_what_multiplies_features_is_decayed_and_nothing_else(name):
    network = tiny(name)
    wanted = {
        f"{place}.weight"
        for place, module in network.named_modules()
        if isinstance(module, MULTIPLY)
    }
    assert decayed(network) == wanted
    groups = network.parameter_groups()
    assert {group.part for group in groups} == {"head"}
    found = [id(parameter) for group in groups for parameter in group.parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in network.parameters())


@pytest.mark.parametrize(
    "encoder", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "test_vit"]
)
def test_what_timm_does_not_decay_is_not_decayed(encoder):
    network = tiny("unet")
    with torch.device("meta"):
        network.encoder = TimmEncoder(encoder)
        whole = timm.create_model(encoder)
    spared = {
        name
        for name, parameter in network.encoder.named_parameters()
        if parameter.ndim > 1 and f"encoder.{name}" not in decayed(network)
    }
    assert spared
    for name, parameter in network.encoder.named_parameters():
        plain = name.replace("layers_", "layers.")  # as timm calls it in the whole network
        told = any(plain.endswith(f".{one}") for one in whole.no_weight_decay())
        assert (name in spared) == (told and parameter.ndim > 1), name


def test_queries_tables_and_scales_are_not_decayed():
    network = tiny("unet")
    network.queries = nn.Embedding(5, 8)
    network.position = nn.Parameter(torch.zeros(1, 9, 8))
    network.attention = nn.MultiheadAttention(8, 2)
    network.layer = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    own = {name for name in decayed(network) if name.split(".")[0] in
           {"queries", "position", "attention", "layer"}}  # fmt: skip
    assert own == {
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "layer.parametrizations.weight.original0",
        "layer.parametrizations.weight.original1",
    }


def test_a_module_names_more_of_its_own():
    class Table(nn.Linear):
        def no_weight_decay(self):
            return {"weight"}

    network = tiny("unet")
    network.head = nn.Sequential(Table(3, 3), nn.Linear(3, 3))
    assert {name for name in decayed(network) if name.startswith("head")} == {"head.1.weight"}


# --- frozen parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "frozen"),
    [
        ("fcn-resnet50", "encoder", "encoder."),
        ("unet-encoder", "encoder.", "encoder."),
        ("bisenetv1", "encoder", "context.encoder."),
        ("bisenetv2", "semantic", "semantic."),
        ("segformer-b0", "encoder.stages.1", "encoder.stages.1."),
    ],
)
def test_frozen_parts_keep_weights_and_statistics(name, given, frozen):
    network = tiny(name)
    network.freeze(given)
    averages = AveragedWeights(network, 0.9)
    before = copy.deepcopy(network.state_dict())
    learn(network.train())
    averages.update(network)
    after, averaged = network.state_dict(), averages.network.state_dict()
    inside = {key for key in before if key.startswith(frozen)}
    assert inside
    assert {key for key in before if torch.equal(before[key], after[key])} >= inside
    assert all(torch.equal(before[key], averaged[key]) for key in inside)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == set(before) - inside - {
        key for key in before if key.endswith("num_batches_tracked") and key in inside
    }
    parameters = dict(network.named_parameters())
    assert all(parameters[key].grad is None for key in inside & set(parameters))


def test_frozen_parts_rest_in_training_and_scoring_does_not_wake_them():
    network = tiny("fcn-resnet50")
    network.freeze("encoder")
    network.freeze("encoder")
    assert network.frozen == ("encoder",)
    assert network.training
    for _ in range(2):
        assert not any(module.training for module in network.encoder.modules())
        assert all(module.training for module in network.head.modules())
        with evaluating(network):
            assert not any(module.training for module in network.modules())
        network.train(False).train()
    assert copy.deepcopy(network).train().encoder.training is False


def test_single_parameters_and_everything_can_be_frozen():
    network = build("fully-connected", 3, side=8, hidden=4)
    network.freeze("class_bias", "see.weight")
    assert {n for n, p in network.named_parameters() if not p.requires_grad} == {
        "class_bias",
        "see.weight",
    }
    network.freeze("")
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network.parameter_groups() == ()
    with pytest.raises(ConfigError, match="all of it is frozen"):
        build_optimiser(network, TrainConfig(architecture="fully-connected", steps=1))


@pytest.mark.parametrize("part", ["encoder", "stem.9", "hea"])
def test_a_part_that_is_not_there_is_told_with_those_that_are(part):
    with pytest.raises(ConfigError, match=rf"no part '{part}'.*stem, down, up, head"):
        tiny("unet").freeze(part)


def test_what_is_left_of_a_changed_part_stays_frozen():
    network = tiny("unet-encoder")
    modify(network, batch_norm_fusion(network))
    network.freeze("encoder")
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())


def test_many_processes_train_what_is_left(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        plain, network = tiny("fcn-resnet50"), tiny("fcn-resnet50")
        for one in (plain, network):
            one.freeze("encoder")
        together = DistributedDataParallel(network).train()
        assert not network.encoder.training
        images_B3HW = random_images(64, 64)
        targets = random_targets(3, 64, 64)
        for one, forward in ((plain.train(), plain), (network, together)):
            torch.manual_seed(0)  # of dropout
            one.losses(forward(one.normalise(images_B3HW)), targets)["total"].backward()
    finally:
        dist.destroy_process_group()
    gradients = dict(network.named_parameters())
    for name, parameter in plain.named_parameters():
        found = gradients[name].grad
        assert (found is None) == (parameter.grad is None) == name.startswith("encoder.")
        if found is not None:
            torch.testing.assert_close(found, parameter.grad)
