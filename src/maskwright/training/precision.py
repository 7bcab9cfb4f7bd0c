"""What a network computes in while it trains: float32, bfloat16, or float16 with scaled losses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from maskwright.core.errors import ConfigError
from maskwright.training.speed import DepthwiseInFloat32

PrecisionName = Literal["fp32", "bf16", "fp16"]

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def candidates(device: torch.device) -> tuple[PrecisionName, ...]:
    """The precisions worth trying on a device, the exact one first.

    bf16 keeps float32's range and needs no scaling; fp16 is for cards that lack it.
    """
    if device.type == "cpu":
        return ("fp32", "bf16")
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return ("fp32", "bf16")
    return ("fp32", "fp16")


class Precision:
    """Autocast, and for fp16 a loss scale that grows until gradients overflow, then shrinks.

    Attributes:
        name: "fp32", "bf16" or "fp16".
        device: that the network is on.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        """Choose one.

        Raises:
            ConfigError: fp16 on a processor, which computes it no faster and loses small gradients.
        """
        if name == "fp16" and device.type == "cpu":
            raise ConfigError(
                "expected precision fp32 or bf16 on a CPU, got fp16; it is for graphics cards "
                "(--device cuda)."
            )
        self.name, self.device = name, device
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    @contextlib.contextmanager
    def forward(self) -> Iterator[None]:
        """Inside, convolutions and matrix products run in this precision."""
        if self.name == "fp32":
            yield
            return
        with torch.autocast(self.device.type, _TYPES[self.name]):
            # oneDNN alone is slow there: other devices keep the autocast type
            slow = DepthwiseInFloat32() if self.device.type == "cpu" else contextlib.nullcontext()
            with slow:
                yield

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients, scaled where the precision needs it."""
        self._scaler.scale(loss).backward()

    def update(
        self, optimiser: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], clip: float
    ) -> None:
        """Clip the gradients to a norm (0 leaves them), and let the optimiser use and clear them.

        A step whose scaled gradients overflowed is left out.
        """
        if clip > 0:
            self._scaler.unscale_(optimiser)
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        self._scaler.step(optimiser)
        self._scaler.update()
        optimiser.zero_grad(set_to_none=True)

    def state(self) -> dict[str, float]:
        """The loss scale and how long it has held; empty without one."""
        return dict(self._scaler.state_dict())

    def restore(self, state: dict[str, float]) -> None:
        """Inverse of `state`; that of another precision is left alone."""
        if state and self._scaler.is_enabled():
            self._scaler.load_state_dict(state)
