"""Commands run in this process through the very `main` that the script calls."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import QUICK, Result, call, make_set

from maskwright.architectures import ARCHITECTURES
from maskwright.cli.console import PIPE_WIDTH, console


@pytest.fixture
def run(capsys, monkeypatch) -> Callable[..., Result]:
    """`run("data", "stats", folder)`; an exception that `main` does not map fails the test."""
    # as in a pipe, whatever COLUMNS says: parallel test runners set it
    monkeypatch.setattr(console, "width", PIPE_WIDTH)

    def run_command(*arguments: object) -> Result:
        capsys.readouterr()
        code = call(*arguments)
        told = capsys.readouterr()
        return Result(code, told.out, told.err)

    return run_command


@pytest.fixture
def refused(run) -> Callable[..., str]:
    """Runs a command that must end with 2, one message and no traceback; returns the message."""

    def run_refused(*arguments: object) -> str:
        result = run(*arguments)
        assert result.code == 2, result
        assert "Traceback" not in result.err + result.out
        assert result.err.strip()
        return " ".join(result.err.split())

    return run_refused


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    return make_set(tmp_path_factory.mktemp("original") / "set")


@pytest.fixture
def labelled(original, tmp_path) -> Path:
    """A set that the test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "set"))


@pytest.fixture(scope="session")
def trained(original, tmp_path_factory) -> Path:
    """A run folder."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert call("train", original, *QUICK, "--steps", 4, "--out", folder) == 0
    return folder


@pytest.fixture(scope="session")
def bundle(original, trained) -> Path:
    """What is exported from it."""
    return _export(original, trained, "model.mask")


@pytest.fixture(scope="session")
def soft_bundle(original, trained) -> Path:
    """The same with probabilities."""
    return _export(original, trained, "soft.mask", "--probabilities")


def _export(original: Path, trained: Path, name: str, *more: str) -> Path:
    path = trained.parent / name
    images = original / "val" / "images"
    arguments = ("--images", images, "--out", path, "--count", 2, "--threads", 1)
    assert call("export", trained, *arguments, *more) == 0
    return path


@pytest.fixture
def few_models(monkeypatch) -> list[str]:
    """The catalogue without the networks that take long to count."""
    names = ["unet", "unet-lite0", "bisenetv1", "bisenetv2", "segformer-b0"]
    few = {name: ARCHITECTURES[name] for name in names}
    monkeypatch.setattr("maskwright.architectures.ARCHITECTURES", few)
    return names
