"""What must be as it was for a run to go on, and what the user should know where it isn't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from maskwright.core.errors import ConfigError
from maskwright.core.sample import Dataset
from maskwright.training.processes import Processes
from maskwright.training.state import Counters


def require_same_data(settings: Mapping[str, Any], dataset: Dataset, same: bool = True) -> None:
    """Refuse other classes, or other images or masks, than the run was started with.

    Args:
        settings: what the run's config.json holds.
        dataset: to go on with.
        same: whether the fingerprint of images and masks is the same.

    Raises:
        ConfigError: the data differ.
    """
    names, wanted = list(dataset.classes.names), settings.get("classes")
    if names != wanted:
        raise ConfigError(
            f"the run was started with the classes {wanted}, but {dataset.root} has {names}; "
            "resume with the data it was started with, or start another run."
        )
    if not same:
        raise ConfigError(
            f"{dataset.root} has other images or masks than {settings.get('data')} had when the "
            "run was started; resume with the same data, or start another run."
        )


def tell_differences(saved: Counters, processes: Processes, note: Callable[[str], None]) -> None:
    """Say where the weights can't come out bit for bit as without an interruption."""
    for name, before, now in (
        ("device", saved.device, processes.device.type),
        ("processes", saved.processes, processes.count),
        ("threads", saved.threads, torch.get_num_threads()),
        ("torch", saved.torch, torch.__version__),
    ):
        if before != now:
            note(
                f"the run was started with {name} {before}, and goes on with {now}: its weights "
                "may differ in their last bits from those of a run that was never ended."
            )
