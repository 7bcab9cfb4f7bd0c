"""One image sent through a network, for those who look on."""

from __future__ import annotations

import torch

from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import evaluating

SIDE = 64
"""Of the image, in pixels: the smallest that every network takes."""


def probe(network: Network) -> None:
    """Run `forward` on one black image in evaluation mode; nothing in the network changes."""
    some = next(network.parameters())
    images = torch.zeros(
        (1, network.mean.shape[1], SIDE, SIDE), dtype=some.dtype, device=some.device
    )
    with evaluating(network):
        network(images)
