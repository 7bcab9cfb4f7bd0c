"""The figures and settings for Weights & Biases, offline unless you say otherwise.

They go into the run's folder, in `wandb/`; `wandb sync` sends them where you have an account.
WANDB_MODE=online sends them at once, WANDB_PROJECT names the project instead of "maskwright".
Neither code nor figures of the machine are taken, and errors are reported to nobody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read at the import

import wandb

from maskwright.training.callbacks import RunStart
from maskwright.training.loggers.rows import RowLog, flat


class WeightsAndBiases(RowLog):
    """One W&B run of the run folder's name; a resumed run makes another, with its history."""

    def open(self, run: RunStart) -> None:
        """Make the run with its settings."""
        mode: Any = os.environ.get("WANDB_MODE") or "offline"
        quiet = wandb.Settings(
            console="off",
            silent=True,
            disable_code=True,
            disable_git=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "maskwright",
            name=run.folder.resolve().name,
            mode=mode,
            dir=str(run.folder),
            config=flat(run.settings),
            settings=quiet,
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of one step; W&B gathers those of the same."""
        self._run.log(dict(values), step=step)

    def end(self, result: Any) -> None:
        """Close; a run that an error ended is marked so."""
        self._run.finish(exit_code=0 if result is not None else 1)
