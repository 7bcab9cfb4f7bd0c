"""A torch network as what `runtimes.Predictor` runs: numpy in, numpy out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Network


def deploy_run(
    network: Network, deploy: Callable[[Tensor], dict[str, Tensor]] | None = None
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The network's deploy path as a function of uint8 RGB [1, 3, H, W], or what it `expects`.

    Without gradients, in evaluation mode and channels-last, on the network's device. Each module's
    own mode is given back after every call, so that it can be used in the middle of training.

    Args:
        network: whose deploy path it is.
        deploy: what runs in its place, such as `network.deploy_probabilities` or
            `torch.compile(network.deploy)`.
    """
    answer = network.deploy if deploy is None else deploy

    def run(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        images = torch.from_numpy(images_B3HW).to(network.mean.device)
        images = images.contiguous(memory_format=torch.channels_last)
        with evaluating(network), torch.inference_mode():
            outputs = answer(images)
        return {name: output.cpu().numpy() for name, output in outputs.items()}

    return run


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards each module is in the mode it was in."""
    training = [module for module in network.modules() if module.training]
    try:
        if training:
            network.eval()
        yield
    finally:
        for module in training:
            module.training = True
