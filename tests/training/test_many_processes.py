"""Two processes that train together come to what one comes to; and end together."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import together
import torch
from shapes import Listener, make_dataset, rows, tensors
from test_train import FILES

import maskwright.formats as formats
from maskwright.core.errors import ConfigError
from maskwright.training import preflight, processes, rehearsal, resume
from maskwright.training.processes import Processes, join

pytest.importorskip("lightning_fabric")
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo"}
SECONDS = 400
"""After which a run of two processes hangs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    make_dataset(folder / "set")
    return folder


@pytest.fixture(scope="module")
def two(folder) -> list[dict]:
    """What both found, by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2",
              "LOCAL_WORLD_SIZE": "2", **LOOPBACK}  # fmt: skip
    command = [sys.executable, str(Path(together.__file__)), str(folder)]
    started = [
        subprocess.Popen(
            command,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in started:
            out, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, out + err
    finally:
        for process in started:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.fixture(scope="module")
def one(folder) -> dict:
    """What one process found over the whole of each batch."""
    threads, timed = torch.get_num_threads(), rehearsal.time_steps
    found = together.compute(Processes(), folder)
    rehearsal.time_steps = timed
    torch.set_num_threads(threads)
    return found


def assert_close(found: dict, expected: dict, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=tolerance, atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )  # fmt: skip


# --- the same numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1])
def test_losses_and_gradients_are_those_of_the_whole_batch(one, two, rank):
    assert len(one["losses"]) == len(together.LOSSES) * 3 * 3
    assert float(one["losses"]["dice, half: weight"].norm()) > 1e-4
    assert_close(two[rank]["losses"], one["losses"], 1e-12)


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_whose_images_are_labelled_for_different_tasks_train_in_step(one, two, rank):
    assert float(one["two tasks"]["loss 0"]) > float(one["two tasks"]["loss 2"])
    assert_close(two[rank]["two tasks"], one["two tasks"], 1e-12)


def test_nobody_waits_for_days():
    assert processes.PATIENCE.total_seconds() <= 3600


@pytest.mark.parametrize("rank", [0, 1])
def test_a_network_without_batch_statistics_learns_the_same(one, two, rank):
    assert_close(two[rank]["frozen"], one["frozen"], 1e-10)


@pytest.mark.parametrize("rank", [0, 1])
def test_synced_batch_statistics_are_those_of_the_whole_batch(one, two, rank):
    assert_close(two[rank]["synced"], one["synced"], 1e-9)
    with pytest.raises(AssertionError, match="not close"):  # else nothing would be proved
        assert_close(two[rank]["own"], one["own"], 1e-4)


@pytest.mark.parametrize("rank", [0, 1])
def test_batch_norm_over_uneven_parts(one, two, rank):
    found, expected = two[rank]["batch norms"], one["batch norms"]
    half = {name for name in expected if name.startswith("half")}
    exact = expected.keys() - half
    assert {"bare gradient", "timm weight", "cumulative running_var"} <= exact
    assert_close({n: found[n] for n in exact}, {n: expected[n] for n in exact}, 1e-10)
    for name in half:
        assert found[name].dtype == expected[name].dtype
        # bf16 has steps of 0.5 at 100: a rounding apart, relative to answers of about 4
        torch.testing.assert_close(found[name].float(), expected[name].float(), rtol=0.02, atol=0.1)


def test_one_value_a_channel_has_no_variance(one, two):
    assert "more than 1 value per channel" in one["one value"].lower()
    for found in two:
        assert "more than 1 value per channel" in found["one value"]


def test_the_same_run_comes_out(one, two, folder):
    """Augmented examples, precision, steps, scores: all but the last digits."""
    first, second = (tensors(folder / f"whole-{count}" / "last.safetensors") for count in (1, 2))
    assert_close(second, first, 2e-4)
    for found in two:
        np.testing.assert_array_equal(found["runs"]["matrix"].sum(1), one["runs"]["matrix"].sum(1))
        assert found["runs"]["images"] == one["runs"]["images"]
        assert found["runs"]["matrix"].sum() == 2 * 64 * 64
    assert two[0]["runs"]["of images"] == two[1]["runs"]["of images"]
    plain = [
        [(row["step"], row["epoch"], bool(row["loss"]), bool(row["miou"])) for row in rows(path)]
        for path in (folder / "whole-1", folder / "whole-2")
    ]
    assert plain[0] == plain[1]
    logged = [float(row["loss"]) for row in rows(folder / "whole-2") if row["loss"]]
    alone = [float(row["loss"]) for row in rows(folder / "whole-1") if row["loss"]]
    assert logged == pytest.approx(alone, rel=1e-4)


# --- the same decisions ---------------------------------------------------------------------------


def test_what_one_meets_comes_to_all(two):
    for found in two:
        assert found["agreements"] == {
            "error": "DataError: image 7 is damaged",
            "interrupt": "KeyboardInterrupt: ",
            "nothing": "went well",
            "gather": [0, 10],
            "same": "said by 0",
            "equal": "expected the same number in all 2 processes, but process 1 has 1 and "
            "process 0 has 0. Give every machine the same.",
            "any": [True, True, False],
            "shares": [1, 4],
        }
        assert "holds a run already" in found["runs"]["refused"]


def test_an_interrupt_of_one_ends_both_and_the_run_goes_on_bit_for_bit(two, folder):
    for found in two:
        assert found["runs"]["interrupted"]
        assert "state.safetensors" in found["runs"]["files"]
    assert two[0]["runs"]["steps"] == [1, 2, 3, 4, 5]
    assert two[1]["runs"]["steps"] == []  # only the first tells
    for name in ("best.safetensors", "last.safetensors"):
        whole, ended = (tensors(folder / run / name) for run in ("whole-2", "ended-2"))
        assert whole.keys() == ended.keys()
        assert all(torch.equal(whole[key], ended[key]) for key in whole)
    assert {path.name for path in (folder / "ended-2").iterdir()} == FILES


def test_batches_that_do_not_come_out_even_are_refused():
    three = Processes()
    three.count = 3
    for batch, fits in ((8, "6 or 9"), (2, "3")):
        with pytest.raises(ConfigError, match=rf"3 processes can share .* got {batch}: .*{fits}\."):
            three.share(batch)
    assert three.share(9) == 3


def test_one_process_needs_no_fabric(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert type(join()) is Processes
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match=r"2 processes needs lightning_fabric.*\[cluster\]"):
        join()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="same number of processes on each machine, got 2"):
        join()


def test_a_voice_alone_is_heard_as_it_is():
    with pytest.raises(RuntimeError, match="gloo"), processes.one_voice():
        raise RuntimeError("gloo")


# --- the command ----------------------------------------------------------------------------------


def torchrun(folder: Path, *options: object) -> subprocess.Popen:
    """The command in two processes, in `folder`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr",
               "127.0.0.1", "--nproc-per-node", "2", "-m", "maskwright", "train",
               *map(str, options)]  # fmt: skip
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | LOOPBACK, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out, err


SMALL = ("--model", "unet", "--set", "width=2", "--set", "levels=1", "--size", "32x32", "--batch",
         4, "--set", "precision=fp32", "--set", "evaluate_every=2")  # fmt: skip


def test_the_command_is_interrupted_and_resumed(folder, monkeypatch):
    run = folder / "run"
    process = torchrun(folder, "set", *SMALL, "--steps", 200, "--out", "run")
    logged = run / "metrics.csv"  # after ten steps
    deadline = time.monotonic() + SECONDS
    while not logged.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code != 0
    assert err.count("interrupted; what was written so far is whole.") == 1, err
    assert out.count("go on, run torchrun --nproc-per-node 2 -m maskwright train --resume") == 1
    settings = json.loads((run / "config.json").read_text())
    assert (settings["processes"], settings["batch"], settings["steps"]) == (2, 4, 200)
    environment = json.loads((run / "environment.json").read_text())
    assert environment["processes"] == 2
    assert environment["command"].startswith("maskwright train set --model unet")

    code, out, err = ended(torchrun(folder, "--resume", "--out", "run"))
    assert code == 0, err
    assert len(re.findall(r"resumed after step \d+ of 200\.", out)) == 1
    assert out.count("step 200: mIoU") == out.count("weights: run/best.safetensors") == 1
    assert {path.name for path in run.iterdir()} == FILES
    steps = [int(row["step"]) for row in rows(run) if row["loss"]]
    assert steps == list(range(10, 201, 10))


def test_a_loss_that_is_no_number_ends_all_with_one_message(folder):
    code, out, err = ended(
        torchrun(folder, "set", *SMALL, "--steps", 9, "--set", "lr=1e30", "--set", "clip=0",
                 "--out", "nan")
    )  # fmt: skip
    assert code != 0
    assert (out + err).count("error: ") == 1, err
    assert re.search(r"error: the loss became nan at step \d+; no weights had been scored", err)
    assert "exitcode  : 2" in err


def test_one_process_goes_on_where_two_were_ended(two, folder, monkeypatch):
    """What was saved by the first of two is all that is needed."""
    monkeypatch.setattr(
        rehearsal, "time_steps", lambda step, kind, **_: preflight.time_steps(step, kind, 2)
    )
    left = folder / "left-2"
    listener = Listener()
    listener.scores = [float(row["miou"]) for row in rows(left) if row["miou"]]
    result = resume(formats.read(folder / "set"), left, progress=listener)
    assert listener.steps == [6, 7, 8]
    assert any("processes 2, and goes on with 1" in note for note in listener.notes)
    one, other = (tensors(run / "last.safetensors") for run in (result.folder, folder / "whole-2"))
    assert_close(one, other, 2e-4)
