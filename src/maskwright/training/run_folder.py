"""A run's folder: settings, environment, history and weights, each whole at any moment.

config.json       every setting, resolved: steps, precision, class weights
environment.json  machine, versions, command
metrics.csv       a row a log interval and a row a score
tensorboard/      the same for TensorBoard
best.safetensors  the weights that scored best on the validation split
last.safetensors  the newest ones
"""

from __future__ import annotations

import csv
import datetime
import io
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from maskwright.core import machine
from maskwright.core.errors import ConfigError
from maskwright.core.files import write_json, write_text

COLUMNS = ("step", "epoch", "seconds", "loss", "lr", "miou", "pixel_accuracy")
_PACKAGES = ("maskwright", "torch", "torchvision", "timm", "numpy", "opencv-python-headless")


class RunFolder:
    """The files of one run.

    Attributes:
        path: of the folder.
        history: the rows of metrics.csv so far.
    """

    def __init__(self, path: Path | str, overwrite: bool = False) -> None:
        """Take an empty or new folder.

        Raises:
            ConfigError: a run lies there already, and `overwrite` is not set.
        """
        self.path = Path(path)
        if (self.path / "config.json").exists() and not overwrite:
            raise ConfigError(
                f"{self.path} holds a run already; choose another folder, or pass --overwrite to "
                "replace it."
            )
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"expected a folder at {self.path}, but a file lies there.")
        self.history: list[dict[str, float]] = []
        self._board: Any = None

    @property
    def best(self) -> Path:
        """The weights that scored best."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """The newest weights."""
        return self.path / "last.safetensors"

    @property
    def report(self) -> Path:
        """The page that the run ends in."""
        return self.path / "report.html"

    def start(self, config: dict[str, Any]) -> None:
        """Write the settings and the environment, and open the logs."""
        write_json(self.path / "config.json", config)
        write_json(self.path / "environment.json", environment())
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(self.path / "tensorboard"))

    def log(self, **row: float) -> None:
        """Add a row; its keys are among `COLUMNS`."""
        self.history.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self.path / "metrics.csv", text.getvalue())
        if self._board is not None:
            for name, value in row.items():
                if name not in {"step", "epoch", "seconds"}:
                    self._board.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Flush and close the logs."""
        if self._board is not None:
            self._board.close()


def environment() -> dict[str, Any]:
    """Date, machine, versions and the command that was typed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": machine.processor(),
        "cores": machine.usable_cores(),
        "system": machine.system(),
        "python": sys.version.split()[0],
        "packages": found,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
