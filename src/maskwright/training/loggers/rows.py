"""What logs share: a row of figures every few steps, and one at each score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwright.training.callbacks import Callback, RunStart, Scored

LOG_EVERY = 10
"""Steps between two rows."""

WHEN = frozenset({"step", "epoch", "seconds"})
"""Columns that tell when, not what."""


class RowLog(Callback):
    """A log that takes rows; `write` says where they go."""

    def start(self, run: RunStart) -> None:
        """Open, and take over what a resumed run has logged before."""
        self.open(run)
        for row in run.history:
            self.write(int(row["step"]), {name: row[name] for name in row if name not in WHEN})

    def step(self, step: int, steps: int, loss: float, rate: float) -> None:
        """Write a row now and then, and at the end."""
        if step % LOG_EVERY == 0 or step == steps:
            self.write(step, {"loss": loss, "lr": rate})

    def score(self, step: int, name: str, value: float, best: bool, scores: Scored) -> None:
        """Write the main figures."""
        self.write(step, scores.row())

    def open(self, run: RunStart) -> None:
        """Make ready for rows."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take a row.

        Args:
            step: steps made so far.
            values: by name.
        """
        raise NotImplementedError


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings in settings by dotted names: {"augmentation": {"flip": 0.5}} -> "augmentation.flip".

    Args:
        settings: by name.
        prefix: before each name.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
