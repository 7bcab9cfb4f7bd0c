"""What a run will need, and the precision it runs in."""

from __future__ import annotations

import gc
import math
import time
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures import build
from maskwright.core.errors import ConfigError
from maskwright.data import Batch
from maskwright.losses import Targets
from maskwright.training import TrainConfig, preflight
from maskwright.training.preflight import (
    MemoryEstimate,
    Timing,
    estimate_memory,
    refuse_what_does_not_fit,
    steps_within,
    time_steps,
)
from maskwright.training.rehearsal import _count_steps, processor_clock
from maskwright.training.speed import mixed_precision


def batch(images: int = 2, size: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, size, size), generator=generator, dtype=torch.uint8)
    ids = torch.randint(0, 2, (images, size, size), generator=generator)
    return Batch(images_B3HW=pixels, targets=Targets(class_map_BHW=ids))


def config(**changes) -> TrainConfig:
    return TrainConfig(**({"architecture": "unet", "steps": 10, "size": (32, 32)} | changes))


def test_memory_of_one_convolution_by_hand():
    class One(nn.Conv2d):
        """1x1 convolution: what its backward pass keeps is its input (and its weights)."""

        def normalise(self, images_B3HW: Tensor) -> Tensor:
            return images_B3HW.float()

        def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
            return {"logits": super().forward(images_B3HW)}

    network = One(3, 5, 1)
    for optimiser, ema, copies in [("adamw", 0.9, 5), ("adamw", 0.0, 4), ("sgd", 0.9, 4)]:
        found = estimate_memory(network, batch(), config(batch=6, optimiser=optimiser, ema=ema), 77)
        assert found.weights == 4 * (3 * 5 + 5) * copies
        kept, loss = 4 * 3 * 32 * 32, 3 * 4 * 5 * 32 * 32
        assert found.activations == 6 * (1.5 * kept + loss)
        assert found.total == found.weights + found.activations + 77


def test_an_estimate_keeps_nothing():
    network = build("unet", 2, width=4, levels=2)
    outputs = []

    def remember(module, inputs, output):
        outputs.append(weakref.ref(output))

    for module in network.modules():
        if isinstance(module, nn.ReLU):  # saves its output, whose node holds it
            module.register_forward_hook(remember)
    estimate_memory(network, batch(), config(batch=2), 0)
    gc.collect()
    assert outputs
    assert not any(output() is not None for output in outputs)


def test_auxiliary_heads_cost_memory_in_the_loss():
    network = build("unet", 2, width=4, levels=2)
    plain = estimate_memory(network, batch(), config(batch=2), 0)
    forward = network.forward
    network.forward = lambda images: (found := forward(images)) | {"auxiliary": found["logits"]}
    more = estimate_memory(network, batch(), config(batch=2), 0)
    assert more.activations - plain.activations == 2 * 3 * 4 * 2 * 32 * 32


def test_memory_grows_with_the_batch_alone():
    network = build("unet", 2, width=4, levels=2)
    two, ten = (estimate_memory(network, batch(), config(batch=size), 0) for size in (2, 10))
    assert ten.activations == pytest.approx(5 * two.activations, abs=5)
    assert ten.weights == two.weights
    larger = estimate_memory(network, batch(size=64), config(batch=2), 0)
    assert larger.activations == pytest.approx(4 * two.activations, rel=0.02)


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(monkeypatch):
    estimate = MemoryEstimate(weights=1 << 30, activations=100 << 30, cache=5 << 30)
    monkeypatch.setattr(preflight, "available_memory", lambda: 11 << 30)
    with pytest.raises(ConfigError) as error:
        refuse_what_does_not_fit(estimate, config(batch=1000))
    for told in ("101.0 GiB", "11.0 GiB are free", "batch 1000 at 32x32", "Use batch 100 or less",
                 "accumulate=10 "):  # fmt: skip
        assert told in str(error.value)
    refuse_what_does_not_fit(MemoryEstimate(weights=1, activations=1, cache=1 << 50), config())
    monkeypatch.setattr(preflight, "available_memory", lambda: 1 << 20)
    with pytest.raises(ConfigError, match="Use a smaller size or architecture") as error:
        refuse_what_does_not_fit(estimate, config(batch=4))
    assert "accumulate" not in str(error.value)


def test_a_batch_of_one_that_batch_norm_can_not_take_is_told():
    network = build("bisenetv1", 2, context_widths=(4, 4, 4, 4), context_depths=(1, 1, 1, 1),
                    spatial_width=4, path_width=4, fusion_width=4, head_width=4)  # fmt: skip
    with pytest.raises(ConfigError, match=r"batch 1 is too small.* at 32x32"):
        estimate_memory(network, batch(1), config(batch=1), 0)


def test_steps_within_a_budget():
    # 1000 s less 3 %, less 70 spent, less 10 scores of 20 s: 700 s of 0.5 s each
    assert steps_within(1000, 70, 0.5, 20, 10) == 1400
    assert steps_within(10, 70, 0.5, 20, 10) == 1


def test_steps_are_timed_in_turns_and_the_faster_kind_is_taken():
    calls: list[bool] = []
    clock = [0.0]
    seconds = {False: 3.0, True: 2.0}

    def step(bf16: bool) -> None:
        calls.append(bf16)
        clock[0] += seconds[bf16] * (10 if len(calls) <= 2 else 1)  # the first ones are slow

    def timed(precision: str, steps: int, limit: float = math.inf) -> Timing:
        return time_steps(step, precision, steps, clock=lambda: clock[0], limit=limit)

    found = timed("auto", steps=6)
    assert calls == [False, True] * 4
    assert found.bf16
    assert (found.step, found.gain) == (2.0, 1.5)
    seconds[True] = 2.9  # less than 5 % is noise
    found = timed("auto", steps=6)
    assert not found.bf16
    assert found.step == 3.0
    calls.clear()
    assert timed("bf16", steps=3).bf16
    assert calls == [True] * 4
    assert timed("fp32", steps=3).gain is None
    calls.clear()
    timed("auto", steps=20, limit=0.0)  # one of each is timed whatever it takes
    assert calls == [False, True] * 2
    calls.clear()
    timed("fp32", steps=20, limit=70.0)  # the first two take 30 each, then 3
    assert calls == [False] * 6


def test_a_budget_of_steps_pays_for_nothing_else():
    settings = config(steps=None, budget=100.0, budget_of="steps", evaluate_every=10)
    assert _count_steps(settings, started=-1e9, step=0.5, evaluation=1e9, an_epoch=3.0) == 200
    assert _count_steps(settings, started=0.0, step=1e9, evaluation=0.0, an_epoch=3.0) == 1
    with pytest.raises(ConfigError, match="expected budget_of to be one of run, steps"):
        config(budget_of="scores")


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
    with mixed_precision(True):
        mixed = block(images)
    low, full = torch.bfloat16, torch.float32
    assert block.seen == {"plain": low, "depthwise": full, "multiplied": full, "grouped": low}
    assert ((mixed - exact).norm() / exact.norm()).item() < 0.02
    with mixed_precision(False):
        assert torch.equal(block(images), exact)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("bias", [None, torch.randn(4)])
def test_every_way_to_call_a_depthwise_convolution(bias):
    images, weight = torch.randn(1, 4, 8, 8).bfloat16(), torch.randn(4, 1, 3, 3)
    expected = F.conv2d(images.float(), weight, bias, padding=1, groups=4)
    with mixed_precision(True):
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
    for bf16 in (False, True):
        network.zero_grad()
        with mixed_precision(bf16):
            outputs = network(network.normalise(data.images_B3HW))
        loss = network.losses(outputs, data.targets)["total"]
        loss.backward()
        parts = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        gradients.append((loss.item(), torch.cat(parts)))
    (exact, one), (rounded, other) = gradients
    assert rounded == pytest.approx(exact, rel=0.02)
    assert one.dtype == other.dtype == torch.float32
    assert F.cosine_similarity(one, other, dim=0).item() > 0.98
