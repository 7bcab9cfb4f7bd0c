"""Ctrl-C or SIGTERM in the middle of training: the newest weights stay, nothing is half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from cases import QUICK

from maskwright.architectures import load_checkpoint

PATIENCE = 240.0
"""Seconds after which a process that doesn't come to the point is taken for hung."""


@pytest.mark.skipif(os.name == "nt", reason="signals to a group of processes are Unix's")
@pytest.mark.parametrize("ended_by", ["Ctrl-C", "SIGTERM", "SIGTERM in the background"])
def test_interrupted_training(original, tmp_path, ended_by):
    folder = tmp_path / "run"
    # a shell starts what runs in the background with SIGINT ignored
    ignoring = "signal.signal(signal.SIGINT, signal.SIG_IGN); " if "back" in ended_by else ""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import signal; {ignoring}from maskwright.cli import main; main()",
         "train", original, *QUICK, "--set", "workers=1", "--set", "evaluate_every=1000",
         "--steps", "100000", "--out", folder],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(process, (folder / "metrics.csv").exists)
        if ended_by == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the loader's process too
        else:
            process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 2, err
    assert "Traceback" not in out + err
    assert "interrupted" in out + err
    assert not list(tmp_path.rglob("*.part"))
    _, card = load_checkpoint(folder / "last.safetensors")
    assert card.training["step"] >= 10


def wait_until(process, reached):
    end = time.monotonic() + PATIENCE
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no step was made"
        time.sleep(0.1)
