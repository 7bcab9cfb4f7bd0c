"""Before the first step: refuse what won't fit, time it, decide length and precision."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from maskwright.architectures.contract import Network
from maskwright.data.augment import NONE
from maskwright.data.loader import Batch, batches
from maskwright.training.config import TrainConfig
from maskwright.training.optimiser import build_optimiser
from maskwright.training.preflight import (
    MemoryEstimate,
    estimate_memory,
    refuse_what_does_not_fit,
    steps_within,
    time_steps,
)
from maskwright.training.scoring import score
from maskwright.training.setup import Setup
from maskwright.training.steps import backward

TRIAL_SHARE = 0.1
"""Of a budget may go into timing steps, but for the first ones."""


def rehearse(setup: Setup, started: float, note: Callable[[str], None]) -> TrainConfig:
    """Resolve `steps` and `precision` by trials that leave no trace in the network.

    Many processes try together, as they will train; what the first one measured decides for all.

    Args:
        setup: network and data.
        started: `time.perf_counter()` when the run began: a budget pays for that, too.
        note: told memory, speed and length.

    Raises:
        ConfigError: the settings need more memory than is free.
    """
    config = setup.config
    # on a copy: batch statistics change with each forward pass, and trials leave no trace
    network = copy.deepcopy(setup.network).train()
    estimate = setup.processes.agree(lambda: check_memory(setup, network))
    timing = time_steps(
        _trial_step(setup, network),
        config.precision,
        clock=processor_clock if config.budget_of == "steps" else time.perf_counter,
        limit=TRIAL_SHARE * (config.budget or math.inf),
    )
    an_epoch = len(setup.cache) / config.batch
    evaluation = _time_evaluation(setup)
    steps = _count_steps(config, started, timing.step, evaluation, an_epoch)
    steps, timing = setup.processes.same((steps, timing))
    bf16: Literal["bf16", "fp32"] = "bf16" if timing.bf16 else "fp32"
    gain = "" if timing.gain is None else f" (bf16 is {timing.gain:.2f} times as fast as fp32)"
    parameters = sum(parameter.numel() for parameter in setup.network.parameters())
    note(
        f"{config.architecture}: {parameters / 1e6:.2f} M parameters; {len(setup.cache)} "
        f"training and {len(setup.validation)} validation images; about "
        f"{estimate.total / 2**30:.1f} GiB of memory."
    )
    note(
        f"{timing.step:.2f} s a step in {bf16}{gain}, {timing.step * an_epoch:.0f} s an epoch; "
        f"{steps} steps = {steps / an_epoch:.1f} epochs = "
        f"{(steps * timing.step + config.evaluate_every * evaluation) / 60:.1f} min."
    )
    return replace(config, budget=None, epochs=None, steps=steps, precision=bf16)


def processor_clock() -> float:
    """Seconds that the processor has worked for this process, for each of torch's threads.

    Waiting for other work doesn't count; sharing caches and memory with it still slows each step.
    """
    return time.process_time() / torch.get_num_threads()


def check_memory(setup: Setup, network: Network) -> MemoryEstimate:
    """Refuse a run that won't fit.

    Args:
        setup: with the data.
        network: a copy, in training mode; its batch statistics change.

    Raises:
        ConfigError: the settings need more memory than is free.
    """
    config, processes = setup.config, setup.processes
    batch = _trial_batch(setup, min(2, config.batch if config.sync_batch_stats else setup.share))
    one = estimate_memory(network, batch, config, setup.cache.nbytes)
    machine = MemoryEstimate(
        weights=one.weights * processes.local,
        activations=one.activations * processes.local // processes.count,
        cache=one.cache * processes.local,
    )
    refuse_what_does_not_fit(machine, config)
    return machine


def _trial_batch(setup: Setup, images: int) -> Batch:
    """A batch as in the run, but unchanged by augmentation."""
    return next(batches(setup.draws(images, NONE), images, workers=0))


def _trial_step(setup: Setup, network: Network) -> Callable[[bool], None]:
    batch = _trial_batch(setup, setup.share)
    forward = setup.processes.wrap(network, setup.config.sync_batch_stats)
    optimiser = build_optimiser(network, setup.config)

    def step(bf16: bool) -> None:
        backward(network, batch, bf16, 1.0, forward)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def _time_evaluation(setup: Setup) -> float:
    few = setup.validation[: 3 * setup.processes.count]
    score(setup, setup.network, few[:1])
    start = time.perf_counter()
    score(setup, setup.network, few)
    return (time.perf_counter() - start) / len(few) * len(setup.validation)


def _count_steps(
    config: TrainConfig, started: float, step: float, evaluation: float, an_epoch: float
) -> int:
    if config.budget is not None and config.budget_of == "steps":
        return max(1, round(config.budget / step))
    if config.budget is not None:
        spent = time.perf_counter() - started
        return steps_within(config.budget, spent, step, evaluation, config.evaluate_every)
    if config.epochs is not None:
        return max(1, round(config.epochs * an_epoch))
    return int(config.steps or 1)
