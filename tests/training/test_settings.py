"""Settings, durations, schedules, optimisers, averages: pure parts of a run."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from maskwright.architectures import build
from maskwright.core.errors import ConfigError
from maskwright.training import TrainConfig, parse_duration, rate_factor
from maskwright.training.optimiser import AveragedWeights, build_optimiser


def config(**changes) -> TrainConfig:
    return TrainConfig(**({"architecture": "unet", "steps": 10} | changes))


# --- durations ------------------------------------------------------------------------------------


@given(hours=st.integers(0, 99), minutes=st.integers(0, 99), seconds=st.integers(0, 99))
def test_durations_add_up(hours, minutes, seconds):
    parts = [(hours, "h"), (minutes, "m"), (seconds, "s")]
    text = "".join(f"{number}{unit}" for number, unit in parts if number)
    total = 3600 * hours + 60 * minutes + seconds
    if total:
        assert parse_duration(text) == parse_duration(f" {text.upper()} ") == total
    else:
        with pytest.raises(ConfigError):
            parse_duration(text)


@given(number=st.floats(0.001, 1e6), unit=st.sampled_from("smh"))
def test_durations_may_have_decimals(number, unit):
    expected = float(f"{number:.4f}") * {"s": 1, "m": 60, "h": 3600}[unit]
    assert parse_duration(f"{number:.4f}{unit}") == pytest.approx(expected)


@given(text=st.text(max_size=8) | st.text("0123456789.smh -", max_size=8))
def test_any_text_is_a_duration_or_refused(text):
    with contextlib.suppress(ConfigError):  # and no other error
        assert 0 < parse_duration(text) < math.inf


@pytest.mark.parametrize(
    "text", ["", "30", "m", "0s", "-5m", "30 m", "1d", "1..5m", ".s", "9" * 400 + "h"]
)
def test_no_durations(text):
    with pytest.raises(ConfigError, match="expected a duration") as error:
        parse_duration(text)
    assert repr(text) in str(error.value)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": None},
        {"steps": 0},
        {"epochs": 1.0},
        {"budget": 60.0, "epochs": 2.0},
        {"steps": None, "budget": -1.0},
        {"steps": None, "budget": float("nan")},
        {"steps": None, "epochs": float("inf")},
        {"steps": 1.5},
        {"batch": 0},
        {"batch": "8"},
        {"accumulate": 0},
        {"evaluate_every": 0},
        {"workers": -1},
        {"patience": -1},
        {"seed": -1},
        {"threads": 0},
        {"cache": -1},
        {"optimiser": "adam"},
        {"schedule": "linear"},
        {"precision": "fp64"},
        {"resize": "crop"},
        {"crop": (300, 64)},
        {"crop": (0, 64)},
        {"ema": 1.0},
        {"warmup": -0.1},
        {"lr": 0.0},
        {"lr": "fast"},
        {"clip": -1.0},
        {"size": (0, 64)},
        {"size": (64,)},
        {"balance": 1},
        {"options": {"classes": 4}},
        {"augmentation": {"flip": 0.0}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"expected|got") as error:
        config(**wrong)
    for value in wrong.values():
        shown = value.get("classes") if isinstance(value, dict) and "classes" in value else value
        assert shown is None or str(shown) in str(error.value)


def test_settings_become_plain_data_and_come_back():
    one = config(options={"width": 8}, size=(64, 96), lr=1, steps=7)
    assert one.lr == 1.0
    data = json.loads(json.dumps(one.to_dict()))
    data["augmentation"]["scale"] = tuple(data["augmentation"]["scale"])
    augmentation = type(one.augmentation)(**data.pop("augmentation"))
    assert TrainConfig(**data, augmentation=augmentation) == one


# --- the rate -------------------------------------------------------------------------------------


@given(
    steps=st.integers(1, 500),
    warmup=st.floats(0, 0.99),
    kind=st.sampled_from(["poly", "cosine"]),
)
def test_the_rate_rises_then_falls_and_never_leaves_its_range(steps, warmup, kind):
    factors = [rate_factor(step, steps, warmup, kind) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0
    assert factors[: rising + 1] == sorted(factors[: rising + 1])
    assert factors[rising:] == sorted(factors[rising:], reverse=True)


def test_the_rate_by_the_formulas():
    assert rate_factor(0, 100, 0.0, "poly") == 1
    assert rate_factor(25, 100, 0.0, "poly") == pytest.approx(0.75**0.9)
    assert rate_factor(25, 100, 0.0, "poly", power=2.0) == pytest.approx(0.75**2)
    assert rate_factor(50, 100, 0.0, "cosine") == pytest.approx(0.5)
    assert rate_factor(25, 100, 0.0, "cosine") == pytest.approx((1 + math.sqrt(0.5)) / 2)
    for kind in ("poly", "cosine"):
        rising = [rate_factor(step, 100, 0.1, kind) for step in range(11)]
        assert rising == pytest.approx([(step + 1) / 11 for step in range(11)])
        assert rate_factor(100, 100, 0.1, kind) == pytest.approx(0, abs=1e-12)
    assert rate_factor(55, 100, 0.1, "poly") == pytest.approx(0.5**0.9)
    assert rate_factor(55, 100, 0.1, "cosine") == pytest.approx(0.5)


# --- optimisers and averages ----------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_norms_and_biases_are_not_decayed_and_encoders_learn_slower(optimiser):
    network = build("unet-encoder", 3, encoder="test_efficientnet", decoder_channels=(8, 8))
    pretrained = {id(parameter) for parameter in network.encoder.parameters()}
    network.encoder_parameters = lambda: list(network.encoder.parameters())
    settings = config(optimiser=optimiser, lr=0.1, encoder_lr=0.25, weight_decay=0.3)
    found = build_optimiser(network, settings)
    assert type(found) is {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimiser]
    group_of = {id(p): group for group in found.param_groups for p in group["params"]}
    assert len(group_of) == sum(len(group["params"]) for group in found.param_groups)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            group = group_of.pop(id(parameter))
            plain = name == "bias" or isinstance(module, nn.BatchNorm2d)
            assert group["weight_decay"] == (0.0 if plain else 0.3)
            assert group["peak"] == pytest.approx(0.025 if id(parameter) in pretrained else 0.1)
    assert not group_of
    if optimiser == "sgd":
        assert all(group["momentum"] == 0.9 and group["nesterov"] for group in found.param_groups)


def test_only_pretrained_encoders_learn_slower():
    network = build("unet-encoder", 3, encoder="test_efficientnet", decoder_channels=(8, 8))
    found = build_optimiser(network, config(lr=0.1, encoder_lr=0.25))
    assert {group["peak"] for group in found.param_groups} == {0.1}
    network.config = SimpleNamespace(pretrained=True)
    found = build_optimiser(network, config(lr=0.1, encoder_lr=0.25))
    assert {group["peak"] for group in found.param_groups} == {0.1, 0.025}


def test_frozen_parameters_stay_out():
    network = build("unet", 2, width=2, levels=1)
    network.head.requires_grad_(False)
    found = build_optimiser(network, config())
    inside = {id(p) for group in found.param_groups for p in group["params"]}
    assert inside == {id(p) for p in network.parameters()} - {
        id(p) for p in network.head.parameters()
    }


def test_averages_by_a_plain_loop():
    torch.manual_seed(0)
    network = build("unet", 2, width=2, levels=1)
    averages = AveragedWeights(network, decay=0.6)
    expected = {
        name: tensor.double() for name, tensor in copy.deepcopy(network).state_dict().items()
    }
    for step in range(1, 9):
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.add_(torch.randn(tensor.shape).to(tensor.dtype) + 1)
        averages.update(network)
        decay = min(0.6, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            whole = name.endswith("num_batches_tracked")
            mixed = decay * expected[name] + (1 - decay) * tensor.double()
            expected[name] = tensor.double() if whole else mixed
    for name, tensor in averages.network.state_dict().items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5)
    assert not averages.network.training
    assert network.training
    assert not any(p.requires_grad for p in averages.network.parameters())
