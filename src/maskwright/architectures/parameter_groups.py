"""Which parameters of a network learn how: at the encoder's rate or the head's, decayed or not.

Weight decay keeps the weights of layers small. It has no place on norms and biases, and none on
what is looked up or added instead of multiplied with features: queries, class tokens, position
tables, relative-position biases, scales of branches (Dosovitskiy et al., ICLR 2021; timm).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn

Part = Literal["encoder", "head"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ParameterGroup:
    """Parameters that learn alike.

    Attributes:
        part: "encoder" for what comes pretrained and may learn slower; else "head".
        decays: whether weight decay applies.
        parameters: at least one; none that is frozen.
    """

    part: Part
    decays: bool
    parameters: tuple[nn.Parameter, ...]


def parameter_groups(
    network: nn.Module, pretrained: Iterable[nn.Parameter]
) -> tuple[ParameterGroup, ...]:
    """Split what learns into groups, in the order in which the network has them.

    Args:
        network: frozen parameters are left out.
        pretrained: those of the encoder.
    """
    encoder, spared = {id(parameter) for parameter in pretrained}, spared_names(network)
    groups: dict[tuple[Part, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            part: Part = "encoder" if id(parameter) in encoder else "head"
            groups.setdefault((part, name not in spared), []).append(parameter)
    return tuple(
        ParameterGroup(part=part, decays=decays, parameters=tuple(parameters))
        for (part, decays), parameters in groups.items()
    )


def spared_names(network: nn.Module) -> frozenset[str]:
    """The names of the parameters that are not decayed.

    A module may name more of its own by a method `no_weight_decay`, as timm's networks do.
    """
    found = set()
    for place, module in network.named_modules():
        prefix = f"{place}." if place else ""
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2 or isinstance(module, nn.Embedding) or not _is_weight(name):
                found.add(prefix + name)
        told = getattr(module, "no_weight_decay", None)
        found.update(prefix + name for name in (told() if callable(told) else ()))
    return frozenset(found)


def _is_weight(name: str) -> bool:
    """Whether a layer multiplies features by it: bare tables, tokens and scales have other names.

    Under torch's parametrisations, weights are called original, original0 and original1.
    """
    return name.endswith("weight") or name.startswith("original")
