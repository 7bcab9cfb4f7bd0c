"""Where the real data and the goldens lie, for tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_path(relative: str) -> Path:
    """A path below MASKWRIGHT_SHARED; the test skips visibly without it, and fails in CI."""
    folder = Path(os.environ.get("MASKWRIGHT_SHARED", ROOT.parent / "shared"))
    path = folder / relative
    if not path.exists():
        message = f"{path} is not there; set MASKWRIGHT_SHARED to the folder that holds {relative}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
