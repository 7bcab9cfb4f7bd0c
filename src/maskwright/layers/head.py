"""The last layers of a fully convolutional network."""

from __future__ import annotations

from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct
from maskwright.layers.separable import SeparableConvNormAct


class PixelClassifier(nn.Module):
    """A 3x3 convolution block, dropout of whole channels, a 1x1 convolution to the classes.

    Args:
        in_channels: C of the features.
        width: C between the two convolutions.
        classes: K.
        dropout: probability, in training, that a channel of the width is zeroed.
        kernels: sides of the two convolutions.
        separable: the first, a 3x3, is depth-wise separable.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        classes: int,
        dropout: float = 0.0,
        kernels: tuple[int, int] = (3, 1),
        separable: bool = False,
    ) -> None:
        super().__init__()
        first, last = kernels
        self.conv: nn.Module = (
            SeparableConvNormAct(in_channels, width)
            if separable
            else ConvNormAct(in_channels, width, first)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, classes, last, padding=last // 2)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, C, h, w] -> logits [B, K, h, w]."""
        return self.classify(self.dropout(self.conv(features_BChw)))
