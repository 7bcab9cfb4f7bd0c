"""`maskwright models`: the architectures and their cards."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def models(
    name: Annotated[str, typer.Argument(help="Show one card whole.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the architectures: task, parameters, GFLOPs, published numbers, licence."""
    from dataclasses import asdict

    from maskwright.architectures import ARCHITECTURES, summarise
    from maskwright.cli.console import say, show_table

    found = [summarise(one) for one in ([name] if name else ARCHITECTURES)]
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return
    if name:
        card = found[0]
        say(f"{card.name}: {card.title}\n{card.paper}\n{card.repository} ({card.licence})")
        if card.notes:
            say(card.notes)
    show_table(
        ("name", "task", "M parameters", "GFLOPs", "at", "licence of the reference"),
        [
            (one.name, ", ".join(one.tasks), f"{one.parameters / 1e6:.2f}", f"{one.gflops:.1f}",
             f"{one.input_size[0]}x{one.input_size[1]}", one.licence.split(" (")[0])
            for one in found
        ],
    )  # fmt: skip
    rows = [
        (one.name, item.what, item.value, item.source) for one in found for item in one.published
    ]
    if rows:
        show_table(("published", "what", "value", "source"), rows)
