"""The command line: one file a command, each over one function of a lower floor."""

from __future__ import annotations

from maskwright.cli.app import app, main

__all__ = ["app", "main"]
