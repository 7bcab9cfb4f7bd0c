"""The loop: a data set and settings -> a run folder with weights that are scored."""

from __future__ import annotations

from maskwright.training.config import TrainConfig, parse_duration
from maskwright.training.loop import TrainResult, train
from maskwright.training.progress import Silent, Terminal
from maskwright.training.run_folder import RunFolder, environment
from maskwright.training.schedule import rate_factor

__all__ = [
    "RunFolder",
    "Silent",
    "Terminal",
    "TrainConfig",
    "TrainResult",
    "environment",
    "parse_duration",
    "rate_factor",
    "train",
]
