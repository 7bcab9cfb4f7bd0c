"""Whole runs on a set of eight small pictures: what comes out, and what may go wrong."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shapes import (
    Listener,
    config,
    losses,
    make_dataset,
    quick,
    rows,
    script_headlines,
    tensors,
)

import maskwright.formats as formats
from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.core import Dataset
from maskwright.core.errors import ConfigError, DataError, MaskwrightError
from maskwright.data import NONE
from maskwright.training import TrainingStep, loop, preflight, rehearsal, train
from maskwright.training.precision import Precision
from maskwright.training.steps import backward

FILES = {
    "recipe.yaml",
    "config.json", "environment.json", "metrics.csv", "report.html", "best.safetensors",
    "last.safetensors", "tensorboard",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(autouse=True)
def few_timed_steps(monkeypatch):
    """Twenty timed steps a run tell nothing here."""
    timed = preflight.time_steps
    monkeypatch.setattr(
        rehearsal, "time_steps", lambda step, precision, **_: timed(step, precision, 2)
    )
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


# --- what comes out -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    listener = Listener()
    folder = tmp_path_factory.mktemp("runs") / "first"
    return train(config(), dataset, folder, progress=listener), listener


def test_two_coloured_shapes_are_learnt(finished):
    result, listener = finished
    assert result.scores.maps.areas.miou > 0.8
    assert listener.scores[-1] > 0.8
    assert listener.steps == list(range(1, 41))
    assert listener.closed == 1
    assert not result.interrupted


def test_a_run_leaves_its_files(finished, dataset):
    result, _ = finished
    assert {path.name for path in result.folder.iterdir()} == FILES
    settings = json.loads((result.folder / "config.json").read_text())
    assert (settings["steps"], settings["precision"], settings["budget"]) == (40, "fp32", None)
    assert settings["classes"] == ["grass", "box", "ball"]
    assert (settings["training_images"], settings["validation_images"]) == (6, 2)
    environment = json.loads((result.folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert environment["processor"]
    assert list((result.folder / "tensorboard").glob("events*"))
    written = rows(result.folder)
    assert [row["step"] for row in written if row["loss"]] == ["10", "20", "30", "40"]
    assert [row["step"] for row in written if row["miou"]] == ["20", "40"]
    assert float(written[0]["loss"]) > float(written[-2]["loss"]) > 0
    assert float(written[-1]["epoch"]) == pytest.approx(40 * 4 / 6, abs=1e-3)
    assert len(result.history) == len(written)
    best = max(float(row["miou"]) for row in written if row["miou"])
    assert best == pytest.approx(result.scores.maps.areas.miou)


def test_the_checkpoint_scores_what_the_run_said(finished, dataset):
    from maskwright.architectures.deploy import deploy_run
    from maskwright.jobs import answers_of, score
    from maskwright.runtimes.predictor import Predictor

    result, _ = finished
    network, card = load_checkpoint(result.folder / "best.safetensors")
    predictor = Predictor(card, deploy_run(network), {})
    find, tasks = answers_of(predictor), frozenset({"semantic"})
    again = score(dataset.splits["val"], find, dataset.classes, tasks=tasks)
    assert again.maps.to_dict()["images"] == result.scores.maps.to_dict()["images"]
    np.testing.assert_array_equal(again.maps.matrix, result.scores.maps.matrix)
    assert card.measured["validation"]["miou"] == again.headline().value
    assert card.measured["validation"]["headline"] == "mIoU"
    assert card.classes == dataset.classes
    assert card.training["step"] in (20, 40)


def test_the_kept_weights_are_scored_on_a_test_split_which_comes_first(dataset, tmp_path):
    from maskwright.jobs import answers_of, score
    from maskwright.training import checkpoint_predictor

    test = tuple(replace(one, name=f"test{one.name}") for one in dataset.splits["train"][:3])
    whole = replace(dataset, splits={**dataset.splits, "test": test})
    result = train(quick(steps=4), whole, tmp_path / "run")
    predictor = checkpoint_predictor(result.folder / "best.safetensors", 1)
    again = score(test, answers_of(predictor), dataset.classes, tasks=frozenset({"semantic"}))
    assert result.test.to_dict() == again.to_dict()
    assert (result.test.images, result.scores.images) == (3, 2)
    first, second = result.told
    assert first.startswith(f"mIoU {again.headline().value:.4f} [")
    assert first.endswith("on 3 images of test")
    assert f"mIoU {result.scores.headline().value:.4f}" in second
    assert "on 2 images of val; chosen by it: the best of 2 scores" in second
    page = (result.folder / "report.html").read_text()
    assert "These are the test images, on which nothing was chosen." in page
    assert "mIoU on val" in page
    assert "Background alone" in page


def test_without_a_test_split_the_page_says_what_chose_the_weights(finished):
    result, _ = finished
    assert result.test is None
    page = (result.folder / "report.html").read_text()
    assert "These images (val) have chosen the weights" in page
    assert "mIoU of the last score" in page
    last = [row["miou"] for row in result.history if "miou" in row][-1]
    assert result.told[-1].endswith(f"the best of 2 scores, the last one {last:.4f}")


def test_the_same_seed_gives_the_same_run(finished, dataset, tmp_path):
    first, _ = finished
    again = train(config(workers=1), dataset, tmp_path / "again")
    assert losses(again.folder) == losses(first.folder)
    for name in ("best.safetensors", "last.safetensors"):
        one, other = tensors(first.folder / name), tensors(again.folder / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    other = train(config(seed=1, steps=10), dataset, tmp_path / "other")
    assert losses(other.folder)[0] != losses(first.folder)[0]


def test_the_resolved_settings_give_the_same_run(dataset, tmp_path, monkeypatch):
    """A budget's trials, or timing both precisions, leave no trace in the weights."""
    monkeypatch.setattr(rehearsal, "steps_within", lambda *_: 6)
    timing = preflight.Timing(precision="fp32", step=0.1, gain=1.0, low=1.0, high=1.0)

    def both(step: Callable[[str], None], precisions: tuple[str, ...], **_: Any) -> Any:
        assert precisions == ("fp32", "bf16")
        for precision in (*precisions, "fp32"):
            step(precision)
        return timing

    # SegFormer's drop path draws from torch's generator in every step
    small = {"architecture": "segformer-b0", "size": (64, 64), "options": {
        "widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "heads": (1, 1, 1, 1), "decoder_width": 8,
    }}  # fmt: skip
    monkeypatch.setattr(rehearsal, "time_steps", both)
    first = train(
        quick(steps=None, budget=60.0, precision="auto", **small), dataset, tmp_path / "budget"
    )
    assert first.config.steps == 6
    assert (first.config.budget, first.config.precision) == (None, "fp32")
    monkeypatch.setattr(rehearsal, "time_steps", lambda step, precision, **_: timing)
    again = train(first.config, dataset, tmp_path / "resolved")
    one, other = (tensors(run.folder / "last.safetensors") for run in (first, again))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_budget_becomes_steps_once(dataset, tmp_path):
    result = train(quick(steps=None, budget=2.0), dataset, tmp_path / "run")
    assert result.config.budget is None
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["steps"] == result.config.steps == int(rows(result.folder)[-1]["step"])
    assert result.config.steps > 1


def test_epochs_become_steps(dataset, tmp_path):
    listener = Listener()
    result = train(quick(steps=None, epochs=4.0), dataset, tmp_path / "run", progress=listener)
    assert result.config.steps == 6  # 4 x 6 images in batches of 4
    told = " ".join(listener.notes)
    for fact in ("M parameters", "6 training and 2 validation images", "GiB of memory",
                 "s an epoch", "6 steps = 4.0 epochs"):  # fmt: skip
        assert fact in told


def test_accumulated_gradients_are_those_of_the_whole_batch(dataset):
    from maskwright.architectures import build
    from maskwright.data import Cache, Draws, batches

    torch.manual_seed(0)
    network = build("unet", 3, width=2, levels=1).eval()  # batch statistics would differ
    cache = Cache(dataset.splits["train"], 3, 10**9)
    draws = Draws(cache, range(4), (32, 32), NONE, 0)
    step, precision = TrainingStep(network), Precision("fp32", torch.device("cpu"))
    backward(step, next(batches(draws, 4, workers=0)), precision)
    whole = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    for half in batches(draws, 2, workers=0):
        backward(step, half, precision, scale=0.5)
    for parameter, gradient in zip(network.parameters(), whole):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_accumulation_updates_after_so_many_steps_and_at_the_end(dataset, tmp_path, monkeypatch):
    updates: list[int] = []
    listener = Listener()

    class Counting(loop.AveragedWeights):
        def update(self, network: torch.nn.Module) -> None:
            updates.append(len(listener.steps) + 1)
            super().update(network)

    monkeypatch.setattr(loop, "AveragedWeights", Counting)
    train(quick(steps=7, accumulate=3), dataset, tmp_path / "run", progress=listener)
    assert updates == [3, 6, 7]


# --- initial weights ------------------------------------------------------------------------------


def test_a_head_for_other_classes_is_swapped_and_said(finished, dataset, tmp_path):
    first, _ = finished
    old = tensors(first.folder / "best.safetensors")
    two = formats.read(dataset.root, ignore=["ball"])
    listener = Listener()
    result = train(config(steps=1), two, tmp_path / "run", weights=old, progress=listener)
    assert "the head was swapped for the new classes" in listener.notes[0]
    assert "head.weight [3, 8, 1, 1] -> [2, 8, 1, 1]" in listener.notes[0]
    new = tensors(result.folder / "last.safetensors")
    assert new["head.bias"].shape == (2,)
    name = "stem.0.conv.weight"
    torch.testing.assert_close(new[name], old[name], rtol=0, atol=0.05)


def test_weights_start_where_the_others_ended(finished, dataset, tmp_path):
    first, _ = finished
    listener = Listener()
    old = tensors(first.folder / "best.safetensors")
    train(config(steps=1, lr=1e-6), dataset, tmp_path / "run", weights=old, progress=listener)
    assert "swapped" not in listener.notes[0]
    assert listener.scores[0] == pytest.approx(first.scores.maps.areas.miou, abs=0.01)


# --- what may go wrong ----------------------------------------------------------------------------


def test_an_existing_run_is_refused_unless_it_may_be_replaced(dataset, tmp_path):
    folder = tmp_path / "run"
    train(quick(steps=2), dataset, folder)
    (folder / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=r"holds a run already.*--overwrite"):
        train(quick(steps=2), dataset, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before

    def stop(step: int) -> None:
        raise KeyboardInterrupt

    # nothing of the old run may pass for the new one's, even if that ends before its first score
    train(quick(steps=20, seed=1), dataset, folder, overwrite=True, progress=Listener(stop))
    assert not (folder / "best.safetensors").exists()
    assert not (folder / "metrics.csv").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert len(list((folder / "tensorboard").iterdir())) == 1


def test_weights_alone_are_a_run_that_is_not_replaced(dataset, tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"precious")
    with pytest.raises(ConfigError, match="holds a run already"):
        train(quick(), dataset, tmp_path)
    assert (tmp_path / "best.safetensors").read_bytes() == b"precious"


def test_a_file_in_the_folders_place_is_told(dataset, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match=r"expected a folder at .*run, but a file lies there"):
        train(quick(), dataset, tmp_path / "run")


@pytest.mark.parametrize("at", [1, 7, 15])
def test_an_interrupted_run_leaves_its_newest_weights(dataset, tmp_path, at):
    def stop(step: int) -> None:
        if step == at:
            raise KeyboardInterrupt

    listener = Listener(stop)
    result = train(quick(steps=20), dataset, tmp_path / "run", progress=listener)
    assert result.interrupted
    assert (result.scores is not None) == (at > 10)
    assert (tmp_path / "run" / "best.safetensors").exists() == (at > 10)
    network, card = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert card.training["step"] == at
    assert network.deploy(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))["class_map"].shape[1:] == (
        32, 32,
    )  # fmt: skip
    assert "interrupted; the newest weights are in" in listener.notes[-1]
    assert listener.closed == 1


def test_a_disk_that_fills_while_saving_is_told_and_what_stood_there_stays(
    dataset, tmp_path, monkeypatch
):
    write = Path.write_bytes
    saved: list[bytes] = []

    def write_until_full(path: Path, data: bytes) -> int:
        if ".last.safetensors" in path.name:
            if saved:
                write(path, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            saved.append(data)
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    listener = Listener()
    with pytest.raises(MaskwrightError, match=r"last\.safetensors: No space left on device"):
        train(quick(steps=20), dataset, tmp_path / "run", progress=listener)
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == saved[0]
    load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert not [path for path in (tmp_path / "run").iterdir() if path.suffix == ".part"]
    assert listener.closed == 1


@pytest.mark.parametrize(("at", "kept"), [(3, "no weights had been scored"), (15, "are in ")])
def test_a_loss_that_is_no_number_ends_the_run(dataset, tmp_path, monkeypatch, at, kept):
    calls = [0]

    def break_down(*args: object) -> torch.Tensor:
        calls[0] += 1
        return torch.tensor(float("nan")) if calls[0] == at else backward(*args)

    monkeypatch.setattr(loop, "backward", break_down)
    with pytest.raises(MaskwrightError, match=f"became nan at step {at}; .*{kept}") as error:
        train(quick(steps=20), dataset, tmp_path / "run")
    assert "lr (now 0.01)" in str(error.value)
    assert (tmp_path / "run" / "last.safetensors").exists() == (at > 10)


def test_a_run_stops_early_without_a_better_score(dataset, tmp_path, monkeypatch):
    listener = Listener()
    script_headlines(monkeypatch, [0.5, 0.6, 0.6, 0.4])
    settings = quick(steps=20, evaluate_every=10, patience=2)
    result = train(settings, dataset, tmp_path / "run", progress=listener)
    assert listener.scores == [0.5, 0.6, 0.6, 0.4]
    assert listener.steps[-1] == 8
    assert listener.notes[-1] == "stopped early: no better score 2 times."
    assert result.scores.headline().value == 0.6
    assert load_checkpoint(tmp_path / "run" / "best.safetensors")[1].training["step"] == 4


def test_what_does_not_fit_is_refused_before_it_is_tried(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "free_memory", lambda device: 1 << 30)
    with pytest.raises(ConfigError, match=r"GiB are free: batch 1000000 at 64x64 is too much"):
        train(config(batch=1_000_000), dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sets_without_semantic_truth_are_told(dataset, tmp_path):
    lacking = tuple(replace(one, tasks=frozenset({"boxes"})) for one in dataset.splits["train"])
    none = replace(dataset, splits={"train": lacking, "val": dataset.splits["val"]})
    with pytest.raises(DataError, match=r"none of the 6 .* train .* has class map.*have boxes"):
        train(quick(), none, tmp_path / "run")
    listener = Listener()
    some = replace(dataset, splits={"train": lacking[:4] + dataset.splits["train"][4:]})
    train(quick(steps=2), some, tmp_path / "run", progress=listener)
    assert "train: 4 of 6 images have no class map and are left out." in listener.notes
    assert "there is no split val: weights are scored and chosen on train." in listener.notes


def test_settings_of_networks_and_losses_that_are_unknown_are_told(dataset, tmp_path):
    for wrong in ({"architecture": "unett"}, {"options": {"widht": 8}}, {"loss": "focal"}):
        with pytest.raises(ConfigError):
            train(quick(**wrong), dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()
