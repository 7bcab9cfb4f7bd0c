"""Predictors timed in turns.

A machine's speed drifts with heat and neighbours, so predictors timed one after the other can't be
compared. Here each round gives every one of them a turn, in an order that rotates; a turn begins
with an answer that is not timed, because the one before has filled the caches.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TypeVar

import numpy as np

from maskwright.runtimes import Predictor

Key = TypeVar("Key", bound=Hashable)

ANSWERS_A_TURN = 3
MINIMUM_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Of every timed answer of one predictor.

    Attributes:
        network_ms: the network alone: uint8 input -> standard outputs.
        total_ms: from the image array to the `Segmentation`.
    """

    network_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)


def take_turns(
    predictors: Mapping[Key, Predictor],
    images: Sequence[np.ndarray],
    rounds: int,
    seconds: float | None = None,
) -> dict[Key, Timings]:
    """Time predictors in turns of three answers.

    Args:
        predictors: by any key.
        images: real ones, uint8 RGB [H, W, 3]; taken one after the other.
        rounds: turns that each predictor gets.
        seconds: stop earlier after this time, but not before three rounds.
    """
    started = time.perf_counter()
    keys = list(predictors)
    timings = {key: Timings() for key in keys}
    endless = cycle(images)
    for number in range(rounds):
        spent = time.perf_counter() - started
        if seconds is not None and number >= MINIMUM_ROUNDS and spent >= seconds:
            break
        turn = [next(endless) for _ in range(ANSWERS_A_TURN)]
        for place in range(len(keys)):
            key = keys[(place + number) % len(keys)]
            predictors[key].predict(turn[-1])
            for image in turn:
                times = predictors[key].predict(image).times
                timings[key].network_ms.append(1000 * times["network"])
                timings[key].total_ms.append(1000 * sum(times.values()))
    return timings
