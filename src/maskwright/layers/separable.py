"""Depth-wise separable convolution: Chollet, Xception, CVPR 2017, arXiv 1610.02357."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class SeparableConvNormAct(nn.Module):
    """A 3x3 convolution of each channel by itself, a 1x1 across them, normalisation, activation.

    Nothing stands between the two convolutions. Sub-modules are named `depthwise`, `pointwise`,
    `norm` and `act`; an absent one is `nn.Identity` and has no entries in the state dict.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        dilation: distance between the taps of the 3x3.
        padding: zeros on each side; None keeps the size.
        norm: class of the normalisation, called with (out_channels).
        activation: class of the activation, called with nothing.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dilation: int = 1,
        padding: int | None = None,
        norm: Callable[..., nn.Module] | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
    ) -> None:
        super().__init__()
        padding = dilation if padding is None else padding
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels,
            3,
            padding=padding,
            dilation=dilation,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.Identity() if norm is None else norm(out_channels)
        self.act = nn.Identity() if activation is None else activation()

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, in_channels, h, w] -> [B, out_channels, h', w']."""
        return self.act(self.norm(self.pointwise(self.depthwise(features_BChw))))
