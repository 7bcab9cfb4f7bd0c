"""A small set, the options that make a run quick, and what a command came to."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import small_sets

from maskwright.cli import main

NAMES = ["grass", "line", "ball"]
SIZE = (64, 64)
QUICK = ["--size", "32x32", "--batch", "4", "--set", "threads=1", "--set", "workers=0",
         "--set", "precision=fp32", "--set", "evaluate_every=2"]  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a command came to: its exit code, standard output and standard error."""

    code: int
    out: str = ""
    err: str = ""


def call(*arguments: object) -> int:
    """Run a command through `main`; its exit code. What `main` does not map is raised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["maskwright", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def make_set(root: Path) -> Path:
    """Twelve images of 64x64, nine to train on."""
    for place, (split, count) in enumerate({"train": 9, "val": 3}.items()):
        for i in range(count):
            seed = 100 * place + i
            small_sets.save(root / split / "images" / f"im{i}.png", small_sets.picture(seed, SIZE))
            small_sets.save(root / split / "masks" / f"im{i}.png", small_sets.ids(seed, SIZE))
    (root / "classes.json").write_text('["grass", "line", "ball"]')
    return root


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, to see that nothing was lost, and nothing half-written left."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
