"""Whether the loader keeps up: how long training waited for batches, and how fast steps are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

STARVING = 0.2
"""Share of the time spent waiting for batches that the user should know of."""

FIRST_STEPS = 20
"""Are not judged: processes are starting, kernels are being chosen."""


class Feeding:
    """A stopwatch between the loader and the network."""

    def __init__(self) -> None:
        self._waits: list[float] = []
        self._begun = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for one batch."""
        start = time.perf_counter()
        yield
        self._waits.append(time.perf_counter() - start)
        if len(self._waits) == FIRST_STEPS:
            self._begun = time.perf_counter()

    @property
    def _judged(self) -> int:
        return len(self._waits) - FIRST_STEPS

    def share(self) -> float:
        """Of the time since the first steps that was spent waiting, 0..1."""
        spent = time.perf_counter() - self._begun
        return sum(self._waits[FIRST_STEPS:]) / spent if self._judged > 0 and spent else 0.0

    def seconds_a_step(self) -> float:
        """Of wall time since the first steps, scorings included; 0 before."""
        return (time.perf_counter() - self._begun) / self._judged if self._judged > 0 else 0.0

    def told(self, workers: int) -> str:
        """What the user should know; "" while all is well."""
        share = self.share()
        if share < STARVING or self._judged < FIRST_STEPS:
            return ""
        return (
            f"training waits for images {share:.0%} of the time: {workers} loader "
            f"process{'' if workers == 1 else 'es'} can't keep up. Give it more with "
            f"--set workers={max(2, 2 * workers)}, a larger --set cache=BYTES, or smaller images."
        )
