"""The last layers of a fully convolutional network."""

from __future__ import annotations

from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct


class PixelClassifier(nn.Module):
    """A 3x3 convolution block, dropout of whole channels, a 1x1 convolution to the classes.

    Args:
        in_channels: C of the features.
        width: C between the two convolutions.
        classes: K.
        dropout: probability, in training, that a channel of the width is zeroed.
    """

    def __init__(self, in_channels: int, width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = ConvNormAct(in_channels, width)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, C, h, w] -> logits [B, K, h, w]."""
        return self.classify(self.dropout(self.conv(features_BChw)))
