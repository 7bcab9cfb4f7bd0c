"""Settings by name, from a command line or a file that people share -> a run's configuration.

A recipe is a YAML (or JSON) file of a model and the settings that differ from what `train` would
choose; a run's own config.json is one, too:

    model: unet-lite0
    budget: 30m
    loss: ce + dice
    augmentation:
      scale: [0.75, 1.5]
    options:
      encoder: resnet18
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from maskwright.architectures import architecture
from maskwright.core.errors import ConfigError
from maskwright.core.sample import Dataset
from maskwright.core.settings import Setting, config_values, describe, nearest
from maskwright.data.augment import Augmentation
from maskwright.training.config import TrainConfig, parse_duration
from maskwright.training.defaults import CHOSEN
from maskwright.training.sizes import suggest_size

LENGTHS = ("budget", "epochs", "steps")
DEFAULT_BUDGET = 1800.0
"""Seconds of a run whose length nobody told."""

_PREFIX = "augmentation."
_HERE = ("threads", "workers", "cache", "device")
"""What belongs to a machine, not to a recipe."""

_FACTS = ("data", "classes", "class_weights", "training_images", "validation_images", "licence",
          "processes", "network", "chosen")  # fmt: skip
"""What config.json tells beside settings."""


def read_recipe(path: Path | str) -> dict[str, Any]:
    """A recipe's settings by name, "model" among them; those of augmentation as "augmentation.X".

    Raises:
        ConfigError: missing, no YAML, or no settings by name.
    """
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"could not read the recipe {path}: {error}") from error
    if not isinstance(found, Mapping):
        raise ConfigError(f"expected settings by name in the recipe {path}, got {found!r:.80}.")
    settings = {str(name): value for name, value in found.items() if name not in _FACTS}
    if "architecture" in settings:
        settings.setdefault("model", settings.pop("architecture"))
    for group, prefix in (("augmentation", _PREFIX), ("options", "")):
        inner = settings.pop(group, None) or {}
        if not isinstance(inner, Mapping):
            raise ConfigError(
                f"expected {group} in the recipe {path} to hold settings by name, got {inner!r}."
            )
        settings |= {f"{prefix}{name}": value for name, value in inner.items()}
    if isinstance(settings.get("budget"), str):
        settings["budget"] = parse_duration(settings["budget"])
    # what a run decided for its own length stands beside empty lengths
    given = [name for name in LENGTHS if settings.get(name) is not None]
    return {name: value for name, value in settings.items() if name not in LENGTHS or name in given}


def recipe_text(config: TrainConfig) -> str:
    """A run's settings as a recipe; `read_recipe` reads it back.

    What belongs to the machine (threads, workers, cache, device) is left out.
    """
    plain = config.to_dict()
    plain["model"] = plain.pop("architecture")
    kept = {
        name: value
        for name, value in plain.items()
        if name not in _HERE and value is not None and value != {}
    }
    ordered = {"model": kept.pop("model"), **kept}
    return yaml.safe_dump(_plain(ordered), sort_keys=False, allow_unicode=True)


def resolve(
    dataset: Dataset, model: str, settings: Mapping[str, Any], *, pretrained: bool = True
) -> TrainConfig:
    """Sort settings into the run's, its augmentation's and the architecture's.

    Args:
        dataset: whose images suggest the size where none is given.
        model: the architecture's name.
        settings: by name; "augmentation.X" is the augmentation's X; names that are neither are the
            architecture's. Without a length the run takes half an hour.
        pretrained: start encoders from ImageNet weights, where they have any.

    Raises:
        ConfigError: unknown names (the nearest is told), or values that make no sense.
    """
    config = architecture(model).config
    own = _own_names()
    architectures = {field.name for field in dataclasses.fields(config)} - {"classes"}
    augmentations = {field.name for field in dataclasses.fields(Augmentation)}
    known = [*own, *(_PREFIX + name for name in sorted(augmentations)), *sorted(architectures)]
    for name, value in settings.items():
        if name not in known and name != "classes":
            of_augmentation = f"{_PREFIX}{name}" in known
            at = f"did you mean {_PREFIX}{name}?" if of_augmentation else nearest(name, known)
            raise ConfigError(
                f"no setting {name!r} (got {value!r}) of training, augmentation or {model}; {at} "
                "maskwright train --list-settings tells all."
            )
    changes = {
        name.removeprefix(_PREFIX): value
        for name, value in settings.items()
        if name.startswith(_PREFIX)
    }
    options = {
        name: value
        for name, value in settings.items()
        if name not in own and not name.startswith(_PREFIX)
    }
    mine = {name: value for name, value in settings.items() if name in own}
    if all(mine.get(name) is None for name in LENGTHS):
        mine["budget"] = DEFAULT_BUDGET
    sizes = dataclasses.replace(config, **config_values(type(config), options, model))
    if pretrained and getattr(sizes, "has_imagenet", hasattr(sizes, "pretrained")):
        options.setdefault("pretrained", True)
    mine.setdefault("size", None)
    if mine["size"] is None:
        mine["size"] = suggest_size(dataset)
    return TrainConfig(
        architecture=model,
        options=options,
        augmentation=Augmentation(**config_values(Augmentation, changes, "augmentation")),
        **mine,
    )


def list_settings(model: str) -> dict[str, list[Setting]]:
    """Everything that can be set, by whose it is: of training, of augmentation, of a model.

    Raises:
        ConfigError: no such model.
    """
    own = _own_names()
    told = dict.fromkeys(CHOSEN, "chosen by the run") | {"size": "that of the images"}
    augmentation = [
        dataclasses.replace(setting, name=_PREFIX + setting.name)
        for setting in describe(Augmentation)
    ]
    kind = architecture(model).config
    options = [
        dataclasses.replace(setting, default=str(getattr(kind, setting.name)))
        for setting in describe(type(kind))
        if setting.name != "classes"
    ]
    training = [setting for setting in describe(TrainConfig) if setting.name in own]
    return {
        owner: [
            dataclasses.replace(setting, default=told.get(setting.name, setting.default))
            for setting in settings
        ]
        for owner, settings in (("training", training), ("augmentation", augmentation))
    } | {model: options}


def _own_names() -> list[str]:
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    return [name for name in names if name not in ("architecture", "options", "augmentation")]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
