"""What a run will need, told before its first step: memory, precision, time."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskwright.architectures.contract import Network
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.machine import available_memory
from maskwright.core.sample import Dataset, Sample
from maskwright.data.loader import Batch
from maskwright.training.config import TrainConfig

TIMED_STEPS = 20
"""Steps after which a budget in minutes becomes a number of steps."""


def labelled(dataset: Dataset, *wanted: str, note: Callable[[str], None]) -> tuple[Sample, ...]:
    """The first split that exists among `wanted`, without the samples that lack a class map.

    Args:
        dataset: read from anywhere.
        wanted: names of splits.
        note: told what the user should know of it.

    Raises:
        DataError: there is no such split, or none of its samples has a class map.
    """
    samples = dataset.split(*wanted)
    split = next(name for name in wanted if name in dataset.splits)
    chosen = tuple(sample for sample in samples if "semantic" in sample.tasks)
    if not chosen:
        raise DataError(
            f"none of the {len(samples)} images in the split {split} of {dataset.root} has a class "
            "map; expected semantic truth. Read the set as index_masks, or choose another."
        )
    if len(chosen) < len(samples):
        left = len(samples) - len(chosen)
        note(f"{split}: {left} of {len(samples)} images have no class map and are left out.")
    if wanted[0] == "val" != split:
        note(f"there is no split val: weights are scored and chosen on {split}.")
    return chosen


class DoesNotFitError(ConfigError):
    """A batch needs more memory than is free."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes that training will hold.

    Attributes:
        weights: parameters, gradients, optimiser state, averages.
        activations: what the backward pass of one batch keeps, with as much again for the
            gradients that flow through it and the loss.
        cache: decoded images.
    """

    weights: int
    activations: int
    cache: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.activations + self.cache


def estimate_memory(
    network: Network, batch: Batch, config: TrainConfig, cache: int
) -> MemoryEstimate:
    """Measure one image's forward pass and scale it to the batch.

    Args:
        network: in training mode; its batch statistics change.
        batch: any batch; its first two images are used (batch norm needs two).
        config: of the run.
        cache: bytes of the decoded images.

    Raises:
        ConfigError: the batch has one image, and the network can't be trained on one.
    """
    kept: dict[int, int] = {}

    def remember(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()  # a node that held its own output would hold itself for ever

    few = batch.images_B3HW[:2]
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        try:
            outputs = network(network.normalise(few))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"batch {config.batch} is too small: a batch norm of this network sees one value "
                f"a channel at {config.size[0]}x{config.size[1]}; use a batch of 2 or more"
                + (" for each process, or sync_batch_stats." if len(few) < config.batch else ".")
            ) from error
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    # the logits of each head at full size, their softmax and gradient: three float32 maps a class
    maps = sum(output.shape[1] for output in outputs.values() if output.ndim == 4)
    loss = 3 * 4 * few.shape[-1] * few.shape[-2] * maps
    held = {p.untyped_storage().data_ptr() for p in network.parameters()}
    each = sum(size for pointer, size in kept.items() if pointer not in held) / len(few)
    states = 2 if config.optimiser == "adamw" else 1
    return MemoryEstimate(
        weights=weights * (2 + states + (config.ema > 0)),
        activations=round((1.5 * each + loss) * config.batch),
        cache=cache,
    )


def refuse_what_does_not_fit(estimate: MemoryEstimate, config: TrainConfig) -> None:
    """Raise before the machine swaps.

    Raises:
        DoesNotFitError: the estimate is above the memory that is free.
    """
    free = available_memory()
    needed = estimate.weights + estimate.activations  # the cache is held already
    if needed > free:
        fits = max(0, int(config.batch * (free - estimate.weights) / max(1, estimate.activations)))
        raise DoesNotFitError(
            f"training needs about {needed / 2**30:.1f} GiB beside the data, but "
            f"{free / 2**30:.1f} GiB are free: batch {config.batch} at "
            f"{config.size[0]}x{config.size[1]} is too much. "
            + (
                f"Use batch {fits} or less (accumulate={-(-config.batch // fits)} keeps the "
                "effective batch)."
                if fits
                else "Use a smaller size or architecture."
            )
        )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What the timed steps told.

    Attributes:
        bf16: whether training runs in bf16 autocast.
        step: seconds of a step so.
        gain: how many times as fast bf16 is as fp32; None where only one was timed.
    """

    bf16: bool
    step: float
    gain: float | None


def time_steps(
    step: Callable[[bool], None],
    precision: str,
    steps: int = TIMED_STEPS,
    *,
    clock: Callable[[], float] = time.perf_counter,
    limit: float = math.inf,
) -> Timing:
    """Time training steps, in fp32 and bf16 in turn where `precision` is "auto".

    Args:
        step: runs one step; its argument says whether in bf16.
        precision: "fp32", "bf16" or "auto", which takes bf16 where it is faster by over 5 %.
        steps: how many are timed in all; one more of each kind runs first, untimed, because it
            pays for allocation and kernel selection.
        clock: tells seconds.
        limit: seconds after which no more are timed than one of each kind.
    """
    kinds = {"fp32": [False], "bf16": [True], "auto": [False, True]}[precision]
    seconds: dict[bool, list[float]] = {kind: [] for kind in kinds}
    started = clock()
    for number in range(1 + max(1, steps // len(kinds))):
        if number > 1 and clock() - started > limit:
            break
        for kind in kinds:
            start = clock()
            step(kind)
            seconds[kind].append(clock() - start)
    medians = {kind: statistics.median(times[1:]) for kind, times in seconds.items()}
    gain = medians[False] / medians[True] if len(medians) == 2 else None
    bf16 = kinds[0] if gain is None else gain > 1.05
    # a budget pays for the slow steps too, so that the mean counts, not the median
    return Timing(bf16=bf16, step=statistics.fmean(seconds[bf16][1:]), gain=gain)


def steps_within(
    budget: float, spent: float, step: float, evaluation: float, evaluations: int
) -> int:
    """How many steps fit into a budget, all in seconds.

    Args:
        budget: for everything.
        spent: already.
        step: one training step.
        evaluation: one scoring of the validation split.
        evaluations: how many of them there will be.

    Returns:
        At least 1. Three per cent are kept back for saving and for noise.
    """
    left = 0.97 * budget - spent - evaluations * evaluation
    return max(1, int(left / step))
