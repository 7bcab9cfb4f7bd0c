"""`--refine NAME --set SETTING=VALUE`, shared by the commands that run a model."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

if TYPE_CHECKING:
    from maskwright.refine import Refinement
    from maskwright.runtimes import Predictor

NONE = "none"
"""Switches off what a bundle's card asks for."""

_REFINE: ContextVar[str] = ContextVar("refine", default="")
_SET: ContextVar[list[str]] = ContextVar("set", default=[])  # noqa: B039  # never changed


def _options(
    refine: Annotated[
        str,
        typer.Option(
            help="Refine class maps by the image: dense-crf or guided-filter; or none, where a "
            "bundle does so by itself."
        ),
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of --refine, such as iterations=3 (repeatable)."),
    ] = None,
) -> None:
    """Only its parameters are used."""


class RefiningCommand(TyperCommand):
    """A command with the two options beside its own; `refine_as_asked` does what they say."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        only_options = typer.Typer(add_completion=False)
        only_options.command()(_options)
        self.params += get_command(only_options).params

    def invoke(self, ctx: Any) -> Any:
        """Keep the two for `refine_as_asked`, and call the command with its own."""
        _REFINE.set(ctx.params.pop("refine"))
        _SET.set(list(ctx.params.pop("set_") or ()))
        return super().invoke(ctx)


def asked_to_refine() -> bool:
    """Whether --refine was given.

    Raises:
        ConfigError: --set without it.
    """
    from maskwright.core.errors import ConfigError

    if _SET.get() and not _REFINE.get():
        raise ConfigError(f"--set {_SET.get()[0]} goes with --refine NAME; give it, too.")
    return bool(_REFINE.get())


def refine_as_asked(predictor: Predictor) -> None:
    """Let a model's answers be refined as the options say, if they say anything.

    Raises:
        ConfigError: an unknown name or setting, or a model without class maps.
    """
    from maskwright.cli.console import say

    if not asked_to_refine():
        return
    name = _REFINE.get()
    predictor.refinement = None if name == NONE else read_refinement(name, _SET.get())
    if predictor.refinement is not None and not predictor.soft:
        say(
            f"{predictor.card.name} gives no probabilities (export --probabilities): refined from "
            f"its class map, each pixel {predictor.refinement.confidence:.0%} sure"
        )


def read_refinement(name: str, pairs: list[str]) -> Refinement:
    """ "dense-crf", ["iterations=3"] -> what is to be done.

    Raises:
        ConfigError: an unknown name or setting.
    """
    from maskwright.cli.console import parse_settings
    from maskwright.refine import Refinement

    return Refinement.of(name, parse_settings(pairs))
