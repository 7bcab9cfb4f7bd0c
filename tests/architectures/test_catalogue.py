"""`build` and its errors."""

from __future__ import annotations

import dataclasses

import pytest

from maskwright.architectures import ARCHITECTURES, architecture, build
from maskwright.core.errors import ConfigError


def test_the_promised_names_are_there():
    wanted = {"unet", "bisenetv1", "bisenetv2", *(f"segformer-b{size}" for size in range(6))}
    assert wanted <= set(ARCHITECTURES)


def test_build_sets_classes_and_overrides():
    network = build("bisenetv2", 3, head_width=32, detail_widths=[16, 16, 24], dropout=0)
    assert network.config == dataclasses.replace(
        ARCHITECTURES["bisenetv2"].config,
        classes=3,
        head_width=32,
        detail_widths=(16, 16, 24),
        dropout=0.0,
    )
    assert isinstance(network.config.detail_widths, tuple)
    assert network.training
    assert network.head.classify.weight.shape == (3, 32, 1, 1)


@pytest.mark.parametrize(
    ("name", "near"), [("segformer_b0", "segformer-b0"), ("bisenet-v2", "bisenetv2")]
)
def test_unknown_name_suggests_a_near_one(name, near):
    with pytest.raises(ConfigError, match=rf"'{name}'.*did you mean .*{near}"):
        architecture(name)


def test_unknown_name_far_from_all_lists_them():
    with pytest.raises(ConfigError, match=r"'zzz'; choose one of unet, "):
        build("zzz", 2)


@pytest.mark.parametrize(
    ("classes", "overrides", "text"),
    [
        (1, {}, "2 classes or more, background included, got 1"),
        ("3", {}, "expected classes to be int, got '3'"),
        (True, {}, "expected classes to be int, got True"),
        (3, {"head_widht": 8}, "no setting 'head_widht' .got 8.; did you mean head_width"),
        (3, {"head_width": 8.5}, "expected head_width to be int, got 8.5"),
        (3, {"dropout": "a lot"}, "expected dropout to be float, got 'a lot'"),
        (3, {"auxiliary": 1}, "expected auxiliary to be bool, got 1"),
        (3, {"detail_widths": 64}, "expected detail_widths to be tuple.*got 64"),
        (3, {"detail_widths": [64, "64", 128]}, "expected detail_widths to be tuple"),
        (3, {"detail_widths": [64, 64]}, "3 positive entries in detail_widths, got .64, 64."),
        (3, {"detail_widths": [64, 0, 64]}, "3 positive entries in detail_widths"),
    ],
)
def test_wrong_settings_are_told(classes, overrides, text):
    with pytest.raises(ConfigError, match=text):
        build("bisenetv2", classes, **overrides)
