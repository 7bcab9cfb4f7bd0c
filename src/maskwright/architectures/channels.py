"""Images of other channels than RGB: the layers that read them are adapted, weights included.

Weights that were trained on RGB are worth keeping. As timm has it (`adapt_input_conv`), a grey
image is read by their sum over the colours, and any other number of channels by the three in turn,
scaled so that the sum of all answers stays what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Network
from maskwright.architectures.probing import probe
from maskwright.core.card import Modification
from maskwright.core.errors import ConfigError

_LAYERS = (nn.Conv2d, nn.Linear)


def input_channels(network: Network, channels: int) -> Modification:
    """The modification that lets a network take images of so many channels, for `modify`.

    Which layers read the images is seen by sending one through: they are those whose input hangs
    on no parameter.

    Args:
        network: left as it is.
        channels: 1 or more.

    Raises:
        ConfigError: images are read by something else than convolutions and linear layers.
    """
    found: list[str] = []
    hooks = []
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.requires_grad_(True)
    for name, module in network.named_modules():
        if next(module.parameters(), None) is not None and next(module.children(), None) is None:
            hooks.append(module.register_forward_pre_hook(_reads_images(name, found)))
    try:
        with torch.enable_grad():
            probe(network)
    finally:
        for hook in hooks:
            hook.remove()
        network.requires_grad_(False)
        for parameter in learning:
            parameter.requires_grad_(True)
    return Modification(name="input-channels", parameters={"channels": channels, "layers": found})


def _reads_images(name: str, found: list[str]) -> Any:
    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        images = inputs[0] if inputs else None
        if isinstance(images, Tensor) and not images.requires_grad and name not in found:
            found.append(name)

    return note


@torch.no_grad()
def set_input_channels(network: Network, parameters: Mapping[str, Any]) -> None:
    """Adapt the layers that read images; a function of `MODIFICATIONS`.

    Args:
        network: changed in place. Mean and std are adapted, too (`for_channels`).
        parameters: "channels", and "layers": the names of those that read images.

    Raises:
        ConfigError: another kind of layer, or one with groups.
    """
    channels, before = int(parameters["channels"]), network.expects.channels
    if channels < 1 or not parameters["layers"]:
        raise ConfigError(f"expected a layer that reads 1 channel or more, got {parameters}.")
    for name in parameters["layers"]:
        layer: Any = network.get_submodule(name)
        if not isinstance(layer, _LAYERS) or getattr(layer, "groups", 1) > 1:
            raise ConfigError(
                f"expected images to be read by convolutions or linear layers without groups, but "
                f"{name} of {type(network).__name__} is {layer}; choose another network for "
                f"{channels} channels."
            )
        weight = adapt_weight(layer.weight, before, channels)
        layer.weight = nn.Parameter(weight, requires_grad=layer.weight.requires_grad)
        if isinstance(layer, nn.Conv2d):
            layer.in_channels = channels
        else:
            layer.in_features = weight.shape[1]
    mean, std = network.normalisation
    network.normalise_by(for_channels(mean, channels), for_channels(std, channels))


def adapt_weight(weight: Tensor, before: int, channels: int) -> Tensor:
    """A layer's weights [out, before * n, ...] for images of so many channels.

    Args:
        weight: of a convolution (n = 1), or of a linear layer that reads n pixels of each channel.
        before: channels that it reads.
        channels: that it is to read: the sum for one, else the given ones in turn, times
            before / channels.
    """
    split = weight.unflatten(1, (before, -1))
    if channels == 1:
        return split.sum(dim=1)
    turns = -(-channels // before)
    repeated = split.repeat(1, turns, *[1] * (split.ndim - 2))[:, :channels]
    return (repeated * (before / channels)).flatten(1, 2)


def for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Means or deviations of RGB for so many channels: added ones, and grey, get the mean of them.

    Values that are as many already stay.
    """
    if len(values) == channels:
        return tuple(values)
    middle = sum(values) / len(values)
    own = tuple(values) if channels > len(values) else ()
    return own + (middle,) * (channels - len(own))
