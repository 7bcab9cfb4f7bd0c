"""Darknet-53.

Joseph Redmon, Ali Farhadi: YOLOv3: An Incremental Improvement, 2018, arXiv 1804.02767, table 1.

Five stages, each a 3x3 convolution of stride 2 and residual pairs of 1x1 and 3x3 convolutions.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise

_Leaky = partial(ConvNormAct, activation=partial(nn.LeakyReLU, 0.1))


@dataclass(frozen=True, kw_only=True)
class Darknet53Config:
    """Sizes; the defaults are table 1's.

    Attributes:
        width: C of the first convolution; each stage has twice the C of what comes before.
        depths: residual pairs of each of the five stages.
        levels: how many of the five feature maps are wanted, finest first; 0: all.
    """

    width: int = 32
    depths: tuple[int, ...] = (1, 2, 8, 8, 4)
    levels: int = 0


class Darknet53(Encoder):
    """Features of the stages, at strides 2, 4, 8, 16, 32; inputs are RGB 0..1 as they are."""

    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def __init__(self, config: Darknet53Config) -> None:
        super().__init__()
        depths = config.depths[: config.levels or len(config.depths)]
        widths = [config.width * 2**stage for stage in range(len(depths) + 1)]
        self.channels = tuple(widths[1:])
        self.strides = tuple(2 ** (stage + 1) for stage in range(len(depths)))
        self.stem = _Leaky(3, config.width)
        self.stages = nn.ModuleList(
            nn.Sequential(_Leaky(before, width, 3, 2), *(_Pair(width) for _ in range(depth)))
            for before, width, depth in zip(widths, widths[1:], depths)
        )
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB -> features, finest first; sizes are rounded up."""
        features_BChw = self.stem(images_B3HW)
        found = []
        for stage in self.stages:
            features_BChw = stage(features_BChw)
            found.append(features_BChw)
        return found


class _Pair(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = _Leaky(width, width // 2, 1)
        self.widen = _Leaky(width // 2, width)

    def forward(self, features_BChw: Tensor) -> Tensor:
        changed_BChw: Tensor = self.widen(self.narrow(features_BChw))
        return features_BChw + changed_BChw
