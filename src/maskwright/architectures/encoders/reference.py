"""Names of the authors' checkpoints -> ours, for the encoder inside a network."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from maskwright.architectures.encoders import hrnet, mobilenet, resnet, xception


def split_encoder(
    weights: Mapping[str, Tensor],
    prefix: str = r"(?:backbone|encoder)\.",
    timm_residual: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A network's weights -> those of the encoder under our names, and the others as they are.

    Args:
        weights: the authors' names.
        prefix: regular expression for what comes before the encoder's names and is no part of them.
        timm_residual: as `encoder_from_reference` has it.
    """
    found, others = {}, {}
    for name, tensor in weights.items():
        match = re.match(prefix, name)
        if match:
            found[name[match.end() :]] = tensor
        else:
            others[name] = tensor
    return encoder_from_reference(found, timm_residual), others


def encoder_from_reference(
    weights: Mapping[str, Tensor], timm_residual: bool = False
) -> dict[str, Tensor]:
    """An encoder's weights, without its network's prefix -> ours, with the prefix "encoder.".

    Which encoder it is shows in the names. What none of ours has keeps its names, as timm's do;
    segmentation_models_pytorch puts "model." in front of those.

    Args:
        weights: the authors' names.
        timm_residual: residual networks, whose names are the same in timm, are for timm's.
    """
    if all(name.startswith("model.") for name in weights):
        return {f"encoder.network.{name[6:]}": tensor for name, tensor in weights.items()}
    # VainF/DeepLabV3Plus-Pytorch cuts its MobileNet in two
    names = {re.sub(r"^(low|high)_level_features\.", "", name): name for name in weights}
    plain = {short: weights[name] for short, name in names.items()}
    if any(name.startswith("stage2.") for name in plain):
        return hrnet.from_reference(plain)
    if any(name.startswith("block1.") for name in plain):
        return xception.from_reference(plain, "encoder.")
    if any(name.startswith("layer1.") for name in plain) and not timm_residual:
        return resnet.from_reference(plain, "encoder.")
    if any(re.match(r"(features\.)?\d+\.(block|conv)\.", name) for name in plain):
        return mobilenet.from_reference(plain, "encoder.")
    return {f"encoder.network.{name}": tensor for name, tensor in plain.items()}
