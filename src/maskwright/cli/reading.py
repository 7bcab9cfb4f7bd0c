"""What commands that read a labelled set ask for in the same words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from maskwright.core.errors import ConfigError

Read = Annotated[
    list[str] | None,
    typer.Option(
        "--read",
        metavar="OPTION=VALUE",
        help="How its format is read: images=DIR, crowds=objects (COCO), vertices=edge (YOLO).",
    ),
]


def read_options(given: Iterable[str] | None) -> dict[str, str] | None:
    """The options of a format from texts like "images=photos"; None where there are none.

    Raises:
        ConfigError: a text without "=".
    """
    options = {}
    for text in given or ():
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise ConfigError(f"expected --read OPTION=VALUE, got {text!r}.")
        options[key.strip()] = value.strip()
    return options or None
