"""What commands share: the console, tables, progress bars, option values."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from maskwright.core.errors import ConfigError
from maskwright.core.telling import printable

if TYPE_CHECKING:
    from maskwright.runtimes import Predictor, Tiled

PIPE_WIDTH = 160
"""Columns where the output is no terminal: tables then stay one line a row."""

console = Console(
    width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH,
)


def say(text: str) -> None:
    """Print a line as it is: no markup, no highlighting, no wrapping of paths."""
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; columns whose cells are all numbers stand to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(columns):
        numeric = all(re.fullmatch(r"[-–\d.,%x× ]*", str(row[index])) for row in rows)
        table.add_column(name, justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    console.print(table)


def show_facts(facts: Mapping[str, str]) -> None:
    """Print name and text in two columns; long texts wrap at words, addresses stay whole."""
    margin = max(map(len, facts)) + 2
    for name, text in facts.items():
        lines = textwrap.wrap(
            text,
            max(40, console.width - margin),
            break_long_words=False,
            break_on_hyphens=False,
        )
        say(f"{name:<{margin}}" + ("\n" + " " * margin).join(lines))


@contextlib.contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with the time left; yields the function to call with (done, total)."""
    if not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def parse_size(text: str) -> tuple[int, int]:
    """ "360x480" -> (360, 480), height first.

    Raises:
        ConfigError: anything else, or a side of 0.
    """
    match = re.fullmatch(r"0*([1-9]\d*)[xX×]0*([1-9]\d*)", text.strip())
    if not match:
        raise ConfigError(f"expected a size as HEIGHTxWIDTH, such as 360x480, got {text!r}.")
    return int(match[1]), int(match[2])


def parse_pairs(pairs: Sequence[str], option: str, example: str) -> dict[str, str]:
    """["ball=background"] -> names and what stands behind their "=".

    Raises:
        ConfigError: an entry without "=", or without something on either side.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        if not name or not value:
            raise ConfigError(f"expected {option} NAME=VALUE, such as {example}, got {pair!r}.")
        found[name] = value
    return found


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """["lr=3e-4", "encoder=resnet18", "decoder_channels=(64,32)"] -> values of their types.

    Raises:
        ConfigError: an entry without "=".
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"expected --set NAME=VALUE, such as --set lr=3e-4, got {pair!r}.")
        settings[name.strip()] = _literal(value.strip())
    return settings


def _literal(text: str) -> Any:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def split_model(paths: Sequence[str]) -> tuple[Path, list[str]]:
    """[MODEL] SOURCES... -> the model and the photos, videos, cameras.

    The first is the model, unless it is a photo or a video or the only one: then the model is the
    one that ships.

    Raises:
        ConfigError: a model, but no photos.
    """
    from maskwright.api import is_model
    from maskwright.core.image import IMAGE_SUFFIXES
    from maskwright.runtimes.capture import is_video

    first, *rest = Path(paths[0]), *paths[1:]
    if rest and first.suffix.lower() not in IMAGE_SUFFIXES and not is_video(paths[0]):
        return first, rest
    if is_model(first):
        raise ConfigError(f"expected photos or videos after the model {first}, got none.")
    from maskwright.runtimes import bundled

    return bundled(), list(paths)


def put_tiles(predictor: Predictor, tile: str, overlap: float | None) -> Predictor | Tiled:
    """Put tiles before a predictor where they are asked for, and tell if their seams are hard.

    Args:
        predictor: the model.
        tile: "" for none, "auto" for the model's input size, or HEIGHTxWIDTH in image pixels.
        overlap: share of a tile's side; the usual one if None.

    Raises:
        ConfigError: another form of `tile`, an overlap out of range or without tiles, or a model
            that is not semantic.
    """
    from maskwright.runtimes.tiling import OVERLAP, Tiled

    if not tile:
        if overlap is not None:
            raise ConfigError(
                f"expected --overlap with --tile auto or --tile HEIGHTxWIDTH, got {overlap} alone."
            )
        return predictor
    size = None if tile == "auto" else parse_size(tile)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tiled = Tiled(predictor, size, OVERLAP if overlap is None else overlap)
    for warning in told:
        say(str(warning.message))
    return tiled
