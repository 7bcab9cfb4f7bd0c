"""Where a run trains: nothing below this room knows which device that is."""

from __future__ import annotations

import os
import re

import torch

from maskwright.core.errors import ConfigError
from maskwright.core.machine import available_memory, processor

FORM = "auto, cpu, cuda, cuda:N or mps"


def find_device(wanted: str = "auto", rank: int = 0) -> torch.device:
    """The device that a word means, on this machine.

    Args:
        wanted: "auto" takes a CUDA card where there is one, then Apple's, then the processor.
        rank: number of this process on this machine: with "auto" and "cuda" each takes a card of
            its own.

    Raises:
        ConfigError: another word, or a device that isn't here.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", wanted):
        raise ConfigError(f"expected a device as {FORM}, got {wanted!r}.")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    apple = torch.backends.mps.is_available()
    if wanted == "auto":
        wanted = "cuda" if cards else "mps" if apple else "cpu"
    if wanted == "cpu":
        return torch.device("cpu")
    if wanted == "mps":
        if not apple:
            raise ConfigError("device mps needs a Mac with Apple's own chip; use --device cpu.")
        return torch.device("mps")
    number = int(wanted.partition(":")[2] or rank)
    if number >= cards:
        raise ConfigError(
            f"expected a device that torch sees, got cuda:{number}, but there "
            f"{'is 1 card' if cards == 1 else f'are {cards} cards'}"
            + ("" if torch.version.cuda else " (this torch was built without CUDA)")
            + "; use --device cpu, or fewer processes."
        )
    return torch.device("cuda", number)


def name_of(device: torch.device) -> str:
    """What the device is called, for messages and records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor() if device.type == "cpu" else "Apple GPU"


def free_memory(device: torch.device) -> int:
    """Bytes that a run may still take on a device."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return available_memory()


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it was given; a clock tells nothing before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def make_deterministic() -> None:
    """Let torch use only algorithms that give the same bits again; where there is none, it raises.

    cuBLAS reads its setting when it is first used, so this comes before any work on a card.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
