"""The commands as functions, under the commands' names and with their defaults.

`import maskwright` offers them at the top; the command line calls the same ones. They import torch
only where a checkpoint or a training needs it. `maskwright.train` and `maskwright.export` stand in
the rooms whose whole work they are (`training.by_name`, `export.by_name`).
"""

from __future__ import annotations

from maskwright.api.compare import compare
from maskwright.api.convert import convert
from maskwright.api.evaluate import Evaluation, evaluate
from maskwright.api.models import is_model, open_predictor, refine_answers

__all__ = [
    "Evaluation",
    "compare",
    "convert",
    "evaluate",
    "is_model",
    "open_predictor",
    "refine_answers",
]
