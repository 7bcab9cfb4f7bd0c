"""The loop: a data set and settings -> a run folder with weights that are scored."""

from __future__ import annotations

from maskwright.training.checkpoint_predictor import checkpoint_predictor
from maskwright.training.config import TrainConfig, parse_duration
from maskwright.training.first_weights import find_weights, read_first_weights
from maskwright.training.loop import TrainResult, resume, train
from maskwright.training.processes import one_voice
from maskwright.training.progress import Silent, Terminal
from maskwright.training.run_folder import RunFolder, environment
from maskwright.training.schedule import rate_factor
from maskwright.training.sizes import suggest_size

__all__ = [
    "RunFolder",
    "Silent",
    "Terminal",
    "TrainConfig",
    "TrainResult",
    "checkpoint_predictor",
    "environment",
    "find_weights",
    "one_voice",
    "parse_duration",
    "rate_factor",
    "read_first_weights",
    "resume",
    "suggest_size",
    "train",
]
