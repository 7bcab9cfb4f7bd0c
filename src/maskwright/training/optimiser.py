"""Optimisers with the parameter groups that segmentation wants, and averaged weights."""

from __future__ import annotations

import copy
from typing import Any

import torch

from maskwright.architectures.contract import Network
from maskwright.core.errors import ConfigError
from maskwright.training.config import TrainConfig


def build_optimiser(network: Network, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum 0.9, over the network's own parameter groups.

    A pretrained encoder's rate is `lr * encoder_lr`. Each group has its peak rate under "peak".

    Raises:
        ConfigError: everything is frozen.
    """
    settings: list[dict[str, Any]] = [
        {
            "params": list(group.parameters),
            "peak": config.lr * (config.encoder_lr if group.part == "encoder" else 1.0),
            "lr": 0.0,
            "weight_decay": config.weight_decay if group.decays else 0.0,
        }
        for group in network.parameter_groups()
    ]
    if not settings:
        raise ConfigError(
            f"expected something of {config.architecture} to train, but all of it is frozen "
            f"({', '.join(map(repr, network.frozen))}); freeze less."
        )
    if config.optimiser == "sgd":
        return torch.optim.SGD(settings, lr=config.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(settings, lr=config.lr)


class AveragedWeights:
    """Exponential moving average of a network's weights and batch statistics.

    The decay rises with the step, min(decay, (1 + n) / (10 + n)), so that the first weights are
    soon forgotten.

    Attributes:
        network: a copy that holds the averages, in eval mode, to score and to ship.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Move the averages towards `network`; integer buffers are copied."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averaged, fresh = self.network.state_dict(), network.state_dict()
        floating = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [averaged[name] for name in floating],
            [fresh[name].to(averaged[name].dtype) for name in floating],
            1 - keep,
        )
        for name in averaged.keys() - set(floating):
            averaged[name].copy_(fresh[name])
