"""What a run tells while it runs. The silent form is the base; the terminal's adds rich bars."""

from __future__ import annotations

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


class Silent:
    """Tells nothing; for use as a library."""

    _told: frozenset[str] = frozenset()

    def note_once(self, text: str, key: str) -> None:
        """`note`, but only the first text of a key; "" is none."""
        if text and key not in self._told:
            self._told |= {key}
            self.note(text)

    def note(self, text: str) -> None:
        """Something the user should know, in one sentence."""

    def step(self, step: int, steps: int, loss: float, rate: float) -> None:
        """A step was made: its number (from 1), how many there are, smoothed loss, rate."""

    def score(self, step: int, name: str, value: float, best: bool) -> None:
        """The validation split was scored."""

    def close(self) -> None:
        """The run has ended."""


class Terminal(Silent):
    """Bars with the time left and live scores; plain lines where the output is no terminal."""

    def __init__(self, console: Console | None = None, every: int = 50) -> None:
        self.console = console or Console()
        self.every = every
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._score = ""

    def note(self, text: str) -> None:
        """Print a sentence above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

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

    def score(self, step: int, name: str, value: float, best: bool) -> None:
        """Show the score beside the bar and print it."""
        self._score = f"  {name} {value:.3f}"
        self.note(f"step {step}: {name} {value:.4f}{' (best so far)' if best else ''}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
