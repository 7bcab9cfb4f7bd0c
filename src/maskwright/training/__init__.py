"""The loop: a data set and settings -> a run folder with weights that are scored."""

from __future__ import annotations

from maskwright.training.callbacks import Callback, RunStart, Scored
from maskwright.training.checkpoint_predictor import checkpoint_predictor
from maskwright.training.config import TrainConfig, parse_duration
from maskwright.training.initial_weights import find_weights, read_initial_weights
from maskwright.training.loggers import DEFAULT_LOGS, LOGS, RowLog
from maskwright.training.processes import one_voice
from maskwright.training.progress import Silent, Terminal
from maskwright.training.recipe import list_settings, read_recipe, resolve
from maskwright.training.result import TrainResult
from maskwright.training.run import resume, train
from maskwright.training.run_folder import RunFolder, environment
from maskwright.training.schedule import rate_factor
from maskwright.training.sizes import suggest_size
from maskwright.training.steps import TrainingStep

__all__ = [
    "DEFAULT_LOGS",
    "LOGS",
    "Callback",
    "RowLog",
    "RunFolder",
    "RunStart",
    "Scored",
    "Silent",
    "Terminal",
    "TrainConfig",
    "TrainResult",
    "TrainingStep",
    "checkpoint_predictor",
    "environment",
    "find_weights",
    "list_settings",
    "one_voice",
    "parse_duration",
    "rate_factor",
    "read_initial_weights",
    "read_recipe",
    "resolve",
    "resume",
    "suggest_size",
    "train",
]
