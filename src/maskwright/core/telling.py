"""How long work tells what it does: sentences, and bars; a caller without a screen has neither."""

from __future__ import annotations

import unicodedata
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


def printable(text: str) -> str:
    """A text with what would steer a terminal shown as an escape; line ends and tabs stay.

    Names of files and classes come from strangers: ESC and its like (Unicode's categories Cc, Cf
    and Cs: controls, marks of direction, halves of surrogate pairs) could colour, hide or retitle.
    """
    if text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode()
        if unicodedata.category(each) in ("Cc", "Cf", "Cs") and each not in "\n\t"
        else each
        for each in text
    )
