"""metrics.csv: the run folder's own log, that resuming, comparing and the report read."""

from __future__ import annotations

import time
from collections.abc import Mapping

from maskwright.training.callbacks import RunStart
from maskwright.training.loggers.rows import RowLog
from maskwright.training.run_folder import RunFolder


class Table(RowLog):
    """Rows of metrics.csv, in every process, so that each knows the history."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def start(self, run: RunStart) -> None:
        """Note when the run began, and how many steps an epoch has; older rows are in the folder.

        Args:
            run: whose settings tell `batch` and `training_images`.
        """
        self._began = run.began
        self._epochs_a_step = run.settings["batch"] / run.settings["training_images"]

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row."""
        seconds = time.perf_counter() - self._began
        epoch = step * self._epochs_a_step
        self.run.log(step=step, epoch=round(epoch, 3), seconds=round(seconds, 1), **values)
