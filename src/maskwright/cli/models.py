"""`maskwright models`: the architectures and their cards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from maskwright.architectures import Published, Summary

UNREAD = "from memory"
"""What the source of a number says that nobody has looked up again."""

_QUALITY = ("mIoU", "Dice", "AP", "PQ")


def models(
    name: Annotated[str, typer.Argument(help="Show one card whole.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the architectures and their figures.

    Task, parameters, GFLOPs, a published number, licence; with a NAME, everything its card holds:
    paper, repository, checkpoints, notes and every published number with its source.
    """
    from dataclasses import asdict

    from maskwright.architectures import ARCHITECTURES, summarise

    found = [summarise(one) for one in ([name] if name else ARCHITECTURES)]
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    elif name:
        _show_card(found[0])
    else:
        _show_overview(found)


def headline(published: Sequence[Published]) -> str:
    """The number that tells most in one short cell: "mIoU Cityscapes val 75.44, README".

    The first score of quality in the card's order, one whose source was read before one that was
    not; "–" where there is none.
    """
    scores = [item for item in published if item.what.startswith(_QUALITY)]
    chosen = next((item for item in scores if UNREAD not in item.source), (*scores, None)[0])
    if chosen is None:
        return "–"
    source = UNREAD if UNREAD in chosen.source else chosen.source.split(",")[0].split(" of ")[0]
    metric, *details = chosen.what.split(", ")
    what = metric if " " in metric else " ".join([metric, *details[:1]])
    return f"{what} {chosen.value:.4g}, {source}"


def _show_overview(found: Sequence[Summary]) -> None:
    from maskwright.cli.console import say, show_table

    show_table(
        ("name", "task", "M par.", "GFLOPs", "at", "published", "reference's licence"),
        [
            (one.name, ", ".join(one.tasks), f"{one.parameters / 1e6:.2f}", f"{one.gflops:.1f}",
             _size(one), headline(one.published), _short(one.licence))
            for one in found
        ],
    )  # fmt: skip
    say("\nmaskwright models NAME tells the paper, checkpoints and every published number.")


def _show_card(card: Summary) -> None:
    from maskwright.cli.console import say, show_facts, show_table

    say(f"{card.name}: {card.title}\n")
    checkpoints = {f"weights, {what}": address for what, address in card.checkpoints.items()}
    show_facts(
        {
            "paper": card.paper,
            "task": ", ".join(card.tasks),
            "costs": f"{card.parameters / 1e6:.2f} M parameters, {card.gflops:.1f} GFLOPs at "
            f"{_size(card)} with {card.classes} classes",
            "reference": card.repository,
            "licence": card.licence,
            "notes": card.notes or "none",
            **checkpoints,
        }
    )
    if card.published:
        say("")
        rows = [(item.what, f"{item.value:g}", item.source) for item in card.published]
        show_table(("published", "value", "source"), rows)


def _short(licence: str) -> str:
    return licence.split(" (")[0].removesuffix(" License")


def _size(card: Summary) -> str:
    return f"{card.input_size[0]}x{card.input_size[1]}"
