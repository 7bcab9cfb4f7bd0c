"""Names of the authors' checkpoints -> ours, for the encoder inside a network."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from maskwright.architectures.encoders import mobilenet, resnet, xception


def split_encoder(
    weights: Mapping[str, Tensor], prefix: str = r"(?:backbone|encoder)\."
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A network's weights -> those of the encoder under our names, and the others as they are.

    Args:
        weights: the authors' names.
        prefix: regular expression for what comes before the encoder's names and is no part of them.
    """
    found, others = {}, {}
    for name, tensor in weights.items():
        match = re.match(prefix, name)
        if match:
            found[name[match.end() :]] = tensor
        else:
            others[name] = tensor
    return encoder_from_reference(found), others


def encoder_from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An encoder's weights, without its network's prefix -> ours, with the prefix "encoder.".

    Which encoder it is shows in the names. What none of ours has keeps its names, as timm's do;
    segmentation_models_pytorch puts "model." in front of those.
    """
    if all(name.startswith("model.") for name in weights):
        return {f"encoder.network.{name[6:]}": tensor for name, tensor in weights.items()}
    # VainF/DeepLabV3Plus-Pytorch cuts its MobileNet in two
    names = {re.sub(r"^(low|high)_level_features\.", "", name): name for name in weights}
    plain = {short: weights[name] for short, name in names.items()}
    if any(name.startswith("block1.") for name in plain):
        return xception.from_reference(plain, "encoder.")
    if any(name.startswith("layer1.") for name in plain):
        return resnet.from_reference(plain, "encoder.")
    if any(re.match(r"(features\.)?\d+\.(block|conv)\.", name) for name in plain):
        return mobilenet.from_reference(plain, "encoder.")
    return {f"encoder.network.{name}": tensor for name, tensor in plain.items()}
