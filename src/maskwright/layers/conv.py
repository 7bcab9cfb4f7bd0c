"""Convolution, normalisation, activation: the block that every convolutional network repeats."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class ConvNormAct(nn.Module):
    """Convolution, then normalisation, then activation; either of the last two may be absent.

    Sub-modules are named `conv`, `norm` and `act`; an absent one is `nn.Identity` and has no
    entries in the state dict.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel: side of the square kernel.
        stride: step in both directions.
        padding: zeros on each side; None keeps the size at stride 1 (odd kernels).
        dilation: distance between the kernel's taps.
        groups: of the convolution; in_channels for a depth-wise one.
        bias: of the convolution.
        norm: class of the normalisation, called with (out_channels, eps=eps).
        activation: class of the activation, called with nothing.
        eps: of the normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: Callable[..., nn.Module] | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if padding is None:
            padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, bias
        )
        self.norm = nn.Identity() if norm is None else norm(out_channels, eps=eps)
        self.act = nn.Identity() if activation is None else activation()

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, in_channels, h, w] -> [B, out_channels, h', w']."""
        return self.act(self.norm(self.conv(features_BChw)))
