"""How long a command takes before it does anything: `python -m benchmarks startup`."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskwright.core.errors import ConfigError


def measure_startup(runs: int = 9) -> dict[str, Any]:
    """Start fresh processes, warm (each is run once before, so that its files are in memory).

    Args:
        runs: of each command; they take turns, so that a drifting machine treats all alike.

    Returns:
        Plain data: "rows" with "command", "median_s", "min_s" and "max_s" by the clock, in the
        order bare Python (which the others contain), `import maskwright`, `maskwright --help`;
        "runs", and "threads".

    Raises:
        ConfigError: fewer than one run, or the command `maskwright` isn't installed beside this
            Python.
    """
    if runs < 1:
        raise ConfigError(f"expected at least one run, got {runs}.")
    commands = _commands()
    for arguments in commands.values():
        _seconds(arguments)
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, arguments in commands.items():
            spent[name].append(_seconds(arguments))
    return {
        "rows": [
            {
                "command": name,
                "median_s": round(statistics.median(seconds), 4),
                "min_s": round(min(seconds), 4),
                "max_s": round(max(seconds), 4),
            }
            for name, seconds in spent.items()
        ],
        "runs": runs,
        "threads": 1,
    }


def _commands() -> dict[str, Sequence[str]]:
    script = Path(sysconfig.get_path("scripts")) / "maskwright"
    if not script.exists():
        raise ConfigError(
            f"expected the command at {script}; install the package into {sys.prefix}."
        )
    return {
        "python -c pass": (sys.executable, "-c", "pass"),
        "python -c 'import maskwright'": (sys.executable, "-c", "import maskwright"),
        "maskwright --help": (str(script), "--help"),
    }


def _seconds(arguments: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The start of each command."""
    found = measure_startup(options.runs)
    for row in found["rows"]:
        print(f"{row['command']}: {row['median_s']:.3f} s")
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """How often."""
    parser.add_argument("--runs", type=int, default=9, help="of each command")
