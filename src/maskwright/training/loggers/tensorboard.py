"""The figures for TensorBoard, in the run's folder: `tensorboard --logdir runs`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from maskwright.training.callbacks import RunStart
from maskwright.training.loggers.rows import RowLog


class TensorBoard(RowLog):
    """A new log at each start; nothing of an older one is left beside it."""

    def open(self, run: RunStart) -> None:
        """Replace an older log by an empty one."""
        folder = run.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        self._board: Any = SummaryWriter(str(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar a figure."""
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def end(self, result: Any) -> None:
        """Flush and close."""
        self._board.close()
