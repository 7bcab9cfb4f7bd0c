"""What all accumulators share: integer counts that add up, over images and over processes."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np

from maskwright.core.errors import ConfigError


class Accumulator:
    """Counts of the images so far; a subclass adds `update` and `scores`.

    Two of the same kind and settings add up: `a.merge(b)`, `a + b`, `sum(parts)`. The counts are
    integers, so that the order and the number of processes don't change a digit.

    Args:
        counts: int64, all zero; its shape is the subclass's.

    Attributes:
        counts: the sum over the images so far; a copy of it is a state that can be stacked and
            resampled (`metrics.interval`).
    """

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = counts

    def merge(self, other: Self) -> None:
        """Add what another one has counted, such as another process's share of the images.

        Raises:
            ConfigError: it counts something else, or with other settings.
        """
        if type(other) is not type(self) or other._settings() != self._settings():
            raise ConfigError(
                f"can't merge counts of {_told(other)} into counts of {_told(self)}; expected the "
                "same score with the same settings."
            )
        self.counts += other.counts

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, Accumulator):
            return NotImplemented
        total = copy.copy(self)
        total.counts = self.counts.copy()
        total.merge(other)
        return total

    def __radd__(self, other: int) -> Self:
        if other != 0:  # where `sum` starts
            return NotImplemented
        return self + type(self)._empty_like(self)

    @classmethod
    def _empty_like(cls, other: Self) -> Self:
        empty = copy.copy(other)
        empty.counts = np.zeros_like(other.counts)
        return empty

    def _settings(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "counts"}


def _told(accumulator: Any) -> str:
    if not isinstance(accumulator, Accumulator):
        return repr(accumulator)
    settings = ", ".join(f"{name}={value}" for name, value in accumulator._settings().items())
    return f"{type(accumulator).__name__}({settings})"
