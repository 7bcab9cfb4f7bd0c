"""What `maskwright train` asks of an architecture before anything is read."""

from __future__ import annotations

import json

import pytest

from maskwright.core.errors import ConfigError
from maskwright.training import TrainConfig, list_settings, read_recipe, resolve
from maskwright.training.recipe import recipe_text


@pytest.mark.parametrize(
    ("model", "settings", "pretrained"),
    [
        ("deeplabv3plus-lite0", {}, True),
        ("unet-lite0", {}, True),
        ("pspnet50", {}, None),
        ("lraspp-mobilenetv3", {}, None),
        ("lraspp-mobilenetv3", {"encoder": "mobilenetv3_large_100"}, True),
        ("fcn-resnet50", {}, True),
        ("fcn-resnet50", {"encoder_width": 0.5}, None),
        ("fcn-resnet50", {"pretrained": False}, False),
        ("bisenetv2", {}, None),
    ],
)
def test_the_command_asks_for_imagenet_weights_where_there_are_any(model, settings, pretrained):
    found = resolve(None, model, settings | {"steps": 1, "size": (64, 64)}, pretrained=True)
    assert found.options.get("pretrained") == pretrained


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pacience", "did you mean patience"),
        ("augmentation.flipp", "did you mean augmentation.flip"),
        ("flip", "augmentation.flip"),
        ("encodr", "did you mean encoder"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_nearest(name, told):
    with pytest.raises(ConfigError, match=told) as error:
        resolve(None, "unet-lite0", {name: 1, "steps": 1, "size": (64, 64)})
    assert repr(name) in str(error.value)
    assert "--list-settings" in str(error.value)


def test_sizes_and_lists_as_a_command_line_has_them():
    settings = {"crop": "32x48", "freeze": "encoder, head", "size": (64, 96), "steps": 1}
    config = resolve(None, "unet-lite0", settings)
    assert config.crop == (32, 48)
    assert config.freeze == ("encoder", "head")
    with pytest.raises(ConfigError, match=r"expected crop to be .* got '32'"):
        resolve(None, "unet-lite0", {**settings, "crop": "32"})


def test_every_setting_is_listed_with_what_it_means():
    for owner, settings in list_settings("unet-lite0").items():
        assert settings, owner
        for setting in settings:
            assert setting.meaning, f"{owner}: {setting.name}"
            assert setting.kind
    names = {one.name for each in list_settings("unet-lite0").values() for one in each}
    assert {"patience", "seed", "loss", "crop", "device", "augmentation.rotate", "encoder"} <= names


def test_a_recipe_gives_the_settings_it_was_written_from(tmp_path):
    settings = {"steps": 7, "size": (64, 96), "crop": (32, 48), "loss": "ce + 0.5*dice",
                "augmentation.scale": [0.8, 1.5], "encoder": "resnet18"}  # fmt: skip
    config = resolve(None, "unet-encoder", settings)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_text(config), encoding="utf-8")
    read = read_recipe(path)
    assert resolve(None, read.pop("model"), read) == config
    # a run's config.json is one, too, facts of its data and its machine among the settings
    path = tmp_path / "config.json"
    told = config.to_dict() | {"data": "x", "classes": ["a"], "class_weights": [1.0]}
    path.write_text(json.dumps(told), encoding="utf-8")
    read = read_recipe(path)
    assert resolve(None, read.pop("model"), read) == config


@pytest.mark.parametrize("text", ["", "- a\n- b", "budget: [", "augmentation: 3"])
def test_what_is_no_recipe_is_told(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="recipe"):
        read_recipe(path)
    with pytest.raises(ConfigError, match="could not read the recipe"):
        read_recipe(tmp_path / "none.yaml")


def test_a_budget_in_a_recipe_is_a_duration(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: unet-lite0\nbudget: 1h30m\n")
    assert read_recipe(path) == {"model": "unet-lite0", "budget": 5400.0}
    assert isinstance(resolve(None, "unet-lite0", {"size": (64, 64)}), TrainConfig)
