"""A run's folder: settings, environment, history and weights, each whole at any moment.

config.json       every setting, resolved: steps, precision, class weights
recipe.yaml       the settings alone, to share: `maskwright train --recipe`
environment.json  machine, versions, command
metrics.csv       a row a log interval and a row a score
tensorboard/      the same for TensorBoard, where that is logged
best.safetensors  the weights that scored best on the validation split
last.safetensors  the newest ones
state.safetensors, state-before.safetensors
                  what --resume goes on from, until the run is finished
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from maskwright.core import machine
from maskwright.core.errors import ConfigError, ModelFileError, could_not_write
from maskwright.core.files import write_json, write_text
from maskwright.core.locking import alone_in
from maskwright.training.state import RunState, load_state, save_state

COLUMNS = ("step", "epoch", "seconds", "loss", "lr")
"""Of metrics.csv, before those of the scores: miou and pixel_accuracy, ap_masks, pq ..."""

_FILES = (
    "config.json", "recipe.yaml", "environment.json", "metrics.csv", "report.html",
    "best.safetensors", "last.safetensors", "state.safetensors", "state-before.safetensors",
)  # fmt: skip
_PACKAGES = (
    "maskwright", "torch", "torchvision", "timm", "lightning-fabric", "numpy",
    "opencv-python-headless",
)  # fmt: skip


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
                f"{self.path} holds a run already; choose another folder, or pass --resume to go "
                "on with it, or --overwrite to replace it."
            )
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"expected a folder at {self.path}, but a file lies there.")
        self.history: list[dict[str, float]] = []

    @classmethod
    def reopen(cls, path: Path | str) -> RunFolder:
        """Take the folder of a run that was ended; nothing in it is changed yet.

        Raises:
            ConfigError: no run lies there.
        """
        run = cls(path, overwrite=True)
        if not (run.path / "config.json").is_file():
            raise ConfigError(
                f"expected a run in {run.path}, but there is no config.json; give the run's folder "
                "with --out, or start one without --resume."
            )
        run.history = run._read_history()
        return run

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

    @property
    def finished(self) -> bool:
        """Whether its report is written and no state is left to go on from."""
        states = self._state.exists() or self._state_before.exists()
        return self.report.exists() and not states

    @property
    def resumable(self) -> bool:
        """Whether `resume` has something to go on with, or finds everything done."""
        states = self._state.exists() or self._state_before.exists()
        return (self.path / "config.json").exists() and (states or self.finished)

    @property
    def _state(self) -> Path:
        return self.path / "state.safetensors"

    @property
    def _state_before(self) -> Path:
        return self.path / "state-before.safetensors"

    def alone(self) -> AbstractContextManager[None]:
        """Keeps other programs out while it is entered."""
        return alone_in(self.path)

    def settings(self) -> dict[str, Any]:
        """What config.json holds.

        Raises:
            ConfigError: it is damaged.
        """
        path = self.path / "config.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"could not read {path} ({error}), expected the settings of a run; start the run "
                "again with --overwrite."
            ) from error

    def start(self, config: dict[str, Any], recipe: str = "") -> None:
        """Remove an older run's files, write settings, recipe and environment."""
        with _writing(self.path):
            for name in _FILES:
                (self.path / name).unlink(missing_ok=True)
            self._remove_parts()
        write_json(self.path / "config.json", config)
        write_text(self.path / "recipe.yaml", recipe)
        write_json(self.path / "environment.json", environment())

    def go_on(self, rows: int) -> None:
        """Go on after the first `rows` rows of the logs; what a kill left half-written goes."""
        with _writing(self.path):
            self._remove_parts()
        self.history = self.history[:rows]
        self._write_history()

    def save_state(self, state: RunState) -> None:
        """Keep a state to go on from, and the one before it, should this one be damaged."""
        with _writing(self.path):
            if self._state.exists():
                self._state.replace(self._state_before)
        save_state(self._state, state)

    def newest_state(self, note: Callable[[str], None]) -> RunState:
        """The newest state that is whole.

        Args:
            note: told where a damaged one is passed over.

        Raises:
            ConfigError: none was saved.
            ModelFileError: none is whole.
        """
        paths = [path for path in (self._state, self._state_before) if path.exists()]
        if not paths:
            raise ConfigError(
                f"expected the state of a run in {self.path}, but there is no {self._state.name}: "
                "the run was ended before its first step; start it again with --overwrite."
            )
        for path in paths[:-1]:
            try:
                return load_state(path)
            except ModelFileError:
                note(
                    f"{path} is damaged, so that the run goes on from the state before it, "
                    f"{paths[-1].name}; nothing is lost but time."
                )
        return load_state(paths[-1])

    def drop_states(self) -> None:
        """The run is finished: nothing is left to go on with."""
        with _writing(self.path):
            self._state_before.unlink(missing_ok=True)
            self._state.unlink(missing_ok=True)

    def log(self, **row: float) -> None:
        """Add a row: values by their columns, those of scores behind the others."""
        self.history.append(row)
        self._write_history()

    def _read_history(self) -> list[dict[str, float]]:
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [
                {name: _number(text) for name, text in row.items() if text}
                for row in csv.DictReader(file)
            ]

    def _write_history(self) -> None:
        text = io.StringIO()
        columns = list(dict.fromkeys([*COLUMNS, *(name for row in self.history for name in row)]))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self.path / "metrics.csv", text.getvalue())

    def _remove_parts(self) -> None:
        for name in _FILES:
            for part in self.path.glob(f".{name}.*.part"):
                part.unlink(missing_ok=True)


class WatchedFolder(RunFolder):
    """A run's folder for the processes that leave it to the first one to write."""

    def alone(self) -> AbstractContextManager[None]:
        """Leave that to the first process, too."""
        return contextlib.nullcontext()

    def start(self, config: dict[str, Any], recipe: str = "") -> None:
        """Write nothing."""

    def go_on(self, rows: int) -> None:
        """Keep the first `rows` rows of the history."""
        self.history = self.history[:rows]

    def log(self, **row: float) -> None:
        """Keep a row."""
        self.history.append(row)

    def save_state(self, state: RunState) -> None:
        """Write nothing."""

    def drop_states(self) -> None:
        """Remove nothing."""


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise could_not_write(path, error) from error


def environment() -> dict[str, Any]:
    """Date, machine, processes that train together, versions and the command that was typed."""
    program = Path(sys.argv[0])
    module = program.name == "__main__.py"  # started by python -m
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
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "system": machine.system(),
        "python": sys.version.split()[0],
        "packages": found,
        "command": " ".join([program.parent.name if module else program.name, *sys.argv[1:]]),
    }
