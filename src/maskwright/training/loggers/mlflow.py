"""The figures and settings for MLflow: `mlflow ui`, or a server of your own.

They go where MLFLOW_TRACKING_URI says, and without it into ./mlruns. The experiment is that of
MLFLOW_EXPERIMENT_NAME, or "maskwright". MLflow's telemetry is off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# before the import: MLflow reads them then
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from maskwright.training.callbacks import RunStart
from maskwright.training.loggers.rows import RowLog, flat

_MOST_PARAMS = 100  # in one call
_LONGEST = 500  # characters of a value that every store takes


class MLflow(RowLog):
    """One MLflow run of the run folder's name; a resumed run makes another, with its history."""

    def open(self, run: RunStart) -> None:
        """Make the experiment, where it is new, and the run with its settings."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").resolve().as_uri()
        if uri.startswith("file:") or "://" not in uri:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for it
        self._client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "maskwright"
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        made = self._client.create_run(experiment, run_name=run.folder.resolve().name)
        self._id = made.info.run_id
        params = [Param(name, str(v)[:_LONGEST]) for name, v in flat(run.settings).items()]
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._id, params=params[first : first + _MOST_PARAMS])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One metric a figure."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, result: Any) -> None:
        """Say how it ended: FINISHED, KILLED by Ctrl-C, or FAILED."""
        status = "FAILED" if result is None else "KILLED" if result.interrupted else "FINISHED"
        self._client.set_terminated(self._id, status)
