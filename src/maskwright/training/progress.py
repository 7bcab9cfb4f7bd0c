"""The callback that people watch: bars on a terminal; and the one that tells nothing."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from maskwright.core.telling import printable
from maskwright.training.callbacks import Callback, Scored


class Silent(Callback):
    """Tells nothing; for use as a library."""


class Terminal(Callback):
    """Bars with the time left and live scores; plain lines where the output is no terminal."""

    def __init__(self, console: Console | None = None, every: int = 50) -> None:
        self.console = console or Console()
        self.every = every
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._score = ""

    def note(self, text: str) -> None:
        """Print a sentence above the bar."""
        self.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def step(self, step: int, steps: int, loss: float, rate: float) -> None:
        """Move the bar, or print a line now and then."""
        if not self.console.is_terminal:
            if step % self.every == 0 or step == steps:
                self.note(f"step {step}/{steps}  loss {loss:.3f}  lr {rate:.2g}{self._score}")
            return
        if self._bar is None:
            columns = (
                TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.description}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self.console)
            self._task = self._bar.add_task("", total=steps)
            self._bar.start()
        self._bar.update(self._task, completed=step, description=f"loss {loss:.3f}{self._score}")

    def score(self, step: int, name: str, value: float, best: bool, scores: Scored) -> None:
        """Show the score beside the bar and print it."""
        self._score = f"  {name} {value:.3f}"
        self.note(f"step {step}: {name} {value:.4f}{' (best so far)' if best else ''}")

    def end(self, result: Any) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
