"""The parts of one training step that hold no state."""

from __future__ import annotations

import numpy as np
import torch

from maskwright.architectures.contract import Network
from maskwright.data.loader import Batch
from maskwright.training.speed import mixed_precision


def seed_step(seed: int, step: int) -> None:
    """Make what networks draw in a step (dropout, drop path) a pure function of seed and step."""
    torch.manual_seed(int(np.random.SeedSequence((seed, 2, step)).generate_state(1)[0]))


def backward(network: Network, batch: Batch, bf16: bool, scale: float = 1.0) -> float:
    """Forward, loss and backward of a batch; gradients are added to what is there.

    Args:
        network: in training mode.
        batch: images and truth.
        bf16: run convolutions and matrix products in bf16 (autocast).
        scale: factor on the gradients, for accumulation.

    Returns:
        The total loss, unscaled.
    """
    images_B3HW = network.normalise(batch.images_B3HW)
    with mixed_precision(bf16):
        outputs = network(images_B3HW)
    total = network.losses(outputs, batch.targets)["total"]
    (total * scale).backward()
    return float(total.detach())
