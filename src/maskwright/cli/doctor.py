"""`maskwright doctor`: what this machine offers and what is missing."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Tell what this machine offers and lacks.

    Python, packages, processor, memory and disk; exit code 1 where something can't work.
    """
    from maskwright.cli.console import console, say
    from maskwright.jobs import examine

    signs = {"ok": "ok  ", "note": "note", "bad": "BAD "}
    checks = examine()
    width = max(len(check.what) for check in checks)
    for check in checks:
        say(f"{signs[check.verdict]}  {check.what:<{width}}  {check.found}")
    if any(check.verdict == "bad" for check in checks):
        console.print("something can't work: see the lines marked BAD")
        raise typer.Exit(1)
