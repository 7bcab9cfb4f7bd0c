"""A run that is killed and resumed comes to the weights of one that never was, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from shapes import Listener, config, make_dataset, quick, rows, script_headlines, tensors

import maskwright.formats as formats
from maskwright.architectures import load_checkpoint
from maskwright.core import Dataset, interrupt
from maskwright.core.errors import ConfigError, MaskwrightError, ModelFileError
from maskwright.training import (
    RunFolder,
    TrainConfig,
    loop,
    preflight,
    rehearsal,
    resume,
    train,
)
from maskwright.training.state import Counters, RunState, load_state, save_state

STEPS = 17
# drop path draws from torch's generator in every step; AdamW, averages, channels last
SEGFORMER = config(
    architecture="segformer-b0", steps=STEPS, evaluate_every=4, lr=1e-3,
    options={"widths": (8, 8, 8, 8), "depths": (1, 2, 1, 1), "heads": (1, 1, 1, 1),
             "decoder_width": 8, "drop_path": 0.5},
)  # fmt: skip
# batch statistics, momentum, gradients summed over three steps, images shown by their classes
UNET = quick(
    steps=STEPS, evaluate_every=4, optimiser="sgd", accumulate=3, ema=0.0, balance=True, workers=1,
    loss="weighted-ce+dice", options={"width": 4, "levels": 2},
)  # fmt: skip
RUNS = {"segformer": SEGFORMER, "unet": UNET}
AT = random.Random(5)
DEATHS = [
    ("segformer", "step", AT.randint(2, STEPS - 1), 60.0),
    ("segformer", "backward", AT.randint(2, STEPS - 1), 0.0),
    ("segformer", "state.safetensors", AT.randint(3, STEPS - 1), 0.0),
    ("unet", "step", AT.randint(2, STEPS - 1), 0.0),
    ("unet", "best.safetensors", 1, 60.0),  # a second best is up to how a processor rounds
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(autouse=True, scope="module")
def few_timed_steps():
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            rehearsal, "time_steps", lambda step, kind, **_: preflight.time_steps(step, kind, 2)
        )
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unbroken(dataset, tmp_path_factory):
    """The runs that nothing happened to."""
    folder = tmp_path_factory.mktemp("unbroken")
    return {name: train(settings, dataset, folder / name) for name, settings in RUNS.items()}


def killed(dataset: Dataset, folder: Path, settings: TrainConfig, *death: object) -> None:
    """Run until it kills itself; `death` is where, how often, and the seconds between states."""
    where, count, save_every = death
    told = folder.parent / "settings.json"
    told.write_text(json.dumps({
        "data": str(dataset.root), "folder": str(folder), "config": settings.to_dict(),
        "where": where, "count": count, "save_every": save_every,
    }))  # fmt: skip
    script = Path(__file__).with_name("killed_run.py")
    done = subprocess.run([sys.executable, script, told], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def interrupted(dataset: Dataset, folder: Path, at: int, settings: TrainConfig) -> Listener:
    """Run until Ctrl-C comes after a step."""

    def stop(step: int) -> None:
        if step == at:
            raise KeyboardInterrupt

    listener = Listener(stop)
    assert train(settings, dataset, folder, progress=listener).interrupted
    return listener


def assert_same_run(one: Path, other: Path) -> None:
    """Every tensor, and all of metrics.csv but the seconds."""
    for name in ("best.safetensors", "last.safetensors"):
        first, second = tensors(one / name), tensors(other / name)
        assert first.keys() == second.keys()
        different = [key for key in first if not torch.equal(first[key], second[key])]
        assert not different, f"{name}: {different}"
        assert load_checkpoint(one / name)[1].measured == load_checkpoint(other / name)[1].measured
    without = [[{**row, "seconds": ""} for row in rows(folder)] for folder in (one, other)]
    assert without[0] == without[1]


def board(folder: Path) -> list[tuple[str, int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return sorted(
        (tag, event.step, event.value)
        for tag in found.Tags()["scalars"]
        for event in found.Scalars(tag)
    )


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is Unix's")
@pytest.mark.parametrize("death", DEATHS, ids=lambda death: f"{death[0]} {death[1]} {death[2]}")
def test_a_killed_run_resumes_to_the_same_weights(unbroken, dataset, tmp_path, death):
    name, where, count, _ = death
    folder = tmp_path / "run"
    killed(dataset, folder, RUNS[name], *death[1:])
    assert bool(list(folder.glob("*.part")) + list(folder.glob(".*.part"))) == (
        where not in {"step", "backward"}
    )
    kept = RunFolder.reopen(folder).newest_state(print).counters.rows  # later rows are dropped
    listener = Listener()
    listener.scores = [float(row["miou"]) for row in rows(folder)[:kept] if row["miou"]]
    result = resume(dataset, folder, progress=listener)
    assert listener.steps[-1] == STEPS
    if where in {"step", "backward"}:
        assert listener.steps[0] <= count  # what was made after the last state is made again
    assert not list(folder.glob(".*.part"))
    assert_same_run(unbroken[name].folder, folder)
    assert board(folder) == board(unbroken[name].folder)
    assert result.scores.to_dict() == unbroken[name].scores.to_dict()
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in unbroken[name].folder.iterdir()
    }
    as_json = [json.dumps(one.config.to_dict()) for one in (result, unbroken[name])]
    assert as_json[0] == as_json[1]


@pytest.mark.parametrize("at", [1, 4, 10, 16])  # 4: before its score; 10, 16: mid-accumulation
def test_an_interrupted_run_resumes_after_the_very_step(unbroken, dataset, tmp_path, at):
    folder = tmp_path / "run"
    before = interrupted(dataset, folder, at, UNET)
    assert f"maskwright train --resume --out {folder}" in before.notes[-1]
    assert RunFolder.reopen(folder).newest_state(print).counters.step == at
    after = Listener()
    after.scores = list(before.scores)
    resume(dataset, folder, progress=after)
    assert before.steps + after.steps == list(range(1, STEPS + 1))
    assert f"resumed after step {at} of {STEPS}." in after.notes
    assert_same_run(unbroken["unet"].folder, folder)


def test_an_early_stop_counts_on(dataset, tmp_path, monkeypatch):
    settings = quick(steps=20, evaluate_every=10, patience=3)
    script_headlines(monkeypatch, [0.6, 0.5, 0.4])
    interrupted(dataset, tmp_path / "run", 7, settings)  # scored after 2, 4 and 6
    listener = Listener()
    listener.scores = [0.6]
    result = resume(dataset, tmp_path / "run", progress=listener)
    assert listener.steps == [8]
    assert listener.notes[-1] == "stopped early: no better score 3 times."
    assert load_checkpoint(result.folder / "best.safetensors")[1].training["step"] == 2


def test_the_time_before_counts(dataset, tmp_path):
    folder = tmp_path / "run"
    interrupted(dataset, folder, 12, quick(steps=20))
    path = folder / "state.safetensors"
    state = load_state(path)
    state.counters.seconds = 1000.0
    RunFolder.reopen(folder).save_state(state)
    result = resume(dataset, folder)
    assert 1000 < result.seconds < 1500
    assert 1000 < float(rows(folder)[-1]["seconds"]) < 1500


def test_a_state_holds_scores_of_a_detector_that_found_nothing(tmp_path):
    numbers = {
        "best.objects.iou.boxes": torch.from_numpy(np.zeros(0)),
        "network.weight": torch.arange(6.0).view(2, 3).T,
    }
    save_state(tmp_path / "state", RunState(counters=Counters(), tensors=numbers))
    again = load_state(tmp_path / "state").tensors
    assert {*again} == {*numbers}
    assert all(torch.equal(again[name], tensor) for name, tensor in numbers.items())
    assert again["network.weight"].stride() == (1, 3)


def test_a_finished_run_is_left_as_it_is(unbroken, dataset):
    folder = unbroken["segformer"].folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    listener = Listener()
    result = resume(dataset, folder, progress=listener)
    assert listener.notes == [
        f"{folder} is finished: nothing is left to do, and nothing was changed."
    ]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (result.scores, result.interrupted) == (None, False)
    assert result.history == unbroken["segformer"].history


# --- what may go wrong ----------------------------------------------------------------------------


def test_no_run_is_told(dataset, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a run in .*nowhere, but there is no config"):
        resume(dataset, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "config.json").write_text(json.dumps(quick().to_dict()))
    with pytest.raises(ConfigError, match=r"there is no state\.safetensors: .*--overwrite"):
        resume(dataset, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"could not read .*config\.json"):
        resume(dataset, tmp_path)


def test_a_damaged_state_gives_way_to_the_one_before(unbroken, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(loop, "SAVE_SHARE", 1e9)
    folder = tmp_path / "run"
    interrupted(dataset, folder, 7, UNET)
    newest = folder / "state.safetensors"
    data = bytearray(newest.read_bytes())
    data[-100] ^= 1  # one bit of a tensor
    newest.write_bytes(data)
    listener = Listener()
    listener.scores = [float(row["miou"]) for row in rows(folder) if row["miou"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "go_on", _stop)
        with pytest.raises(KeyboardInterrupt):  # nothing of the run is touched so far
            resume(dataset, folder)
    resume(dataset, folder, progress=listener)
    assert "is damaged, so that the run goes on from the state before it" in listener.notes[0]
    assert listener.steps[0] == 7
    assert_same_run(unbroken["unet"].folder, folder)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("content", [b"", b"\x80\x02nonsense", None])
def test_two_damaged_states_are_told(dataset, tmp_path, content):
    folder = tmp_path / "run"
    interrupted(dataset, folder, 1, quick(steps=20))
    for name in ("state.safetensors", "state-before.safetensors"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2] if content is None else content)
    with pytest.raises(ModelFileError, match=r"state-before\.safetensors is damaged .*--overwrite"):
        resume(dataset, folder)


def test_other_data_are_refused(dataset, tmp_path):
    folder = tmp_path / "run"
    interrupted(dataset, folder, 3, quick(steps=20))
    before = (folder / "metrics.csv").exists(), (folder / "state.safetensors").read_bytes()
    two = formats.read(dataset.root, ignore=["ball"])
    with pytest.raises(ConfigError, match=r"'ball'\], but .*\['grass', 'box'\]"):
        resume(two, folder)
    for split, kept in (("train", slice(1, None)), ("val", slice(1))):
        fewer = replace(dataset, splits={**dataset.splits, split: dataset.splits[split][kept]})
        with pytest.raises(ConfigError, match="has other images or masks than"):
            resume(fewer, folder)
    first, second = dataset.splits["train"][:2]
    swapped = (replace(first, truth_of=second.truth_of), *dataset.splits["train"][1:])
    with pytest.raises(ConfigError, match="has other images or masks than"):
        resume(replace(dataset, splits={**dataset.splits, "train": swapped}), folder)
    assert ((folder / "metrics.csv").exists(), (folder / "state.safetensors").read_bytes()) == (
        before
    )


def test_other_threads_are_told(dataset, tmp_path):
    folder = tmp_path / "run"
    interrupted(dataset, folder, 3, quick(steps=6))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"threads": 2}))
    listener = Listener()
    resume(dataset, folder, progress=listener)
    assert "the run was started with threads 1, and goes on with 2" in listener.notes[0]


def test_a_new_run_removes_the_old_state(dataset, tmp_path):
    folder = tmp_path / "run"
    interrupted(dataset, folder, 3, quick(steps=20))
    with pytest.raises(ConfigError, match=r"holds a run already.*--resume.*--overwrite"):
        train(quick(steps=2), dataset, folder)
    train(quick(steps=2), dataset, folder, overwrite=True)
    assert not list(folder.glob("state*"))


# --- Ctrl-C ---------------------------------------------------------------------------------------


def test_the_first_ctrl_c_waits_and_the_second_does_not():
    one = interrupt.HeldInterrupt()
    reached = []
    with one.held():
        signal.raise_signal(signal.SIGINT)
        reached.append("after the first")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        one.check()  # it was raised already
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            one.check()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), one.allowed():
            reached.append("never")
        with pytest.raises(KeyboardInterrupt), one.allowed():
            signal.raise_signal(signal.SIGINT)
    assert reached == ["after the first"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_and_other_handlers_are_left_alone():
    seen = []

    def elsewhere() -> None:
        with interrupt.HeldInterrupt().held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.HeldInterrupt().held():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupt_within_a_step_keeps_the_state_before_it(
    unbroken, dataset, tmp_path, monkeypatch
):
    """As two Ctrl-C do: weights and statistics are half changed then."""
    folder, backward, calls = tmp_path / "run", loop.backward, [0]

    def stop(*args: object) -> float:
        calls[0] += 1
        loss = backward(*args)
        if calls[0] == 11:
            raise KeyboardInterrupt
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(loop, "backward", stop)
        assert train(UNET, dataset, folder).interrupted
    assert RunFolder.reopen(folder).newest_state(print).counters.step == 8  # scored there
    resume(dataset, folder)
    assert_same_run(unbroken["unet"].folder, folder)


def test_a_full_disk_leaves_what_can_be_resumed(unbroken, dataset, tmp_path, monkeypatch):
    import errno

    write, states = Path.write_bytes, [0]

    def write_until_full(path: Path, data: bytes) -> int:
        states[0] += path.name.startswith(".state.safetensors")
        if states[0] == 3:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_until_full)
        with pytest.raises(MaskwrightError, match=r"state\.safetensors: No space left"):
            train(UNET, dataset, folder)
    resume(dataset, folder)
    assert_same_run(unbroken["unet"].folder, folder)
