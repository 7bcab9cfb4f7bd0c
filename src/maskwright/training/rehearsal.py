"""Before the first step: refuse what won't fit, time it, decide length and precision."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from maskwright.core.errors import ConfigError
from maskwright.data.augment import NONE
from maskwright.data.loader import Batch, batches
from maskwright.training.config import TrainConfig
from maskwright.training.device import name_of, wait_for
from maskwright.training.optimiser import build_optimiser
from maskwright.training.precision import Precision, PrecisionName, candidates
from maskwright.training.preflight import (
    TIMED_STEPS,
    MemoryEstimate,
    Timing,
    estimate_memory,
    refuse_what_does_not_fit,
    scorings_within,
    steps_within,
    time_steps,
)
from maskwright.training.scoring import score
from maskwright.training.setup import Setup
from maskwright.training.steps import TrainingStep, backward

DETAILED = 1.5
"""How many times as long a scoring with boundaries and thin parts takes, and the page after it."""

TRIAL_SHARE = 0.1
"""Of a budget, or of a run's steps, may go into timing them, but for the first ones."""


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
    step = TrainingStep(copy.deepcopy(setup.network).train())
    estimate = setup.processes.agree(lambda: check_memory(setup, step))
    wanted = config.precision
    timing = time_steps(
        trial_step(setup, config.batch, step),
        candidates(setup.device) if wanted == "auto" else (wanted,),
        steps=_timed_steps(config, len(setup.cache) / config.batch),
        clock=processor_clock if config.budget_of == "steps" else time.perf_counter,
        limit=TRIAL_SHARE * (config.budget or math.inf),
        same=setup.processes.same,
    )
    an_epoch = len(setup.cache) / config.batch
    evaluation = _time_evaluation(setup)
    ready = started - _ending(setup, evaluation)  # as if that time had gone by already
    steps, scorings = _plan(config, ready, timing.step, evaluation, an_epoch, note)
    steps, scorings, timing = setup.processes.same((steps, scorings, timing))
    parameters = sum(parameter.numel() for parameter in setup.network.parameters())
    where = "" if setup.device.type == "cpu" else f" on {name_of(setup.device)}"
    note(
        f"{config.architecture}: {parameters / 1e6:.2f} M parameters; {len(setup.cache)} "
        f"training and {len(setup.validation)} validation images; about "
        f"{estimate.total / 2**30:.1f} GiB of memory{where}."
    )
    note(
        f"{timing.step:.2g} s a step in {timing.precision}{_gain(timing)}, "
        f"{timing.step * an_epoch:.0f} s an epoch; {steps} steps = {steps / an_epoch:.1f} epochs = "
        f"{(steps * timing.step + scorings * evaluation) / 60:.1f} min."
    )
    return replace(
        config, budget=None, epochs=None, steps=steps, precision=timing.precision,
        evaluate_every=scorings,
    )  # fmt: skip


def _timed_steps(config: TrainConfig, an_epoch: float) -> int:
    """How many steps are timed: of a run whose steps are told, no more than it is worth."""
    if config.budget is not None:
        return TIMED_STEPS
    steps = config.steps or round((config.epochs or 0) * an_epoch)
    return min(TIMED_STEPS, max(2, round(TRIAL_SHARE * steps)))


def _gain(timing: Timing) -> str:
    if timing.gain is None:
        return ""
    told = f" (half precision takes 1/{timing.gain:.2f} of fp32's time"
    if not timing.sure:
        told += (
            f", 95 % interval {timing.low:.2f} to {timing.high:.2f}: the machine is too busy to "
            "tell them apart"
        )
    return told + ")"


def processor_clock() -> float:
    """Seconds that the processor has worked for this process, for each of torch's threads.

    Waiting for other work doesn't count; sharing caches and memory with it still slows each step.
    """
    return time.process_time() / torch.get_num_threads()


def check_memory(setup: Setup, step: TrainingStep) -> MemoryEstimate:
    """Refuse a run that won't fit.

    Args:
        setup: with the data.
        step: of a copy, in training mode; its batch statistics change.

    Raises:
        ConfigError: the settings need more memory than is free.
    """
    config, processes = setup.config, setup.processes
    batch = _trial_batch(setup, min(2, config.batch if config.sync_batch_stats else setup.share))
    one = estimate_memory(step, batch.to(setup.device), config, setup.cache.nbytes)
    sharing = processes.local if setup.device.type == "cpu" else 1
    needed = MemoryEstimate(
        weights=one.weights * sharing,
        activations=one.activations * sharing // processes.count,
        cache=one.cache * processes.local,
    )
    refuse_what_does_not_fit(needed, config, setup.device)
    return needed


def _trial_batch(setup: Setup, images: int) -> Batch:
    """A batch as in the run, but unchanged by augmentation."""
    return next(batches(setup.draws(images, NONE), images, workers=0))


def trial_step(
    setup: Setup, images: int, own: TrainingStep | None = None
) -> Callable[[PrecisionName], None]:
    """A training step to time, in the precision that it is called with.

    Args:
        setup: network and data.
        images: of a batch, of all processes together.
        own: of a copy of the network, which it trains; None makes one.
    """
    own = own or TrainingStep(copy.deepcopy(setup.network).train())
    batch = _trial_batch(setup, images // setup.processes.count).to(setup.device)
    step = setup.wrap(own)
    optimiser = build_optimiser(own.network, setup.config)

    def run(name: PrecisionName) -> None:
        precision = Precision(name, setup.device)
        try:
            backward(step, batch, precision)
        except RuntimeError as error:
            if "deterministic" not in str(error):
                raise
            raise ConfigError(
                f"{setup.config.architecture} can't be trained with deterministic=true on "
                f"{setup.device}: {str(error).splitlines()[0]}"
            ) from error
        precision.update(optimiser, own.network.parameters(), 0.0)
        wait_for(setup.device)

    return run


def _time_evaluation(setup: Setup) -> float:
    few = setup.validation[: 3 * setup.processes.count]
    score(setup, setup.network, few[:1])
    start = time.perf_counter()
    score(setup, setup.network, few)
    return (time.perf_counter() - start) / len(few) * len(setup.validation)


def _ending(setup: Setup, evaluation: float) -> float:
    """Seconds that the test split will take once the last step is made: all its scores."""
    splits = setup.dataset.splits
    if "val" not in splits:
        return 0.0
    return DETAILED * evaluation * len(splits.get("test", ())) / len(setup.validation)


def _plan(
    config: TrainConfig,
    started: float,
    step: float,
    evaluation: float,
    an_epoch: float,
    note: Callable[[str], None],
) -> tuple[int, int]:
    """How many steps, and how many scorings among them.

    A budget that can't be held is told here, before anything of it is spent on training.
    """
    budget, wanted = config.budget, config.evaluate_every
    if budget is not None and config.budget_of == "steps":
        return max(1, round(budget / step)), wanted
    if config.epochs is not None:
        return max(1, round(config.epochs * an_epoch)), wanted
    if budget is None:
        return int(config.steps or 1), wanted
    spent = time.perf_counter() - started
    scorings = scorings_within(budget, spent, evaluation, wanted)
    if scorings < wanted:
        note(
            f"scored {scorings} times, not {wanted}: each takes {evaluation:.3g} s of the "
            f"{budget:.3g} s."
        )
    steps = steps_within(budget, spent, step, evaluation, scorings)
    total = spent + steps * step + scorings * evaluation
    if total > budget:
        note(
            f"the budget of {budget:.3g} s can't be held: reading and timing took {spent:.3g} s, a "
            f"step takes {step:.3g} s and a scoring {evaluation:.3g} s, so that the run will take "
            f"about {total:.3g} s with {steps} step{'s' if steps > 1 else ''}. Give it more time, "
            "or a smaller network, size or batch."
        )
    return steps, scorings
