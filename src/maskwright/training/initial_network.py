"""The network that a run begins with, or goes on with, before any step of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from maskwright.architectures import input_channels, modify, rebuild
from maskwright.architectures.contract import Network
from maskwright.core.card import Modification
from maskwright.core.errors import ConfigError
from maskwright.core.pixels import RGB, Pixels
from maskwright.training.config import TrainConfig
from maskwright.training.initial_weights import InitialWeights, load_initial_weights


def initial_network(
    config: TrainConfig,
    classes: int,
    pixels: Pixels = RGB,
    weights: Mapping[str, Tensor] | None = None,
    remembered: Mapping[str, Any] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Network:
    """Build a run's network.

    Args:
        config: names the architecture and its options.
        classes: K.
        pixels: what the images are; a network for RGB is adapted to other channels.
        weights: initial weights, whose normalisation and modifications are taken over.
        remembered: of a run that goes on, what `remember` gave when it began.
        note: told what the user should know.

    Raises:
        ConfigError: settings that make no sense, or a network for other channels than the images'.
        ModelFileError: weights for another configuration, or a modification that isn't known.
    """
    if remembered is not None:
        changes = tuple(map(Modification.from_dict, remembered["modifications"]))
    else:
        changes = weights.modifications if isinstance(weights, InitialWeights) else ()
    network = rebuild(config.architecture, classes, config.options, changes)
    if network.expects.channels != pixels.channels:
        _adapt(network, pixels, note)
    network.highest = pixels.highest
    if weights is not None:
        load_initial_weights(network, weights, note)
    if remembered is not None:
        network.normalise_by(remembered["mean"], remembered["std"])
    return network


def _adapt(network: Network, pixels: Pixels, note: Callable[[str], None]) -> None:
    if network.expects.channels != RGB.channels:
        raise ConfigError(
            f"the network was made for {network.expects}, but the images have {pixels}; leave the "
            "option away, or tell what the images are (core.with_pixels)."
        )
    modify(network, input_channels(network, pixels.channels))
    mean, std = (", ".join(f"{one:.4g}" for one in each) for each in network.normalisation)
    how = "their sum over the colours" if pixels.channels == 1 else "repeated and scaled"
    note(
        f"the images are of {pixels}: the weights that read RGB are taken over, {how}; images are "
        f"normalised with mean ({mean}) and std ({std})."
    )


def remember(network: Network) -> dict[str, Any]:
    """What the configuration doesn't tell of a network, as plain data for config.json."""
    mean, std = network.normalisation
    return {
        "mean": list(mean),
        "std": list(std),
        "modifications": [each.to_dict() for each in network.modifications],
    }
