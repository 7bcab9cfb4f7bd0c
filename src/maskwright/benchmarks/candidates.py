"""What `maskwright compare` compares: names -> configurations of training, alike for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from maskwright.architectures import ARCHITECTURES, architecture
from maskwright.architectures.encoders.imagenet import PACKAGES
from maskwright.core.errors import ConfigError
from maskwright.core.settings import config_values
from maskwright.data import Augmentation
from maskwright.training import TrainConfig

SMALL = (
    "fully-connected",
    "sliding-window",
    "fcn32s-small",
    "fcn8s-small",
    "fcn8s-lite0",
    "fcn-lite0",
    "segnet-small",
    "dilation8-small",
    "unet-small",
    "unet-lite0",
    "deeplabv3-mobilenetv3",
    "deeplabv3-lite0",
    "deeplabv3plus-mobilenetv2",
    "deeplabv3plus-lite0",
    "lraspp-mobilenetv3",
    "lraspp-lite0",
    "pspnet-lite0",
    "bisenetv1",
    "bisenetv2",
    "segformer-b0",
    "hrnetv2-w18-small",
    "hrnetv2-ocr-small",
    "danet-small",
    "dranet-small",
    "caa-b0",
    "caa-lite0",
)
"""A small variant of every family that answers class maps, on ImageNet weights too where one can
exchange its encoder."""

SMALL_OBJECTS = (
    "maskrcnn-lite0",
    "yolact-lite0",
    "yolactpp-resnet50",
    "solo-decoupled-light-lite0",
    "solov2-light-lite0",
    "sparseinst-lite0",
    "yolov8n-seg",
    "yolo11n-seg",
)
"""The same of those that find objects' masks."""

SMALL_BOXES = ("yolov8n", "yolo11n", "yolov4-tiny", "tiny-yolov2", "yolo-lite")
"""The same of those that find objects' boxes."""

SMALL_JOINT = (
    "multinet-vgg-small",
    "multinet-vgg-small-pair",
    "josn-small",
    "yoeo",
)
"""The same of those that answer several tasks at once, of which a set must have all."""

_GROUPS = {
    "small": SMALL,
    "small-objects": SMALL_OBJECTS,
    "small-boxes": SMALL_BOXES,
    "small-joint": SMALL_JOINT,
}

_RECIPE: dict[str, Any] = {
    "lr": 1e-3,
    "encoder_lr": 0.5,
    "ema": 0.99,
    "loss": "weighted-ce+dice",
    "evaluate_every": 1,
    "augmentation": Augmentation(scale=(0.6, 2.0)),
}
"""One for all. The averaged last weights are scored, so that none are chosen on what scores them;
rare classes weigh more, or a thin one would be left out within minutes."""


def find_candidates(names: Sequence[str]) -> tuple[str, ...]:
    """Names -> keys of `ARCHITECTURES`, each once; "small" and its like stand for many.

    Raises:
        ConfigError: none, or an unknown one.
    """
    found: dict[str, None] = {}
    for name in names:
        found.update(dict.fromkeys(_GROUPS.get(name, (name,))))
    for name in found:
        architecture(name)
    if not found:
        raise ConfigError(
            f"expected models to compare, got none; name some of {', '.join(ARCHITECTURES)}, or "
            '"small" (or "small-objects", "small-joint") for a small variant of every family.'
        )
    return tuple(found)


def trial_config(
    name: str, size: tuple[int, int], budget: float, changes: Mapping[str, Any]
) -> TrainConfig:
    """How one candidate is trained.

    Args:
        name: key of `ARCHITECTURES`. An encoder whose ImageNet weights come as a package starts
            from them; every other network from scratch, whatever a model hub may hold.
        size: (height, width) of the input.
        budget: seconds of the processor, for each thread, of training steps.
        changes: settings of `TrainConfig` for all candidates; "augmentation.X" is the
            augmentation's X.

    Raises:
        ConfigError: an unknown setting, or a value that makes no sense.
    """
    known = {field.name for field in dataclasses.fields(TrainConfig)} - {
        "architecture", "options", "size", "budget", "epochs", "steps", "budget_of", "augmentation",
    }  # fmt: skip
    prefix = "augmentation."
    of_images = {key.removeprefix(prefix): value for key, value in changes.items()
                 if key.startswith(prefix)}  # fmt: skip
    own = {key: value for key, value in changes.items() if not key.startswith(prefix)}
    for key in own:
        if key not in known:
            raise ConfigError(
                f"expected a setting that all models share, got {key!r}; choose one of "
                f"{', '.join(sorted(known))} or augmentation.NAME."
            )
    augmentation = dataclasses.replace(
        _RECIPE["augmentation"], **config_values(Augmentation, of_images, "augmentation")
    )
    return TrainConfig(
        architecture=name,
        options={"pretrained": True} if starts_from_imagenet(name) else {},
        size=size,
        budget=budget,
        budget_of="steps",
        **{**_RECIPE, **own, "augmentation": augmentation},
    )


def starts_from_imagenet(name: str) -> bool:
    """Whether a candidate's encoder begins with ImageNet weights that are installed."""
    return getattr(architecture(name).config, "encoder", "") in PACKAGES
