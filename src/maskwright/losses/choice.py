"""Losses by name, weighted and added up, for a command line or a recipe.

ce + 0.5*dice                 a sum of terms, each with a factor
rmi(radius=5, pool=2)         settings in brackets
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from torch import Tensor

from maskwright.core.errors import ConfigError
from maskwright.core.settings import config_values, nearest
from maskwright.losses.cross_entropy import CrossEntropy, WeightedCrossEntropy
from maskwright.losses.dice import Dice
from maskwright.losses.pixel_loss import LossConfig
from maskwright.losses.rmi import Rmi
from maskwright.losses.targets import Need, Targets

PIXEL_LOSSES: dict[str, type[LossConfig]] = {
    "ce": CrossEntropy,
    "weighted-ce": WeightedCrossEntropy,
    "dice": Dice,
    "rmi": Rmi,
}
"""Name -> the loss with its settings."""

_FORM = "names joined by +, each with a factor and settings if wanted: ce + 0.5*dice"
_NUMBER = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
_TERM = re.compile(
    rf"\s*(?:(?P<factor>{_NUMBER})\s*\*\s*)?(?P<name>[A-Za-z][\w-]*)\s*(?:\((?P<inside>[^()]*)\))?\s*"
)


@dataclass(frozen=True, kw_only=True)
class Term:
    """One loss of a sum and the factor on it."""

    factor: float
    name: str
    config: LossConfig

    def __str__(self) -> str:
        """The term as it is written."""
        changed = [
            f"{field.name}={getattr(self.config, field.name)}"
            for field in fields(self.config)
            if getattr(self.config, field.name) != field.default
        ]
        settings = f"({', '.join(changed)})" if changed else ""
        factor = "" if self.factor == 1 else f"{self.factor!r}*".replace(".0*", "*")
        return f"{factor}{self.name}{settings}"


class SummedLoss:
    """A weighted sum of losses; called as a `PixelLoss`.

    Attributes:
        terms: in the order they were written.
        weights_K: a weight a class, for those that use them; None where they are not known.
    """

    def __init__(self, terms: Sequence[Term], weights_K: Tensor | None = None) -> None:
        if not terms:
            raise ConfigError("expected a loss of one term or more, got none.")
        self.terms = tuple(terms)
        self.weights_K = weights_K

    def __call__(self, logits_BKHW: Tensor, targets: Targets) -> Tensor:
        """The sum over all terms: a scalar."""
        first, *rest = (
            term.factor * term.config(logits_BKHW, targets, self.weights_K) for term in self.terms
        )
        return sum(rest, first)

    @property
    def needs(self) -> frozenset[Need]:
        """What the loader is to make of the truth."""
        return frozenset(need for term in self.terms for need in term.config.needs)

    def __str__(self) -> str:
        """The sum as it is written."""
        return " + ".join(map(str, self.terms))


def pixel_loss(text: str, weights_K: Tensor | None = None) -> SummedLoss:
    """Read a loss: "ce", "weighted-ce + 0.5*dice", "rmi(radius=5)".

    Args:
        text: keys of `PIXEL_LOSSES` joined by +, each with a factor and settings if wanted.
        weights_K: a weight a class, for those that use them.

    Raises:
        ConfigError: an unknown name or setting, a factor that isn't above zero, or another form.
    """
    terms, place = [], 0
    while True:
        match = _TERM.match(text, place)
        if match is None:
            rest = text[place:].strip()
            where = f"at {rest!r}" if rest else "at its end"
            raise ConfigError(
                f"expected a loss as {_FORM}; got {text!r}, which breaks off {where}."
            )
        terms.append(_term(match, text))
        place = match.end()
        if place == len(text):
            return SummedLoss(terms, weights_K)
        if text[place] != "+":
            raise ConfigError(f"expected a loss as {_FORM}; got {text[place:]!r} in {text!r}.")
        place += 1


def _term(match: re.Match[str], text: str) -> Term:
    name, factor = match["name"], float(match["factor"] or 1)
    if name not in PIXEL_LOSSES:
        raise ConfigError(f"no loss {name!r} in {text!r}; {nearest(name, PIXEL_LOSSES)}")
    if not 0 < factor < math.inf:
        raise ConfigError(f"expected factors above zero, got {factor:g} for {name} in {text!r}.")
    kind = PIXEL_LOSSES[name]
    return Term(
        factor=factor,
        name=name,
        config=kind(**config_values(kind, _settings(match["inside"] or "", text), name)),
    )


def _settings(inside: str, text: str) -> dict[str, object]:
    """ "radius=5, softmax=true" -> values of their types."""
    found: dict[str, object] = {}
    for pair in filter(None, (part.strip() for part in inside.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not value:
            raise ConfigError(f"expected settings as NAME=VALUE, got {pair!r} in {text!r}.")
        if name in found:
            raise ConfigError(f"expected each setting once, got {name} twice in {text!r}.")
        if value.lower() in {"true", "false"}:
            found[name] = value.lower() == "true"
            continue
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found
