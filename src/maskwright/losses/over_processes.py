"""Sums over the processes that share a batch, so that a loss is that of the whole batch.

Each process then has the loss of the whole batch, and its backward pass gives the gradient of the
sum of all processes' losses by its own part: the mean over the processes, which is what DDP takes,
is the gradient that one process would have found.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_processes(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor summed over the processes, in one message; of one process, the tensors as given.

    Differentiable. All processes must call it equally often, with equal shapes.

    Args:
        tensors: of one floating dtype.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensors
    total_N = _Sum.apply(torch.cat([tensor.reshape(-1) for tensor in tensors]))
    parts = total_N.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(tensor.shape) for part, tensor in zip(parts, tensors))


class _Sum(torch.autograd.Function):
    """Every process's result depends on every input: the gradients are summed in their turn."""

    @staticmethod
    def forward(_ctx: Any, own_N: Tensor) -> Tensor:
        total_N = own_N.clone()
        dist.all_reduce(total_N)
        return total_N

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        total_N = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total_N)
        return total_N
