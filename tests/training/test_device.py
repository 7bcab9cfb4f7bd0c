"""Where a run trains, what it computes in, and whether the loader keeps up."""

from __future__ import annotations

import pytest
import torch
from shapes import Listener, make_dataset, quick

from maskwright.core.errors import ConfigError
from maskwright.training import feeding, resume, train
from maskwright.training.audience import Audience
from maskwright.training.device import find_device, free_memory
from maskwright.training.feeding import Feeding
from maskwright.training.precision import Precision, candidates

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("device") / "set")


def pretend_cards(monkeypatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_is_a_card_where_there_is_one_and_each_process_has_its_own(monkeypatch):
    pretend_cards(monkeypatch, 0)
    assert find_device("auto") == CPU
    pretend_cards(monkeypatch, 2)
    assert find_device("auto") == torch.device("cuda", 0)
    assert find_device("cuda", rank=1) == torch.device("cuda", 1)
    assert find_device("cuda:1", rank=0) == torch.device("cuda", 1)
    assert find_device("cpu", rank=1) == CPU
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device("auto") == torch.device("mps")


@pytest.mark.parametrize(
    ("wanted", "cards", "told"),
    [
        ("gpu", 0, "auto, cpu, cuda, cuda:N or mps, got 'gpu'"),
        ("cuda:x", 1, "got 'cuda:x'"),
        ("cuda", 0, "got cuda:0, but there are 0 cards"),
        ("cuda:1", 1, "got cuda:1, but there is 1 card"),
        ("mps", 0, "needs a Mac"),
    ],
)
def test_a_device_that_is_not_here_is_told(monkeypatch, wanted, cards, told):
    pretend_cards(monkeypatch, cards)
    with pytest.raises(ConfigError, match=told):
        find_device(wanted)


def test_a_device_is_refused_before_anything_is_read(dataset, tmp_path, monkeypatch):
    pretend_cards(monkeypatch, 0)
    with pytest.raises(ConfigError, match="cuda:3"):
        train(quick(device="cuda:3"), dataset, tmp_path / "run")
    with pytest.raises(ConfigError, match="fp32 or bf16 on a CPU, got fp16"):
        train(quick(precision="fp16"), dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_tells_its_device_and_goes_on_with_another(dataset, tmp_path):
    def stop(step: int) -> None:
        if step == 12:
            raise EOFError

    with pytest.raises(EOFError):
        train(quick(steps=20, device="cpu"), dataset, tmp_path / "run", progress=Listener(stop))
    result = resume(dataset, tmp_path / "run", device="auto")
    assert result.config.device == "auto"
    assert result.history[-1]["step"] == 20


def test_processors_try_bf16_and_old_cards_fp16(monkeypatch):
    assert candidates(CPU) == ("fp32", "bf16")
    card = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert candidates(card) == ("fp32", "bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert candidates(card) == ("fp32", "fp16")
    assert free_memory(CPU) > 1 << 20


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_an_update_clips_and_clears(clip):
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    precision = Precision("fp32", CPU)
    precision.backward((weight**2).sum() / 2)  # a gradient of norm 5
    precision.update(optimiser, [weight], clip)
    expected = torch.tensor([0.0, 0.0]) if not clip else torch.tensor([2.7, 3.6])
    torch.testing.assert_close(weight.detach(), expected)
    assert weight.grad is None
    assert precision.state() == {}


def test_a_loader_that_starves_the_network_is_told(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(feeding.time, "perf_counter", lambda: clock[0])
    watch = Feeding()

    def run(steps: int, wait: float, work: float) -> None:
        for _ in range(steps):
            with watch.waiting():
                clock[0] += wait
            clock[0] += work

    run(feeding.FIRST_STEPS, 100.0, 1.0)  # starting takes long
    assert watch.told(1) == ""
    run(50, 0.1, 0.9)
    assert watch.share() == pytest.approx(0.1, rel=0.2)
    assert watch.told(1) == ""
    run(100, 0.9, 0.1)
    told = watch.told(1)
    assert "1 loader process can't keep up" in told
    assert "workers=2" in told
    assert "waits for images 63 %" in told or "63%" in told
    assert watch.seconds_a_step() == pytest.approx(1.0, rel=0.02)


def test_notes_are_told_once():
    listener = Listener()
    audience = Audience([listener])
    for text in ("", "first", "second"):
        audience.note_once(text, key="a")
    audience.note_once("third", key="b")
    assert listener.notes == ["first", "third"]
