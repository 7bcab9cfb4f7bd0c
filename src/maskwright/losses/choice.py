"""Losses by name, and sums of them, for a command line or a recipe."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from maskwright.core.errors import ConfigError
from maskwright.losses.cross_entropy import cross_entropy
from maskwright.losses.dice import dice
from maskwright.losses.rmi import rmi
from maskwright.losses.targets import Targets

PixelLoss = Callable[[Tensor, Targets], Tensor]
"""(logits_BKHW, targets) -> scalar; the logits have the size of targets.class_map_BHW."""

PIXEL_LOSSES: dict[str, Callable[[Tensor | None], PixelLoss]] = {
    "ce": lambda weights_K: cross_entropy,
    "weighted-ce": lambda weights_K: (
        lambda logits_BKHW, targets: cross_entropy(logits_BKHW, targets, weights_K)
    ),
    "dice": lambda weights_K: dice,
    "rmi": lambda weights_K: rmi,
}
"""Name -> function of the class weights (None where they are not known) -> the loss."""


def pixel_loss(names: str, weights_K: Tensor | None = None) -> PixelLoss:
    """A loss, or the sum of several: "ce", "weighted-ce+dice".

    Args:
        names: keys of `PIXEL_LOSSES`, joined by "+".
        weights_K: a weight a class, for those that use them.

    Raises:
        ConfigError: an unknown name.
    """
    wanted = [name.strip() for name in names.split("+")]
    unknown = [name for name in wanted if name not in PIXEL_LOSSES]
    if unknown:
        raise ConfigError(
            f"expected losses among {', '.join(PIXEL_LOSSES)}, joined by +, got {names!r}."
        )
    chosen = [PIXEL_LOSSES[name](weights_K) for name in wanted]

    def total(logits_BKHW: Tensor, targets: Targets) -> Tensor:
        terms = [loss(logits_BKHW, targets) for loss in chosen]
        return sum(terms[1:], terms[0])

    return total
