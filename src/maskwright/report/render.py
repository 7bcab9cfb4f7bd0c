"""`Report` -> one self-contained HTML page: no network, no other file, no text left unescaped.

A content security policy stands behind the escaping: the page loads nothing but its own embedded
pictures and runs no script but ours, known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from importlib import resources
from pathlib import Path

from maskwright.core.files import write_bytes
from maskwright.report import sections
from maskwright.report.heat import matrix
from maskwright.report.page import (
    Bars,
    Curves,
    Facts,
    Figure,
    Gallery,
    Matrix,
    Report,
    Scatters,
    Section,
    Table,
    Text,
)
from maskwright.report.parts import note
from maskwright.report.scatter import scatters

_FILES = resources.files("maskwright.report")
STYLE = _FILES.joinpath("page.css").read_text(encoding="utf-8")
SCRIPT = _FILES.joinpath("page.js").read_text(encoding="utf-8")


def write_report(path: Path | str, report: Report) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        MaskwrightError: the folder can't be written or the disk is full.
    """
    # A file name that is no UTF-8 reaches Python as lone surrogates: shown as question marks.
    write_bytes(path, render(report).encode(errors="replace"))


def render(report: Report) -> str:
    """The page as HTML."""
    links = "".join(
        f'<a href="#section-{number}">{escape(section.title)}</a>'
        for number, section in enumerate(report.sections)
    )
    body = "".join(_section(number, section) for number, section in enumerate(report.sections))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<header>{_header(report)}{f'<nav>{links}</nav>' if links else ''}</header>\n"
        f"<main>{body}</main>\n<footer>Made with Maskwright. This page is one file: keep it, "
        "print it, send it.</footer>"
        '<dialog aria-label="Enlarged picture"><img src="data:," alt=""><p></p></dialog>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def render_fragment(report: Report) -> str:
    """What a notebook shows: the page's head and sections as one element, with its own style.

    Everything in the style is nested below that element, so that it changes nothing around it.
    There is no script: tables don't sort and pictures don't grow there.
    """
    body = "".join(_section(number, section) for number, section in enumerate(report.sections))
    body = re.sub(r' (?:id|aria-labelledby)="[^"]*"', "", body)  # twice in a notebook, ids clash
    style = STYLE.replace(":root {", "& {").replace("body {", "& {")
    return (
        f'<div class="maskwright"><style>.maskwright {{ {style} }}</style>'
        f"<header>{_header(report)}</header><main>{body}</main></div>"
    )


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _header(report: Report) -> str:
    subtitle = f'<p class="subtitle">{escape(report.subtitle)}</p>' if report.subtitle else ""
    figures = "".join(_figure(figure) for figure in report.headline)
    headline = f'<dl class="headline">{figures}</dl>' if figures else ""
    return f"<h1>{escape(report.title)}</h1>{subtitle}{headline}"


def _figure(figure: Figure) -> str:
    about = f'<div class="about">{escape(figure.note)}</div>' if figure.note else ""
    return (
        f'<div><dt>{escape(figure.label)}</dt><dd><div class="value">{escape(figure.value)}</div>'
        f"{about}</dd></div>"
    )


def _section(number: int, section: Section) -> str:
    title = f'<h2 id="title-{number}">{escape(section.title)}</h2>'
    inside = note(section.note) + _content(section)
    if isinstance(section, Facts) and section.folded:
        inside = f"<details><summary>{title}</summary>{inside}</details>"
    else:
        inside = title + inside
    return f'<section id="section-{number}" aria-labelledby="title-{number}">{inside}</section>\n'


def _content(section: Section) -> str:
    match section:
        case Gallery():
            return sections.gallery(section)
        case Table():
            return sections.table(section)
        case Curves():
            return sections.curves(section)
        case Scatters():
            return scatters(section)
        case Matrix():
            return matrix(section)
        case Bars():
            return sections.bars(section)
        case Facts():
            return sections.facts(section)
        case Text():
            return sections.text(section)
