"""Where the real data and the goldens lie, for tests that need them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

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


def golden_rule() -> ModuleType:
    """The goldens' own module, whose `make_input(shape, seed)` makes their inputs."""
    spec = importlib.util.spec_from_file_location("golden_rule", shared_path("parity/parity.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
