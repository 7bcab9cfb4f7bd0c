"""Stochastic depth: Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, 1603.09382."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, zeroes a residual branch for some images and scales it up for the others.

    Args:
        rate: probability that an image skips the branch, 0 <= rate < 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch_B: Tensor) -> Tensor:
        """[B, ...] -> the same shape, the same expectation."""
        if not self.training or self.rate == 0.0:
            return branch_B
        shape = (branch_B.shape[0], *(1,) * (branch_B.ndim - 1))
        kept_B = torch.rand(shape, device=branch_B.device) >= self.rate
        return branch_B * kept_B / (1.0 - self.rate)

    def extra_repr(self) -> str:
        """The rate, in the printed network."""
        return f"rate={self.rate:g}"
