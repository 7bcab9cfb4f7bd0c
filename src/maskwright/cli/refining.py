"""`--refine NAME --set SETTING=VALUE`, shared by the commands that run a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from maskwright.core.errors import ConfigError

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


def settings_of(name: str, pairs: Sequence[str] | None, option: str) -> dict[str, Any]:
    """["iterations=3"] -> the settings of the way to refine that an option names.

    Args:
        name: what the option says; "" where it was not given.
        pairs: of --set.
        option: for the message.

    Raises:
        ConfigError: --set without the option.
    """
    from maskwright.cli.console import parse_settings

    if pairs and not name:
        raise ConfigError(f"--set {pairs[0]} goes with {option} NAME; give it, too.")
    return parse_settings(pairs or ())
