"""What makes a training step fast on a CPU: precision by operation, memory that stays mapped."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


class DepthwiseInFloat32(TorchFunctionMode):
    """Inside, depth-wise convolutions leave autocast on a CPU.

    oneDNN's backward pass of a depth-wise convolution is 3 to 5 times slower in bf16 than in
    float32 (measured on AVX-512 bf16: 5x5, 144 channels, stride 2: 81 against 17 ms), and they
    hold few of a network's operations.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.conv2d and _is_depthwise(args, kwargs):
            images, weight, *rest = args
            bias = rest.pop(0) if rest else kwargs.pop("bias", None)
            with torch.autocast("cpu", enabled=False):
                bias = bias.float() if isinstance(bias, Tensor) else bias
                return func(images.float(), weight.float(), bias, *rest, **kwargs)
        return func(*args, **kwargs)


def _is_depthwise(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if len(args) < 2:
        return False
    groups = args[6] if len(args) > 6 else kwargs.get("groups", 1)
    return groups > 1 and groups == args[0].shape[1]


def keep_memory_mapped() -> bool:
    """Let glibc keep freed memory instead of giving it back after each step.

    A step frees and takes gigabytes; each time, the system would have to clear those pages again
    (measured: 425,000 page faults and a third of the time of a U-Net's step). The process keeps
    its peak memory until it ends.

    Returns:
        Whether it could be set: glibc only.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    huge, pad = 2**31 - 1, 256 << 20
    return bool(
        mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, huge) and mallopt(_M_TOP_PAD, pad)
    )
