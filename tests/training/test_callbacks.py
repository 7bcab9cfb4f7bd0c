"""What a run tells whom: the protocol itself, and what the logs under it have written."""

from __future__ import annotations

import os
import struct
import sys
import time

import pytest
import small_sets
from commands import run_commands
from shapes import Listener, make_dataset, quick, rows, tensors

from maskwright.core.errors import ConfigError
from maskwright.training import LOGS, Callback, RunFolder, resume, train
from maskwright.training.loggers import open_logs


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("callbacks") / "set")


class Diary(Callback):
    """Everything that is told, in order; may fail at a step."""

    def __init__(self, fails_at=0):
        self.told, self.fails_at = [], fails_at

    def start(self, run):
        self.told.append(("start", run))

    def step(self, step, steps, loss, rate):
        self.told.append(("step", (step, steps, loss, rate)))
        if step == self.fails_at:
            raise RuntimeError("no more")

    def score(self, step, name, value, best, scores):
        self.told.append(("score", (step, name, value, best, scores)))

    def end(self, result):
        self.told.append(("end", result))

    def of(self, kind):
        return [what for told, what in self.told if told == kind]


def figures(folder, names=("loss", "lr", "miou", "pixel_accuracy")):
    """What metrics.csv holds: (name, step, value)."""
    return sorted(
        (name, int(row["step"]), float(row[name]))
        for row in rows(folder) for name in names if row[name]
    )  # fmt: skip


# --- the protocol ----------------------------------------------------------------------------


def test_a_callback_is_told_everything_in_order(dataset, tmp_path):
    diary = Diary()
    result = train(quick(steps=12), dataset, tmp_path / "run", callbacks=[diary])
    kinds = [kind for kind, _ in diary.told]
    assert kinds == ["start", *["step"] * 6, "score", *["step"] * 6, "score", "end"]
    [start] = diary.of("start")
    assert (start.folder, start.step, start.steps) == (tmp_path / "run", 0, 12)
    assert start.settings["lr"] == 0.01
    assert start.settings["training_images"] == 6
    assert [step[:2] for step in diary.of("step")] == [(n + 1, 12) for n in range(12)]
    assert diary.of("end") == [result]
    scored = [row for row in rows(tmp_path / "run") if row["miou"]]
    highest = -1.0
    for (step, name, value, best, scores), row in zip(diary.of("score"), scored, strict=True):
        assert (name, step) == ("mIoU", int(row["step"]))
        assert value == float(row["miou"]) == scores.row()["miou"]
        assert best == (value > highest)
        highest = max(highest, value)
    logged = {int(row["step"]): float(row["loss"]) for row in rows(tmp_path / "run") if row["loss"]}
    assert {s: loss for s, _, loss, _ in diary.of("step") if s in logged} == logged


def test_an_error_in_a_callback_ends_the_run_and_its_state_is_kept(dataset, tmp_path):
    diary, other = Diary(fails_at=3), Diary()
    with pytest.raises(RuntimeError, match="no more"):
        train(quick(steps=4), dataset, tmp_path / "run", callbacks=[diary, other])
    assert diary.of("end") == other.of("end") == [None]
    again = Diary()
    result = resume(dataset, tmp_path / "run", callbacks=[again])
    assert again.of("start")[0].step == 2  # where it scored, and saved its state
    assert [row["step"] for row in again.of("start")[0].history] == [2]
    assert again.of("end") == [result]
    assert RunFolder.reopen(tmp_path / "run").finished


@pytest.mark.parametrize("where", ["open", "write", "end"])
def test_a_log_that_fails_is_told_once_and_the_run_goes_on(dataset, tmp_path, monkeypatch, where):
    from maskwright.training.loggers.tensorboard import TensorBoard

    def fail(*_):
        raise OSError("No space left on device")

    whole = train(quick(steps=20), dataset, tmp_path / "whole", logs=["csv"])
    assert not (tmp_path / "whole" / "tensorboard").exists()
    monkeypatch.setattr(TensorBoard, where, fail)
    listener = Listener()
    result = train(quick(steps=20), dataset, tmp_path / "run", progress=listener)
    told = [note for note in listener.notes if "TensorBoard failed" in note]
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert figures(result.folder) == figures(whole.folder)
    best, same = (tensors(run.folder / "best.safetensors") for run in (whole, result))
    assert all((best[name] == same[name]).all() for name in best)


# --- logs ------------------------------------------------------------------------------------


def test_an_unknown_log_and_one_without_its_package_are_told_before_the_run(
    dataset, tmp_path, monkeypatch
):
    with pytest.raises(ConfigError, match="no log 'mlfow'; did you mean mlflow"):
        train(quick(), dataset, tmp_path / "run", logs=["mlfow"])
    for name in LOGS.keys() & {"mlflow", "wandb"}:
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, f"maskwright.training.loggers.{name}", raising=False)
        with pytest.raises(ConfigError, match=rf"run pip install 'maskwright\[{name}\]'"):
            train(quick(), dataset, tmp_path / "run", logs=[name])
    assert not (tmp_path / "run").exists()
    assert open_logs(["csv"]) == []


def test_mlflow_has_every_figure_setting_and_end(dataset, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "shapes")

    def stop(step):
        if step == 15:
            raise KeyboardInterrupt

    folder = tmp_path / "mine"
    train(quick(steps=20), dataset, folder, logs=["mlflow"], progress=Listener(stop))
    resume(dataset, folder, logs=["mlflow"])
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"file:{tmp_path / 'store'}")
    experiment = client.get_experiment_by_name("shapes").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time"])
    assert [run.info.run_name for run in runs] == ["mine", "mine"]
    assert [run.info.status for run in runs] == ["KILLED", "FINISHED"]
    params = runs[1].data.params
    assert (params["lr"], params["augmentation.flip"], params["architecture"]) == (
        "0.01", "0.5", "unet",
    )  # fmt: skip
    found = sorted(
        (name, metric.step, metric.value)
        for name in runs[1].data.metrics
        for metric in client.get_metric_history(runs[1].info.run_id, name)
    )
    assert found == figures(folder)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"]


def test_weights_and_biases_has_every_figure_offline(dataset, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    listener = Listener()
    train(quick(steps=20), dataset, tmp_path / "mine", logs=["wandb"], progress=listener)
    assert not [note for note in listener.notes if "failed" in note]
    [log] = (tmp_path / "mine" / "wandb").glob("offline-run-*/run-*.wandb")
    found, settings = when_ended(log)
    assert found == figures(tmp_path / "mine")
    assert settings["lr"] == "0.01"
    assert settings["augmentation.flip"] == "0.5"


def records(path):
    """The records of a W&B file: blocks of 32 KiB, in each (checksum, length, kind) and a part."""
    data, place, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole in one part, or its last
            yield whole
            whole = b""


def when_ended(path):
    """As `read_offline`; W&B's own process writes a little longer than `finish` takes."""
    for _ in range(300):
        found, settings, ended = read_offline(path)
        if ended:
            return found, settings
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")


def read_offline(path):
    """What an offline run of W&B has kept: figures (name, step, value), settings, its end."""
    from wandb.proto import wandb_internal_pb2 as proto

    found, settings, ended = [], {}, False
    for data in records(path):
        record = proto.Record()
        record.ParseFromString(data)
        for item in record.run.config.update:
            settings[item.key or ".".join(item.nested_key)] = item.value_json
        ended = ended or record.WhichOneof("record_type") == "exit"
        for item in record.history.item:
            name = item.key or ".".join(item.nested_key)
            if not name.startswith("_"):
                found.append((name, record.history.step.num, float(item.value_json)))
    return sorted(found), settings, ended


def test_logs_open_no_network(tmp_path):
    """W&B's own process is not Python: that it is offline is told by its files' names, above."""
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    small_sets.mask_folder(tmp_path / "set", {"train": 4, "val": 2}, ["grass", "line", "ball"])
    [outcome] = run_commands(
        tmp_path,
        ["train", "set", "--steps", "3", "--size", "32x32", "--batch", "2", "--out", "run",
         "--model", "unet", "--set", "width=2", "--set", "levels=1", "--set", "threads=1",
         "--set", "precision=fp32", "--log", "mlflow", "--log", "wandb"],
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert list((tmp_path / "mlruns").glob("*/*/metrics/miou"))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert not (tmp_path / "run" / "tensorboard").exists()
    # MLflow's HTTP client asks whether this machine knows IPv6; nothing is sent
    asked = [event for event in outcome.network if not event.startswith("socket.bind ('::1', 0")]
    assert not asked, outcome
