"""What a run will need, and the precision it runs in."""

from __future__ import annotations

import gc
import itertools
import math
import time
import weakref
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from torch import Tensor, nn

from maskwright.architectures import build
from maskwright.core.errors import ConfigError
from maskwright.data import Batch
from maskwright.losses import Targets, cross_entropy
from maskwright.training import TrainConfig, TrainingStep, preflight
from maskwright.training.precision import Precision
from maskwright.training.preflight import (
    MemoryEstimate,
    Timing,
    estimate_memory,
    median_interval,
    refuse_what_does_not_fit,
    steps_within,
    time_steps,
)
from maskwright.training.rehearsal import _plan, _timed_steps, processor_clock
from maskwright.training.steps import backward

CPU = torch.device("cpu")
BF16, FP32 = Precision("bf16", CPU), Precision("fp32", CPU)


def batch(images: int = 2, size: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, size, size), generator=generator, dtype=torch.uint8)
    ids = torch.randint(0, 2, (images, size, size), generator=generator)
    return Batch(images_B3HW=pixels, targets=Targets(class_map_BHW=ids))


def config(**changes) -> TrainConfig:
    return TrainConfig(**({"architecture": "unet", "steps": 10, "size": (32, 32)} | changes))


class One(nn.Conv2d):
    """1x1 convolution to 5 classes with heads; its backward pass keeps its input (and weights)."""

    heads = ("logits",)

    def normalise(self, images_B3HW: Tensor) -> Tensor:
        return images_B3HW.float()

    def training_outputs(self, images_B3HW: Tensor, targets: Targets) -> dict[str, Tensor]:
        return {"logits": self(images_B3HW)}

    def losses(self, outputs: dict[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        return {"total": sum(cross_entropy(outputs["logits"], targets) for _ in self.heads)}


def test_memory_of_one_convolution_by_hand():
    network = One(3, 5, 1)
    for optimiser, ema, copies in [("adamw", 0.9, 5), ("adamw", 0.0, 4), ("sgd", 0.9, 4)]:
        settings = config(batch=6, optimiser=optimiser, ema=ema)
        found = estimate_memory(TrainingStep(network), batch(), settings, 77)
        assert found.weights == 4 * (3 * 5 + 5) * copies
        # the loss keeps its log-probabilities and the truth
        kept, loss = 4 * 3 * 32 * 32, 3 * (4 * 5 + 8) * 32 * 32
        assert found.activations == pytest.approx(6 * (1.5 * kept + loss), rel=1e-3)
        assert found.total == found.weights + found.activations + 77


def test_an_estimate_keeps_nothing():
    network = build("unet", 2, width=4, levels=2)
    outputs = []

    def remember(module, inputs, output):
        outputs.append(weakref.ref(output))

    for module in network.modules():
        if isinstance(module, nn.ReLU):  # saves its output, whose node holds it
            module.register_forward_hook(remember)
    estimate_memory(TrainingStep(network), batch(), config(batch=2), 0)
    gc.collect()
    assert outputs
    assert not any(output() is not None for output in outputs)


def test_auxiliary_heads_cost_memory_in_the_loss():
    network = One(3, 5, 1)
    plain = estimate_memory(TrainingStep(network), batch(), config(batch=2), 0)
    network.heads = ("logits", "auxiliary")
    more = estimate_memory(TrainingStep(network), batch(), config(batch=2), 0)
    maps = 2 * 3 * 4 * 5 * 32 * 32  # log-probabilities once more; the truth is the same
    assert more.activations - plain.activations == pytest.approx(maps, rel=1e-3)


def test_memory_grows_with_the_batch_alone():
    network = build("unet", 2, width=4, levels=2)
    step = TrainingStep(network)
    two, ten = (estimate_memory(step, batch(), config(batch=size), 0) for size in (2, 10))
    assert ten.activations == pytest.approx(5 * two.activations, abs=5)
    assert ten.weights == two.weights
    larger = estimate_memory(step, batch(size=64), config(batch=2), 0)
    assert larger.activations == pytest.approx(4 * two.activations, rel=0.02)


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(monkeypatch):
    estimate = MemoryEstimate(weights=1 << 30, activations=100 << 30, cache=5 << 30)
    monkeypatch.setattr(preflight, "free_memory", lambda device: 11 << 30)
    with pytest.raises(ConfigError) as error:
        refuse_what_does_not_fit(estimate, config(batch=1000), CPU)
    for told in ("101.0 GiB", "11.0 GiB are free", "batch 1000 at 32x32", "Use batch 100 or less",
                 "accumulate=10 "):  # fmt: skip
        assert told in str(error.value)
    refuse_what_does_not_fit(MemoryEstimate(weights=1, activations=1, cache=1 << 50), config(), CPU)
    monkeypatch.setattr(preflight, "free_memory", lambda device: 1 << 20)
    with pytest.raises(ConfigError, match="Use a smaller size or architecture") as error:
        refuse_what_does_not_fit(estimate, config(batch=4), CPU)
    assert "accumulate" not in str(error.value)


def test_a_batch_of_one_that_batch_norm_can_not_take_is_told():
    network = build("bisenetv1", 2, context_widths=(4, 4, 4, 4), context_depths=(1, 1, 1, 1),
                    spatial_width=4, path_width=4, fusion_width=4, head_width=4)  # fmt: skip
    with pytest.raises(ConfigError, match=r"batch 1 is too small.* at 32x32"):
        estimate_memory(TrainingStep(network), batch(1), config(batch=1), 0)


def test_steps_within_a_budget():
    # 1000 s less 3 %, less 70 spent, less 10 scores of 20 s: 700 s of 0.5 s each
    assert steps_within(1000, 70, 0.5, 20, 10) == 1400
    assert steps_within(10, 70, 0.5, 20, 10) == 1


class Clock:
    """Tells seconds; a step in a precision takes what `seconds` says, the next one first."""

    def __init__(self, **seconds: Iterable[float]) -> None:
        self.now, self.calls = 0.0, []
        self.seconds = {name: iter(each) for name, each in seconds.items()}

    def step(self, precision: str) -> None:
        self.calls.append(precision)
        self.now += next(self.seconds[precision])

    def time(self, *precisions: str, steps: int, limit: float = math.inf) -> Timing:
        return time_steps(self.step, precisions, steps, clock=lambda: self.now, limit=limit)


def around(*seconds: float) -> Iterator[float]:
    return itertools.cycle(seconds)


def test_steps_are_timed_in_turns_and_the_faster_precision_is_taken():
    clock = Clock(fp32=itertools.chain([30], around(3)), bf16=itertools.chain([20], around(2)))
    found = clock.time("fp32", "bf16", steps=6)  # the first of each is slow and doesn't count
    assert clock.calls == ["fp32", "bf16"] * 4
    assert found == Timing(precision="bf16", step=2.0, gain=1.5, low=1.5, high=1.5)
    assert found.sure
    alone = Clock(bf16=itertools.chain([20], around(2, 4)))
    assert alone.time("bf16", steps=4) == Timing(precision="bf16", step=3.0)
    assert alone.calls == ["bf16"] * 5


def test_less_than_five_per_cent_is_no_gain():
    clock = Clock(fp32=around(3), bf16=around(2.9))
    found = clock.time("fp32", "bf16", steps=6)
    assert (found.precision, found.step, found.sure) == ("fp32", 3.0, True)
    assert clock.calls == ["fp32", "bf16"] * 4


def test_a_busy_machine_is_timed_longer_and_trains_in_fp32_where_it_can_not_tell():
    clock = Clock(fp32=around(3, 3, 2, 4), bf16=around(2, 4, 3, 3))
    found = clock.time("fp32", "bf16", steps=20)
    assert clock.calls == ["fp32", "bf16"] * 31
    assert found.precision == "fp32"
    assert not found.sure
    assert found.low <= found.gain < found.high


def test_timing_ends_at_its_limit():
    clock = Clock(fp32=around(3), bf16=around(2))
    clock.time("fp32", "bf16", steps=20, limit=6.0)  # one turn is timed whatever it takes
    assert clock.calls == ["fp32", "bf16"] * 2
    slow = Clock(fp32=around(60), bf16=around(40))
    found = slow.time("fp32", "bf16", steps=20, limit=10.0)  # but for steps beyond all measure
    assert slow.calls == ["fp32"]
    assert found == Timing(precision="fp32", step=60.0)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 40))
def test_the_interval_of_a_median_is_that_of_the_binomial(seed, count):
    values = np.random.default_rng(seed).permutation(count).tolist()
    low, high = median_interval(values)
    assert low + high == count - 1
    outside = 2 * binom.cdf(low, count, 0.5)  # so often the median lies beyond
    if low:
        assert outside <= 0.05
        assert low + 1 >= count // 2 or 2 * binom.cdf(low + 1, count, 0.5) > 0.05


@pytest.mark.parametrize(
    ("length", "timed"),
    [({"budget": 60.0}, 20), ({"steps": 12}, 2), ({"steps": 90}, 9), ({"epochs": 500.0}, 20)],
)
def test_a_short_run_is_not_timed_for_longer_than_it_takes(length, timed):
    assert _timed_steps(config(**({"steps": None} | length)), an_epoch=3.0) == timed


def test_a_budget_of_steps_pays_for_nothing_else():
    settings = config(steps=None, budget=100.0, budget_of="steps", evaluate_every=10)
    notes: list[str] = []
    assert _plan(settings, -1e9, step=0.5, evaluation=1e9, an_epoch=3.0, note=notes.append) == (
        200, 10
    )  # fmt: skip
    assert _plan(settings, 0.0, step=1e9, evaluation=0.0, an_epoch=3.0, note=notes.append)[0] == 1
    assert not notes
    with pytest.raises(ConfigError, match="expected budget_of to be one of run, steps"):
        config(budget_of="scores")


def test_a_budget_that_can_not_be_held_is_told_before_it_is_overrun():
    settings = config(steps=None, budget=20.0, evaluate_every=10)
    notes: list[str] = []
    started = time.perf_counter() - 5.0
    steps, scorings = _plan(settings, started, 60.0, 2.0, 3.0, notes.append)
    assert (steps, scorings) == (1, 2)
    assert "scored 2 times, not 10: each takes 2 s" in notes[0]
    assert "the budget of 20 s can't be held" in notes[1]
    assert "a step takes 60 s" in notes[1]
    notes.clear()
    assert _plan(settings, started, 0.1, 0.01, 3.0, notes.append)[1] == 10
    assert not notes


def test_the_processors_time_stands_still_while_others_work():
    before = processor_clock()
    time.sleep(0.2)
    asleep = processor_clock() - before
    while processor_clock() - before < 10 * asleep + 0.05:
        pass
    assert asleep < 0.1


class Block(nn.Module):
    """Plain, depth-wise and grouped convolutions; it notes the type that each one gave."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.multiplied = nn.Conv2d(8, 16, 3, padding=1, groups=8, bias=False)
        self.grouped = nn.Conv2d(16, 8, 3, padding=1, groups=4)
        self.seen: dict[str, torch.dtype] = {}

    def forward(self, images: Tensor) -> Tensor:
        for name in ("plain", "depthwise", "multiplied", "grouped"):
            images = getattr(self, name)(images)
            self.seen[name] = images.dtype
        return images


def test_depthwise_convolutions_stay_in_float32():
    torch.manual_seed(0)
    block, images = Block(), torch.randn(1, 3, 16, 16)
    exact = block(images)
    with BF16.forward():
        mixed = block(images)
    low, full = torch.bfloat16, torch.float32
    assert block.seen == {"plain": low, "depthwise": full, "multiplied": full, "grouped": low}
    assert ((mixed - exact).norm() / exact.norm()).item() < 0.02
    with FP32.forward():
        assert torch.equal(block(images), exact)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("bias", [None, torch.randn(4)])
def test_every_way_to_call_a_depthwise_convolution(bias):
    images, weight = torch.randn(1, 4, 8, 8).bfloat16(), torch.randn(4, 1, 3, 3)
    expected = F.conv2d(images.float(), weight, bias, padding=1, groups=4)
    with BF16.forward():
        for found in (
            F.conv2d(images, weight, bias, 1, 1, 1, 4),
            F.conv2d(images, weight, bias, padding=1, groups=4),
            F.conv2d(images, weight, bias=bias, padding=1, groups=4),
        ):
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected)


def test_mixed_precision_trains_nearly_alike():
    network = build("unet-encoder", 2, encoder="test_efficientnet", decoder_channels=(16, 16))
    data = batch(4, 64)
    gradients = []
    for precision in (FP32, BF16):
        network.zero_grad()
        loss = backward(TrainingStep(network), data, precision)
        parts = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        gradients.append((loss.item(), torch.cat(parts)))
    (exact, one), (rounded, other) = gradients
    assert rounded == pytest.approx(exact, rel=0.02)
    assert one.dtype == other.dtype == torch.float32
    assert F.cosine_similarity(one, other, dim=0).item() > 0.98
