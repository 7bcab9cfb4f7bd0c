"""What every encoder keeps: image -> features at several strides."""

from __future__ import annotations

from torch import nn

from maskwright.core.errors import ConfigError


class Encoder(nn.Module):
    """A network whose `forward` takes normalised RGB and returns its features, finest first.

    Sizes are rounded up where a stride doesn't divide the image's.

    Attributes:
        channels: C of each feature map, finest first.
        strides: of each, relative to the image.
        mean, std: RGB 0..1 that its ImageNet weights were trained with.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def level(self, stride: int) -> int:
        """Which of the features is the first with this stride.

        Raises:
            ConfigError: none is.
        """
        if stride not in self.strides:
            raise ConfigError(
                f"expected an encoder with features at stride {stride}, got strides {self.strides}."
            )
        return self.strides.index(stride)
