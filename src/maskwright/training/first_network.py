"""The network that a run begins with, or goes on with, before any step of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from maskwright.architectures import rebuild
from maskwright.architectures.contract import Network
from maskwright.core.card import Modification
from maskwright.training.config import TrainConfig
from maskwright.training.first_weights import FirstWeights, load_first_weights


def first_network(
    config: TrainConfig,
    classes: int,
    weights: Mapping[str, Tensor] | None = None,
    remembered: Mapping[str, Any] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Network:
    """Build a run's network.

    Args:
        config: names the architecture and its options.
        classes: K.
        weights: first weights, whose normalisation and modifications are taken over.
        remembered: of a run that goes on, what `remember` gave when it began.
        note: told what the user should know.

    Raises:
        ConfigError: settings that make no sense.
        ModelFileError: weights for another configuration, or a modification that isn't known.
    """
    if remembered is not None:
        changes = tuple(map(Modification.from_dict, remembered["modifications"]))
    else:
        changes = weights.modifications if isinstance(weights, FirstWeights) else ()
    network = rebuild(config.architecture, classes, config.options, changes)
    if weights is not None:
        load_first_weights(network, weights, note)
    if remembered is not None:
        network.normalise_by(remembered["mean"], remembered["std"])
    return network


def remember(network: Network) -> dict[str, Any]:
    """What the configuration doesn't tell of a network, as plain data for config.json."""
    mean, std = network.normalisation
    return {
        "mean": list(mean),
        "std": list(std),
        "modifications": [each.to_dict() for each in network.modifications],
    }
