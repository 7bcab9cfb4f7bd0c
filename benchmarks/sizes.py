"""What installing takes, downloaded and on disk: `python -m benchmarks sizes --extras openvino`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from maskwright.core.errors import MaskwrightError

ROOT = Path(__file__).parent.parent
LARGEST = 6
"""Packages that are named."""


def measure_sizes(extras: str = "") -> dict[str, Any]:
    """Download the wheels that an installation needs, and install them to an empty folder.

    Args:
        extras: of the package, such as "openvino" or "train,openvino"; "" is the plain one.

    Returns:
        Plain data: "extras", "download_bytes", "installed_bytes", "packages" (name -> installed
        bytes of the largest), "threads".

    Raises:
        MaskwrightError: pip can't do it, such as without a package index.
    """
    wanted = f"{ROOT}[{extras}]" if extras else str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        wheels, target = Path(folder) / "wheels", Path(folder) / "target"
        _pip("wheel", "--quiet", "--wheel-dir", str(wheels), wanted)
        found = sorted(wheels.glob("*.whl"))
        _pip("install", "--quiet", "--no-index", "--no-deps", "--target", str(target),
             *map(str, found))  # fmt: skip
        packages = {path.name: _bytes(path) for path in target.iterdir() if path.is_dir()}
        largest = sorted(packages, key=lambda name: -packages[name])[:LARGEST]
        return {
            "extras": extras,
            "download_bytes": sum(path.stat().st_size for path in found),
            "installed_bytes": _bytes(target),
            "packages": {name: packages[name] for name in largest},
            "threads": 1,
        }


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise MaskwrightError(f"{' '.join(command)} failed: {done.stderr.strip()[-400:]}")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which extras."""
    parser.add_argument("--extras", default="", help="of the package, such as openvino")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """As `measure_sizes`."""
    return measure_sizes(options.extras)
