"""Parts of a network that learn nothing more: which ones a name means."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from maskwright.core.errors import ConfigError

ENCODER = "encoder"


def parts_of(network: nn.Module, parts: Sequence[str]) -> tuple[str, ...]:
    """Names of modules and parameters, as the network has them.

    Args:
        network: of any kind.
        parts: names of modules or parameters, such as "encoder.layer1"; "encoder" also means one
            deeper inside, such as "context.encoder"; "" is all of the network.

    Raises:
        ConfigError: the network has no such part.
    """
    modules = [name for name, _ in network.named_modules()]
    known = {*modules, *(name for name, _ in network.named_parameters())}
    found: list[str] = []
    for part in (part.rstrip(".") for part in parts):
        inner = [name for name in modules if name.endswith(f".{ENCODER}")]
        if part in known:
            found.append(part)
        elif part == ENCODER and inner:
            found += [min(inner, key=len)]
        else:
            have = ", ".join(name for name, _ in network.named_children())
            raise ConfigError(
                f"{type(network).__name__} has no part {part!r} to freeze; it has {have}."
            )
    return tuple(found)


def set_learning(network: nn.Module, parts: Sequence[str]) -> None:
    """Stop the parameters of these parts from learning."""
    for name, parameter in network.named_parameters():
        if any(is_inside(name, part) for part in parts):
            parameter.requires_grad_(False)


def is_inside(name: str, part: str) -> bool:
    """Whether a module or parameter is a part, or belongs to it; "" is everything."""
    return not part or name == part or name.startswith(f"{part}.")
