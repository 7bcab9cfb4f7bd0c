"""What a run chooses for itself: the settings that nobody set, from its data and its budget."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maskwright.core.settings import config_values
from maskwright.data.augment import Augmentation
from maskwright.training.config import TrainConfig
from maskwright.training.defaults import Choice, choose_defaults
from maskwright.training.facts import DataFacts, facts_of
from maskwright.training.precision import candidates
from maskwright.training.preflight import time_steps
from maskwright.training.rehearsal import processor_clock, trial_step
from maskwright.training.setup import Setup

FEW_IMAGES = 2
"""Of a trial step: batch norm needs two, and more cost more."""

FEW_STEPS = 4
"""That tell how many pixels a second a network trains on."""

SHARE = 0.03
"""Of a budget may go into them, but for the first ones."""

MAPS = 300
"""Class maps that are looked at, evenly spread."""

_PREFIX = "augmentation."


def choose(
    setup: Setup, given: Collection[str], started: float, note: Callable[[str], None]
) -> None:
    """Choose settings and let the setup adopt them.

    What the first process measured decides for all.

    Args:
        setup: network and data.
        given: names of the settings that somebody set: they stay, the others follow from them.
        started: `time.perf_counter()` when the run began.
        note: told what was chosen, and why.
    """
    if "semantic" not in setup.tasks:  # the rules look at class maps
        return
    config = setup.config
    kept = {name: _value(config, name) for name in given}
    pixels, steps = _length(setup, started)
    choices = choose_defaults(
        _facts(setup),
        pixels=pixels,
        steps=steps,
        pretrained=bool(config.options.get("pretrained")),
        given=kept,
    )
    choices = setup.choices = setup.processes.same(choices)
    setup.adopt(_changed(config, choices))
    note("Chosen for this data and this budget; --set NAME=VALUE decides otherwise:")
    for line in lines_of(choices):
        note(f"  {line}")


def lines_of(choices: Sequence[Choice]) -> list[str]:
    """What is told of the choices; those with one reason share a line."""
    return [
        f"{', '.join(choice.told for choice in own)}: {why}"
        for why, own in itertools.groupby(choices, key=lambda choice: choice.why)
    ]


def _length(setup: Setup, started: float) -> tuple[float | None, int | None]:
    """What the run's length comes to: pixels that it can train on, or its steps."""
    config = setup.config
    if config.steps is not None:
        return None, config.steps
    if config.epochs is not None:
        return None, max(1, round(config.epochs * len(setup.cache) / config.batch))
    budget = float(config.budget or 0)
    timing = time_steps(
        trial_step(setup, FEW_IMAGES * setup.processes.count),
        candidates(setup.device) if config.precision == "auto" else (config.precision,),
        FEW_STEPS,
        clock=processor_clock if config.budget_of == "steps" else time.perf_counter,
        limit=SHARE * budget,
        same=setup.processes.same,
    )
    left = budget if config.budget_of == "steps" else 0.9 * (budget + started - time.perf_counter())
    images = FEW_IMAGES * setup.processes.count
    rate = images * math.prod(config.crop or config.size) / timing.step
    return max(0.0, left) * rate, None


def _facts(setup: Setup) -> DataFacts:
    return facts_of(_class_maps(setup), len(setup.dataset.classes), setup.config.size)


def _class_maps(setup: Setup) -> Iterator[np.ndarray]:
    count = len(setup.cache)
    for index in range(0, count, max(1, count // MAPS)):
        class_map = setup.cache[index].class_map
        if class_map is not None:
            yield class_map


def _value(config: TrainConfig, name: str) -> Any:
    """Of a setting of training or augmentation; None of the architecture's."""
    if name.startswith(_PREFIX):
        return getattr(config.augmentation, name.removeprefix(_PREFIX))
    return getattr(config, name, None)


def _changed(config: TrainConfig, choices: tuple[Choice, ...]) -> TrainConfig:
    own = {one.name: one.value for one in choices if not one.name.startswith(_PREFIX)}
    if own.get("crop") == config.size:
        own["crop"] = None  # nothing is cut out
    changes = {
        one.name.removeprefix(_PREFIX): one.value for one in choices if one.name.startswith(_PREFIX)
    }
    checked = config_values(Augmentation, changes, "augmentation")
    return replace(config, **own, augmentation=replace(config.augmentation, **checked))
