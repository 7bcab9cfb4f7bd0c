"""`maskwright train --resume`: what it takes from the run, and what it refuses."""

from __future__ import annotations

import shutil

import pytest
from cases import QUICK, contents

from maskwright.training import Terminal


@pytest.fixture
def ended(run, original, tmp_path, monkeypatch):
    """A run of four steps that Ctrl-C ended after the third, started without one class."""

    def stop(self: Terminal, step: int, *_: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Terminal, "step", stop)
        result = run("train", original, *QUICK, "--steps", 4, "--ignore", "ball", "--out", folder)
    assert result.code == 2
    assert f"maskwright train --resume --out {folder}" in result.out
    return folder


def test_settings_data_and_classes_come_from_the_run(run, ended):
    result = run("train", "--resume", "--out", ended)
    assert result.code == 0, result
    assert "resumed after step 3 of 4." in result.out
    assert "mIoU" in result.out
    before = contents(ended)
    again = run("train", "--resume", "--out", ended)
    assert again.code == 0
    assert "is finished: nothing is left to do" in again.out
    assert contents(ended) == before


def test_a_set_that_was_moved_is_named(run, original, ended, tmp_path):
    moved = shutil.copytree(original, tmp_path / "moved")
    same = ("--steps", 4, "--batch", 4, "--size", "32x32", "--set", "evaluate_every=2",
            "--log", "csv", "--device", "cpu")  # fmt: skip
    assert run("train", moved, *same, "--resume", "--out", ended).code == 0


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--batch", "8"), ["has batch 4", "got batch 8"]),  # the default, but typed
        (("--steps", "5"), ["has steps 4", "got steps 5"]),
        (("--budget", "1m"), ["budget"]),
        (("--size", "64x64"), ["[32, 32]", "(64, 64)"]),
        (("--model", "bisenetv2"), ["unet-lite0", "bisenetv2"]),
        (("--set", "lr=0.5"), ["lr 0.002", "lr 0.5"]),
        (("--set", "augmentation.flip=0"), ["augmentation.flip 0.5"]),
        (("--set", "foo=1"), ["foo 1"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_other_settings_are_refused(refused, ended, options, wanted):
    before = contents(ended)
    message = refused("train", "--resume", "--out", ended, *options)
    for text in ("with --resume", "Leave it out", *wanted):
        assert text in message
    assert contents(ended) == before


def test_no_run_and_no_data(refused, tmp_path):
    message = refused("train", "--resume", "--out", tmp_path / "nowhere")
    assert "expected a run in" in message
    assert "DATA" in refused("train", "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())
