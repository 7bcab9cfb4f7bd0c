"""Batch norm over the batch of all processes: Ioffe and Szegedy, ICML 2015, arXiv 1502.03167.

torch's SyncBatchNorm wants a GPU; this needs none. It takes the place of the function that every
batch norm calls, so that networks keep their modules and the names of their weights.

Legend: B images of this process, C channels, P processes; ... what else there is, such as h w.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SyncedBatchStatistics(TorchFunctionMode):
    """Inside, batch norms in training normalise by mean and variance of all processes' images.

    All processes must run the same layers in the same order. Of one process, nothing is changed.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is F.batch_norm:
            return synced_batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def synced_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` over the batch of all processes; its names, for keywords.

    The processes may have different numbers of images.

    Args:
        input: [B, C, ...] of this process.
        running_mean: [C], moved in place in training; or None.
        running_var: [C], likewise, by the unbiased variance.
        weight: [C] or None.
        bias: [C] or None.
        training: normalise by the batch; else by the running statistics.
        momentum: share of the batch in the running statistics.
        eps: added to the variance.

    Raises:
        ValueError: all processes together have one value a channel.
    """
    alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
    if alone or not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    with torch.no_grad():
        count, mean_C, var_C = _whole_batch(input)
        if count <= 1:
            raise ValueError(f"expected more than 1 value per channel, got {input.shape}")
        if running_mean is not None:
            running_mean.lerp_(mean_C.to(running_mean.dtype), momentum)
        if running_var is not None:
            unbiased_C = var_C * (count / (count - 1))
            running_var.lerp_(unbiased_C.to(running_var.dtype), momentum)
    return _BatchNorm.apply(input, weight, bias, mean_C, var_C, count, eps)


def _whole_batch(own_BC: Tensor) -> tuple[float, Tensor, Tensor]:
    """Values a channel, mean [C] and biased variance [C] over all processes.

    Means and squared deviations of parts are combined by Chan, Golub and LeVeque (1979), eq. 2.1,
    which loses no digits to large means.
    """
    own_BC = _wide(own_BC)
    count = own_BC.numel() // own_BC.shape[1]
    var_C, mean_C = torch.var_mean(own_BC, _all_but_channels(own_BC), correction=0)
    own = torch.cat([mean_C.new_tensor([count]), mean_C, var_C])
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    all_P = torch.stack(parts)
    count_P1, mean_PC, var_PC = all_P.split([1, len(mean_C), len(mean_C)], dim=1)
    total = count_P1.sum()
    mean_C = (count_P1 * mean_PC).sum(0) / total
    var_C = (count_P1 * (var_PC + (mean_PC - mean_C) ** 2)).sum(0) / total
    return float(total), mean_C, var_C


class _BatchNorm(torch.autograd.Function):
    """Normalise by given statistics that depend on every process's input."""

    @staticmethod
    def forward(
        ctx: Any,
        own_BC: Tensor,
        weight_C: Tensor | None,
        bias_C: Tensor | None,
        mean_C: Tensor,
        var_C: Tensor,
        count: float,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(own_BC, weight_C, mean_C, (var_C + eps).rsqrt())
        ctx.count = count
        return torch.batch_norm(own_BC, weight_C, bias_C, mean_C, var_C, False, 0.0, eps, False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        own_BC, weight_C, mean_C, inverse_C = ctx.saved_tensors
        gradient_BC, dims = _wide(gradients[0]), _all_but_channels(own_BC)
        normal_BC = (_wide(own_BC) - _spread(mean_C, own_BC)) * _spread(inverse_C, own_BC)
        # the gradients of weight and bias are this process's part: DDP takes care of the others'
        weight_grad_C = (gradient_BC * normal_BC).sum(dims)
        bias_grad_C = gradient_BC.sum(dims)
        means_2C = torch.stack([weight_grad_C, bias_grad_C])
        dist.all_reduce(means_2C)
        along_C, mean_grad_C = means_2C / ctx.count
        scale_C = inverse_C if weight_C is None else inverse_C * weight_C
        input_grad_BC = _spread(scale_C, own_BC) * (
            gradient_BC - _spread(mean_grad_C, own_BC) - normal_BC * _spread(along_C, own_BC)
        )
        _, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        return (
            input_grad_BC.to(own_BC.dtype),
            weight_grad_C if needs_weight else None,
            bias_grad_C if needs_bias else None,
            *(None,) * 4,
        )


def _wide(tensor: Tensor) -> Tensor:
    """Statistics of half precision are taken in float32."""
    return tensor.float() if tensor.dtype in {torch.bfloat16, torch.float16} else tensor


def _all_but_channels(tensor: Tensor) -> list[int]:
    return [dim for dim in range(tensor.ndim) if dim != 1]


def _spread(values_C: Tensor, like_BC: Tensor) -> Tensor:
    return values_C.view(1, -1, *(1,) * (like_BC.ndim - 2))
