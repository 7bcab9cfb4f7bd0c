"""Everybody who is told what a run comes to: the progress bar, logs, and the user's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from maskwright.training.callbacks import Callback, RunStart, Scored


class Audience(Callback):
    """Passes everything on; a log that fails is told once and left out from then on."""

    def __init__(self, listeners: Sequence[Callback] = (), logs: Sequence[Callback] = ()) -> None:
        """Gather them.

        Args:
            listeners: the progress bar and the user's callbacks; their errors are raised.
            logs: whose errors are told as notes.
        """
        self.listeners, self.logs = list(listeners), list(logs)
        self._told: set[str] = set()

    def start(self, run: RunStart) -> None:
        """Tell all, the logs first: what they say comes before the bar."""
        self._to_logs(lambda log: log.start(run))
        for one in self.listeners:
            one.start(run)

    def step(self, step: int, steps: int, loss: float, rate: float) -> None:
        """Tell all."""
        self._to_logs(lambda log: log.step(step, steps, loss, rate))
        for one in self.listeners:
            one.step(step, steps, loss, rate)

    def score(self, step: int, name: str, value: float, best: bool, scores: Scored) -> None:
        """Tell all."""
        self._to_logs(lambda log: log.score(step, name, value, best, scores))
        for one in self.listeners:
            one.score(step, name, value, best, scores)

    def end(self, result: Any) -> None:
        """Tell all, so that each closes what it opened, whatever the others do."""
        self._to_logs(lambda log: log.end(result))
        failed: list[Exception] = []
        for one in self.listeners:
            try:
                one.end(result)
            except Exception as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def note(self, text: str) -> None:
        """Tell the listeners; logs keep numbers."""
        for one in self.listeners:
            one.note(text)

    def note_once(self, text: str, key: str) -> None:
        """`note`, but only the first text of a key; "" is none."""
        if text and key not in self._told:
            self._told.add(key)
            self.note(text)

    def _to_logs(self, tell: Callable[[Callback], None]) -> None:
        for log in list(self.logs):
            try:
                tell(log)
            except Exception as error:
                self.logs.remove(log)
                name, said = type(log).__name__, " ".join(str(error).split())
                self.note(
                    f"the log {name} failed ({type(error).__name__}: {said:.300}); the run goes on "
                    "without it, and metrics.csv has every figure."
                )
