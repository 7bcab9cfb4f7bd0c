"""A run's folder: settings, environment, history and weights, each whole at any moment.

config.json       every setting, resolved: steps, precision, class weights
environment.json  machine, versions, command
metrics.csv       a row a log interval and a row a score
tensorboard/      the same for TensorBoard
best.safetensors  the weights that scored best on the validation split
last.safetensors  the newest ones
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from maskwright.core import machine
from maskwright.core.errors import ConfigError, MaskwrightError
from maskwright.core.files import write_json, write_text

COLUMNS = ("step", "epoch", "seconds", "loss", "lr", "miou", "pixel_accuracy")
_FILES = (
    "config.json", "environment.json", "metrics.csv", "report.html", "best.safetensors",
    "last.safetensors",
)  # fmt: skip
_PACKAGES = ("maskwright", "torch", "torchvision", "timm", "numpy", "opencv-python-headless")


class RunFolder:
    """The files of one run.

    Attributes:
        path: of the folder.
        history: the rows of metrics.csv so far.
    """

    def __init__(self, path: Path | str, overwrite: bool = False) -> None:
        """Take an empty or new folder; `start` removes what an older run left there.

        Raises:
            ConfigError: a run lies there already, and `overwrite` is not set.
        """
        self.path = Path(path)
        if any((self.path / name).exists() for name in _FILES) and not overwrite:
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
        """Remove an older run's files, write the settings and the environment, open the logs."""
        from torch.utils.tensorboard import SummaryWriter

        with _writing(self.path):
            for name in _FILES:
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
        write_json(self.path / "config.json", config)
        write_json(self.path / "environment.json", environment())
        with _writing(self.path):
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
            with _writing(self.path / "tensorboard"):
                for name in row.keys() - {"step", "epoch", "seconds"}:
                    self._board.add_scalar(name, row[name], int(row["step"]))

    def close(self) -> None:
        """Flush and close the logs."""
        if self._board is not None:
            with contextlib.suppress(OSError):  # a full disk was told where it was met first
                self._board.close()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MaskwrightError(
            f"could not write {path}: {error.strerror or error}; free some space or choose another "
            "folder."
        ) from error


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
