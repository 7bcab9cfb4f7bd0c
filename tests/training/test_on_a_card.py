"""What only a CUDA card can show; skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from shapes import Listener, make_dataset, quick

from maskwright.training import checkpoint_predictor, resume, train
from maskwright.training.device import free_memory

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("card") / "set")


def losses(result) -> list[float]:
    return [row["loss"] for row in result.history if "loss" in row]


def stop_at(step: int) -> Listener:
    def stop(now: int) -> None:
        if now == step:
            raise EOFError

    return Listener(stop)


def test_a_run_is_the_same_on_both(dataset, tmp_path):
    runs = {
        device: train(quick(steps=20, device=device), dataset, tmp_path / device)
        for device in ("cpu", "cuda")
    }
    assert losses(runs["cuda"]) == pytest.approx(losses(runs["cpu"]), abs=1e-3)
    sample = dataset.splits["val"][0]
    maps = [
        checkpoint_predictor(tmp_path / device / "best.safetensors")
        .predict(sample.read_image())
        .semantic
        for device in runs
    ]
    assert (maps[0] == maps[1]).mean() > 0.99


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_elsewhere(dataset, tmp_path, first, then):
    whole = train(quick(steps=20, device="cpu"), dataset, tmp_path / "whole")
    with pytest.raises(EOFError):
        train(quick(steps=20, device=first), dataset, tmp_path / "run", progress=stop_at(12))
    result = resume(dataset, tmp_path / "run", device=then)
    assert result.config.device == then
    assert losses(result) == pytest.approx(losses(whole), abs=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "auto"])
def test_every_precision_trains(dataset, tmp_path, precision):
    listener = Listener()
    result = train(
        quick(steps=30, device="cuda", precision=precision),
        dataset,
        tmp_path / "run",
        progress=listener,
    )
    assert losses(result)[-1] < losses(result)[0]
    assert any(torch.cuda.get_device_name(0) in note for note in listener.notes)


def test_compiled_steps_train_alike(dataset, tmp_path):
    compiled = train(quick(steps=4, device="cuda", compile=True), dataset, tmp_path / "compiled")
    plain = train(quick(steps=4, device="cuda"), dataset, tmp_path / "plain")
    assert losses(compiled) == pytest.approx(losses(plain), abs=1e-3)


def test_free_memory_is_the_cards():
    card = torch.device("cuda", 0)
    before = free_memory(card)
    held = torch.zeros(1 << 28, device=card)  # 1 GiB
    assert before - free_memory(card) == pytest.approx(held.nbytes, rel=0.1)
