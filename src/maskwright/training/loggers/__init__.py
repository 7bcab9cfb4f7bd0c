"""Where a run's figures go beside its progress bar: one file a destination, all of them callbacks.

`LOGS` lists those that can be chosen. metrics.csv is written always: resuming reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maskwright.core.errors import ConfigError
from maskwright.core.settings import nearest
from maskwright.training.callbacks import Callback
from maskwright.training.loggers.rows import LOG_EVERY, RowLog
from maskwright.training.loggers.table import Table


def _tensorboard() -> Callback:
    from maskwright.training.loggers.tensorboard import TensorBoard

    return TensorBoard()


def _mlflow() -> Callback:
    from maskwright.training.loggers.mlflow import MLflow

    return MLflow()


def _wandb() -> Callback:
    from maskwright.training.loggers.wandb import WeightsAndBiases

    return WeightsAndBiases()


LOGS: dict[str, tuple[Callable[[], Callback] | None, str]] = {
    "csv": (None, ""),
    "tensorboard": (_tensorboard, "tensorboard"),
    "mlflow": (_mlflow, "'maskwright[mlflow]'"),
    "wandb": (_wandb, "'maskwright[wandb]'"),
}
"""Name -> what makes the log, and what pip installs for it; "csv" is the run's own."""

DEFAULT_LOGS = ("csv", "tensorboard")

__all__ = ["DEFAULT_LOGS", "LOGS", "LOG_EVERY", "RowLog", "Table", "open_logs"]


def open_logs(names: Sequence[str]) -> list[Callback]:
    """The logs of these names, ready for a run; those of "csv" are the run's own.

    Raises:
        ConfigError: an unknown name, or a package that is not installed.
    """
    for name in names:
        if name not in LOGS:
            raise ConfigError(
                f"no log {name!r}; {nearest(name, LOGS)} Choose among {', '.join(LOGS)}."
            )
    made = (_make(name) for name in dict.fromkeys(names))
    return [log for log in made if log is not None]


def _make(name: str) -> Callback | None:
    make, package = LOGS[name]
    try:
        return make() if make is not None else None
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"logging to {name} needs {error.name}, which is not installed; run pip install "
            f"{package}."
        ) from error
