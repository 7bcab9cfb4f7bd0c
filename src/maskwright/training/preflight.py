"""What a run will need, told before its first step: memory, precision, time."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.data.loader import Batch
from maskwright.training.config import TrainConfig
from maskwright.training.device import free_memory, name_of
from maskwright.training.precision import PrecisionName
from maskwright.training.steps import TrainingStep

TIMED_STEPS = 20
"""Steps after which a budget in minutes becomes a number of steps."""

FASTER = 1.05
"""How many times as fast a precision must be to be taken."""


_TRUTHS: dict[Task, str] = {
    "semantic": "class map",
    "instances": "masks of objects",
    "boxes": "boxes",
    "panoptic": "panoptic segments",
    "labels": "image labels",
}
"""Task -> what it is learned from, in words."""


def labelled(
    dataset: Dataset, *wanted: str, tasks: Collection[Task], note: Callable[[str], None]
) -> tuple[Sample, ...]:
    """The first split that exists among `wanted`, without the samples that lack every task.

    Args:
        dataset: read from anywhere.
        wanted: names of splits.
        tasks: of the network; a sample that is labelled for one of them stays.
        note: told what the user should know of it.

    Raises:
        DataError: there is no such split, or none of its samples is labelled for a task.
    """
    samples = dataset.split(*wanted)
    split = next(name for name in wanted if name in dataset.splits)
    chosen = tuple(sample for sample in samples if sample.tasks & set(tasks))
    what = " or ".join(_TRUTHS[task] for task in sorted(tasks))
    if not chosen:
        has = sorted({task for sample in samples for task in sample.tasks})
        raise DataError(
            f"none of the {len(samples)} images in the split {split} of {dataset.root} has {what}, "
            f"which this network learns from; they have "
            f"{', '.join(_TRUTHS[task] for task in has) or 'nothing'}. Choose another network, or "
            "read the set in another format."
        )
    if len(chosen) < len(samples):
        left = len(samples) - len(chosen)
        note(f"{split}: {left} of {len(samples)} images have no {what} and are left out.")
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
    step: TrainingStep, batch: Batch, config: TrainConfig, cache: int
) -> MemoryEstimate:
    """Measure what the backward pass of two images' step keeps, and scale it to the batch.

    Args:
        step: in training mode; its batch statistics change.
        batch: any batch; its first two images are used (batch norm needs two).
        config: of the run.
        cache: bytes of the decoded images.

    Raises:
        ConfigError: the batch has one image, and the network can't be trained on one.
    """
    few = first_images(batch, 2)
    count = len(few.images_B3HW)
    with _remembering() as kept:
        try:
            outputs = step.outputs(few.images_B3HW, few.targets)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"batch {config.batch} is too small: a batch norm of this network sees one value "
                f"a channel at {config.size[0]}x{config.size[1]}; use a batch of 2 or more"
                + (" for each process, or sync_batch_stats." if count < config.batch else ".")
            ) from error
    with _remembering() as kept_by_loss:
        step.losses(outputs, few.targets)
    weights = sum(p.numel() * p.element_size() for p in step.parameters())
    held = {p.untyped_storage().data_ptr() for p in step.parameters()}
    each = sum(size for pointer, size in kept.items() if pointer not in held)
    # a loss keeps a map or so of every head at full size; its gradient takes two more of them
    loss = 3 * sum(size for pointer, size in kept_by_loss.items() if pointer not in kept)
    states = 2 if config.optimiser == "adamw" else 1
    return MemoryEstimate(
        weights=weights * (2 + states + (config.ema > 0)),
        activations=round((1.5 * each + loss) / count * config.batch),
        cache=cache,
    )


@contextlib.contextmanager
def _remembering() -> Iterator[dict[int, int]]:
    """Address -> bytes of each storage that is saved for a backward pass inside."""
    kept: dict[int, int] = {}

    def remember(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()  # a node that held its own output would hold itself for ever

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        yield kept


def first_images(batch: Batch, count: int) -> Batch:
    """The first images of a batch with their truth."""

    def first(part: Tensor | tuple[Tensor, ...] | None) -> Any:
        return None if part is None else part[:count]

    targets = batch.targets
    parts = {
        name: first(getattr(targets, name))
        for name in targets.__dataclass_fields__
        if name not in ("made", "void")
    }
    made = {need: first(part) for need, part in targets.made.items()}
    return Batch(
        images_B3HW=batch.images_B3HW[:count], targets=replace(targets, **parts, made=made)
    )


def refuse_what_does_not_fit(
    estimate: MemoryEstimate, config: TrainConfig, device: torch.device
) -> None:
    """Raise before the machine swaps, or the card runs out.

    Raises:
        DoesNotFitError: the estimate is above the memory that is free on the device.
    """
    free = free_memory(device)
    needed = estimate.weights + estimate.activations  # the cache is held already
    if needed > free:
        fits = max(0, int(config.batch * (free - estimate.weights) / max(1, estimate.activations)))
        where = "" if device.type == "cpu" else f" on {name_of(device)}"
        raise DoesNotFitError(
            f"training needs about {needed / 2**30:.1f} GiB beside the data, but "
            f"{free / 2**30:.1f} GiB are free{where}: batch {config.batch} at "
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
        precision: to train in.
        step: seconds of a step so.
        gain: how many times as fast the other precision is as fp32: the median over turns; None
            where only one was timed.
        low, high: of that, the interval that holds the median of all turns at 95 %.
    """

    precision: PrecisionName
    step: float
    gain: float | None = None
    low: float = math.nan
    high: float = math.nan

    @property
    def sure(self) -> bool:
        """Whether the interval lies on one side of what counts as faster."""
        return self.gain is None or self.low > FASTER or self.high < FASTER


def time_steps(
    step: Callable[[PrecisionName], None],
    precisions: Sequence[PrecisionName],
    steps: int = TIMED_STEPS,
    *,
    clock: Callable[[], float] = time.perf_counter,
    limit: float = math.inf,
    same: Callable[[bool], bool] = bool,
) -> Timing:
    """Time training steps; of two precisions in turns, and more of them while it isn't clear.

    The second is taken where all of the interval of its gain is above `FASTER`: a machine too busy
    to tell them apart trains in the first.

    Args:
        step: runs one step in a precision, and waits for it.
        precisions: one, or fp32 and another.
        steps: how many are timed in all, three times as many at most; one more of each kind runs
            first, untimed, because it pays for allocation and kernel selection.
        clock: tells seconds.
        limit: seconds after which no more turns begin. The first step of all alone may be past
            it: then that is what was measured.
        same: what the first of many processes decides: they must make equally many steps.
    """
    seconds: dict[PrecisionName, list[float]] = {kind: [] for kind in precisions}
    started = clock()
    turns = max(1, steps // len(precisions))
    for number in range(1 + 3 * turns):
        late = number > 1 and clock() - started > limit
        known = number > turns and (len(precisions) == 1 or _timing(seconds).sure)
        if same(late or known):
            break
        for kind in precisions:
            start = clock()
            step(kind)
            seconds[kind].append(clock() - start)
            if number == 0 and same(clock() - started > limit):
                return Timing(precision=precisions[0], step=seconds[precisions[0]][0])
    return _timing(seconds)


def _timing(seconds: Mapping[PrecisionName, Sequence[float]]) -> Timing:
    kinds = list(seconds)
    counted = {kind: times[1:] for kind, times in seconds.items()}
    if len(kinds) == 1:
        return Timing(precision=kinds[0], step=statistics.fmean(counted[kinds[0]]))
    ratios = [plain / other for plain, other in zip(counted[kinds[0]], counted[kinds[1]])]
    low, high = median_interval(ratios)
    chosen = kinds[1] if low > FASTER else kinds[0]
    # a budget pays for the slow steps too, so that the mean counts, not the median
    return Timing(
        precision=chosen,
        step=statistics.fmean(counted[chosen]),
        gain=statistics.median(ratios),
        low=low,
        high=high,
    )


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The order statistics that hold the median at 95 % or more; all values where they are few.

    The number of values below the median is binomial with probability 1/2, whatever they are
    distributed like.
    """
    ordered, count = sorted(values), len(values)
    lowest, below = 0, 0.5**count
    while below + math.comb(count, lowest + 1) * 0.5**count <= 0.025 and lowest + 1 < count // 2:
        lowest += 1
        below += math.comb(count, lowest) * 0.5**count
    return ordered[lowest], ordered[count - 1 - lowest]


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


def scorings_within(budget: float, spent: float, evaluation: float, wanted: int) -> int:
    """How often a run is scored: as wanted, but in no more than three tenths of what is left.

    Args:
        budget, spent, evaluation: seconds, as of `steps_within`.
        wanted: at most.

    Returns:
        At least 1.
    """
    left = max(0.0, 0.97 * budget - spent)
    return max(1, min(wanted, int(0.3 * left / max(evaluation, 1e-9))))
