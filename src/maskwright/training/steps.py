"""One training step: images and their truth -> losses -> gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Network
from maskwright.data.loader import Batch
from maskwright.losses.targets import Targets
from maskwright.training.precision import Precision

Step = Callable[[Tensor, Targets], Mapping[str, Tensor]]
"""(uint8 images B3HW, targets) -> losses by name, "total" among them."""


class TrainingStep(nn.Module):
    """A network with its losses as one module: what autocast, DDP and torch.compile wrap.

    Heads that need the truth run inside, and so does every sum over processes.

    Attributes:
        network: in training mode.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_B3HW: Tensor, targets: Targets) -> Mapping[str, Tensor]:
        """Losses by name, "total" among them; their sums are kept in float32.

        Args:
            images_B3HW: as they come from the loader, RGB 0..255.
            targets: in the same pixels, on the same device.
        """
        return self.losses(self.outputs(images_B3HW, targets), targets)

    def outputs(self, images_B3HW: Tensor, targets: Targets) -> Mapping[str, Tensor]:
        """The first half: every head's raw tensors."""
        return self.network.training_outputs(self.network.normalise(images_B3HW), targets)

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> Mapping[str, Tensor]:
        """The second half, outside autocast."""
        device = next(iter(outputs.values())).device
        with torch.autocast(device.type, enabled=False):
            return self.network.losses(outputs, targets)


def seed_step(seed: int, step: int, process: int = 0) -> None:
    """Make what networks draw (dropout, drop path) a pure function of seed, step and process."""
    entropy = (seed, 2, step, process) if process else (seed, 2, step)
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def backward(step: Step, batch: Batch, precision: Precision, scale: float = 1.0) -> Tensor:
    """Losses of a batch and their gradients, which are added to what is there.

    Args:
        step: a `TrainingStep`, or what wraps it.
        batch: images and truth, on the step's device.
        precision: what the network computes in.
        scale: factor on the gradients, for accumulation.

    Returns:
        The total loss, unscaled; a scalar that may still be under way on its device.
    """
    with precision.forward():
        total = step(batch.images_B3HW, batch.targets)["total"]
    precision.backward(total * scale)
    return total.detach()
