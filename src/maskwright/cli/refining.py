"""`--refine NAME --set SETTING=VALUE`, shared by the commands that run a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from maskwright.core.errors import ConfigError

if TYPE_CHECKING:
    from maskwright.refine import Refinement
    from maskwright.runtimes import Predictor

NONE = "none"
"""Switches off what a bundle's card asks for."""

RefineOption = Annotated[
    str,
    typer.Option(
        help="Refine class maps by the image: dense-crf or guided-filter; or none, where a bundle "
        "does so by itself."
    ),
]
RefineSettings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of --refine, such as iterations=3 (repeatable)."),
]


class Asked:
    """What the two options say.

    Attributes:
        name: of the way to refine, "none", or "" where nothing was asked for.
        settings: as NAME=VALUE.

    Raises:
        ConfigError: --set without --refine.
    """

    def __init__(self, name: str = "", settings: Sequence[str] | None = None) -> None:
        self.name = name
        self.settings = tuple(settings or ())
        if self.settings and not name:
            raise ConfigError(f"--set {self.settings[0]} goes with --refine NAME; give it, too.")


def refine_as_asked(predictor: Predictor, asked: Asked) -> None:
    """Let a model's answers be refined as the options say, if they say anything.

    Raises:
        ConfigError: an unknown name or setting, or a model without class maps.
    """
    from maskwright.cli.console import say

    if not asked.name:
        return
    predictor.refinement = (
        None if asked.name == NONE else read_refinement(asked.name, asked.settings)
    )
    if predictor.refinement is not None and not predictor.soft:
        say(
            f"{predictor.card.name} gives no probabilities (export --probabilities): refined from "
            f"its class map, each pixel {predictor.refinement.confidence:.0%} sure"
        )


def read_refinement(name: str, pairs: Sequence[str]) -> Refinement:
    """ "dense-crf", ["iterations=3"] -> what is to be done.

    Raises:
        ConfigError: an unknown name or setting.
    """
    from maskwright.cli.console import parse_settings
    from maskwright.refine import Refinement

    return Refinement.of(name, parse_settings(pairs))
