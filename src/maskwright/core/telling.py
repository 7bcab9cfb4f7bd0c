"""How long work tells what it does: sentences, and bars; a caller without a screen has neither."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Note = Callable[[str], None]
"""Told a sentence."""

Bar = AbstractContextManager[Callable[[int, int], None]]
"""Open while work goes on; gives what is called with (done, total)."""

Bars = Callable[[str], Bar]
"""Title -> its bar."""


def no_note(text: str) -> None:
    """Keep quiet."""


def no_bar(title: str) -> Bar:
    """Show nothing."""
    return nullcontext(lambda done, total: None)
