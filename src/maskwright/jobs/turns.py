"""Predictors timed in turns.

A machine's speed drifts with heat and neighbours, so predictors timed one after the other can't be
compared. Here each round gives every one of them a turn, in an order that rotates; a turn begins
with an answer that is not timed, because the one before has filled the caches. Two are compared
turn by turn (`paired_ratio`), which leaves out what slows both, and a choice between them is made
where the interval of their ratio lies on one side of the threshold; else there are more turns, and
in the end the machine is too busy to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from math import comb
from typing import TypeVar

import numpy as np

from maskwright.runtimes import Predictor

Key = TypeVar("Key", bound=Hashable)

ANSWERS_A_TURN = 3
MINIMUM_ROUNDS = 3
MORE_ROUNDS = 4
"""A choice that the first rounds leave open is given at most so many times as many again."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Of every timed answer of one predictor.

    Attributes:
        network_ms: the network alone: uint8 input -> standard outputs.
        total_ms: from the image array to the `Segmentation`.
    """

    network_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)

    def turns_ms(self) -> tuple[float, ...]:
        """The median of the network's answers in each turn."""
        turns = np.reshape(self.network_ms, (-1, ANSWERS_A_TURN))
        return tuple(np.median(turns, axis=1).tolist())


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A median with its 95 % interval, which holds whatever the times are distributed like.

    Attributes:
        value: the median.
        low, high: order statistics of the turns around it; the lowest and highest of all where
            there are fewer than six turns, which is less than 95 %.
        turns: how many were measured.
    """

    value: float
    low: float
    high: float
    turns: int

    def beyond(self, threshold: float) -> bool | None:
        """Whether it lies above a threshold; None where the interval holds both sides."""
        if self.low > threshold:
            return True
        return False if self.high <= threshold else None


def spread_of(values: Sequence[float]) -> Spread:
    """The median of values that were measured one after the other, and how far it may be off.

    The interval is the one of the sign test: of n values about a true median, k or fewer lie below
    it with the probability of k heads in n throws.

    Args:
        values: one or more.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    count, below, chance = len(ordered), 0, 0.0
    while below < count // 2:
        chance += comb(count, below) / 2**count
        if chance > 0.025:
            break
        below += 1
    edge = max(0, below - 1)
    return Spread(
        value=float(np.median(ordered)),
        low=float(ordered[edge]),
        high=float(ordered[count - 1 - edge]),
        turns=count,
    )


def paired_ratio(first_ms: Sequence[float], second_ms: Sequence[float]) -> Spread:
    """How many times as long the first takes as the second: the median over their paired turns.

    Args:
        first_ms: of each turn.
        second_ms: of the same rounds.
    """
    return spread_of(np.divide(first_ms, second_ms).tolist())


def take_turns(
    predictors: Mapping[Key, Predictor],
    images: Sequence[np.ndarray],
    rounds: int,
    seconds: float | None = None,
    settled: Callable[[Mapping[Key, Timings]], bool] | None = None,
) -> dict[Key, Timings]:
    """Time predictors in turns of three answers.

    Args:
        predictors: by any key.
        images: real ones, uint8 RGB [H, W, 3]; taken one after the other.
        rounds: turns that each predictor gets.
        seconds: stop earlier after this time, but not before three rounds.
        settled: whether the timings so far decide what is to be decided; asked after the rounds,
            and while it says no, there are as many more, at most `MORE_ROUNDS` times.
    """
    timings: dict[Key, Timings] = {key: Timings() for key in predictors}
    _add_rounds(timings, predictors, images, rounds, seconds)
    for _ in range(MORE_ROUNDS):
        if settled is None or settled(timings):
            break
        _add_rounds(timings, predictors, images, rounds, seconds)
    return timings


def _add_rounds(
    timings: Mapping[Key, Timings],
    predictors: Mapping[Key, Predictor],
    images: Sequence[np.ndarray],
    rounds: int,
    seconds: float | None,
) -> None:
    started = time.perf_counter()
    keys = list(predictors)
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
