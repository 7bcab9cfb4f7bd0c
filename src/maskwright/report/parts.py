"""Small pieces of HTML that several sections are made of."""

from __future__ import annotations

from html import escape


def note(words: str) -> str:
    """The lead sentence of a section or panel; nothing where there is none."""
    return f'<p class="note">{escape(words)}</p>' if words else ""


def scroll(content: str, name: str) -> str:
    """What is too wide scrolls by itself, with the keyboard too."""
    label = escape(name)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{content}</div>'


def empty(words: str) -> str:
    """What stands where there is nothing to show."""
    return f'<p class="empty">{words}</p>'
