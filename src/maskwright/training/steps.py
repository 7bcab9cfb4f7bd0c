"""The parts of one training step that hold no state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from maskwright.architectures.contract import Network
from maskwright.data.loader import Batch
from maskwright.training.speed import mixed_precision


def seed_step(seed: int, step: int, process: int = 0) -> None:
    """Make what networks draw (dropout, drop path) a pure function of seed, step and process."""
    entropy = (seed, 2, step, process) if process else (seed, 2, step)
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def backward(
    network: Network,
    batch: Batch,
    bf16: bool,
    scale: float = 1.0,
    forward: Callable[[Tensor], Mapping[str, Tensor]] | None = None,
) -> float:
    """Forward, loss and backward of a batch; gradients are added to what is there.

    Args:
        network: in training mode.
        batch: images and truth.
        bf16: run convolutions and matrix products in bf16 (autocast).
        scale: factor on the gradients, for accumulation.
        forward: what to call for the network's outputs, where many processes train it together;
            None calls the network.

    Returns:
        The total loss, unscaled.
    """
    images_B3HW = network.normalise(batch.images_B3HW)
    with mixed_precision(bf16):
        outputs = (forward or network)(images_B3HW)
    total = network.losses(outputs, batch.targets)["total"]
    (total * scale).backward()
    return float(total.detach())
