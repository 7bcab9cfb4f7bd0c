"""What this machine offers, and what is missing: the answer to "why is it slow" or "not found"."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maskwright.core import machine

Verdict = Literal["ok", "note", "bad"]

_NEEDED = ("numpy", "opencv-python-headless", "onnxruntime", "pillow", "typer", "rich")
_EXTRAS = {
    "openvino": "faster on most Intel and AMD processors: pip install 'maskwright[openvino]'",
    "torch": "needed to train and export: pip install 'maskwright[train]'",
    "timm": "needed to train and export: pip install 'maskwright[train]'",
}
_FLAGS = {
    "avx2": "fast float32",
    "avx512f": "faster float32",
    "avx512_vnni": "fast int8",
    "avx_vnni": "fast int8",
    "avx512_bf16": "fast bf16",
    "amx_tile": "very fast int8 and bf16",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One line of the examination.

    Attributes:
        what: was looked at.
        found: there.
        verdict: "bad" where something can't work so, "note" where it could be better.
    """

    what: str
    found: str
    verdict: Verdict = "ok"


def examine() -> list[Check]:
    """Look at Python, packages, processor, memory and disk. Imports none of the packages."""
    return [*_python(), *_packages(), *_processor(), *_room()]


def _python() -> list[Check]:
    right = sys.version_info >= (3, 11)
    found = sys.version.split()[0] + ("" if right else "; 3.11 or newer is needed")
    return [Check(what="Python", found=found, verdict="ok" if right else "bad")]


def _packages() -> list[Check]:
    checks = []
    for name in ("maskwright", *_NEEDED):
        found = machine.installed(name)
        verdict: Verdict = "ok" if found else "bad"
        checks.append(
            Check(what=name, found=found or "missing: pip install maskwright", verdict=verdict)
        )
    for name, why in _EXTRAS.items():
        found = machine.installed(name) if importlib.util.find_spec(name) else None
        checks.append(
            Check(
                what=name, found=found or f"not installed; {why}", verdict="ok" if found else "note"
            )
        )
    return checks


def _processor() -> list[Check]:
    cores = machine.usable_cores()
    checks = [
        Check(what="processor", found=f"{machine.processor()}, {cores} usable cores"),
        Check(what="system", found=machine.system()),
    ]
    flags = machine.cpu_facts().get("flags", "").split()
    if flags:
        fast = [f"{flag} ({what})" for flag, what in _FLAGS.items() if flag in flags]
        slow = "avx2" not in flags
        checks.append(
            Check(
                what="instructions",
                found=", ".join(fast) or "none that help",
                verdict="note" if slow else "ok",
            )
        )
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        if name in os.environ:
            checks.append(
                Check(what=name, found=f"{os.environ[name]}: limits the threads", verdict="note")
            )
    return checks


def _room() -> list[Check]:
    memory = machine.available_memory()
    disk = shutil.disk_usage(Path.cwd()).free
    return [
        Check(
            what="free memory",
            found=f"{memory / 2**30:.1f} GiB",
            verdict="note" if memory < 2 * 2**30 else "ok",
        ),
        Check(
            what="free disk here",
            found=f"{disk / 2**30:.1f} GiB",
            verdict="note" if disk < 2**30 else "ok",
        ),
    ]
