"""The encoders of Darknet's small detectors: that of YOLOv4-tiny, and plain chains.

Chien-Yao Wang, Alexey Bochkovskiy, Hong-Yuan Mark Liao: Scaled-YOLOv4: Scaling Cross Stage Partial
Network, CVPR 2021, arXiv 2011.08036, section 4.3 (YOLOv4-tiny); Joseph Redmon, Ali Farhadi:
YOLO9000, CVPR 2017, arXiv 1612.08242 (tiny-YOLOv2); Rachel Huang, Jonathan Pedoeem, Cuixian Chen:
YOLO-LITE, IEEE Big Data 2018, arXiv 1811.05588, table 3.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise

LeakyConv = partial(ConvNormAct, activation=partial(nn.LeakyReLU, 0.1))
"""Darknet's convolution: batch norm and a leaky ReLU of slope 0.1 behind it."""


@dataclass(frozen=True, kw_only=True)
class TinyCSPConfig:
    """Sizes of YOLOv4-tiny's encoder.

    Attributes:
        width: C of the first convolution; the second has twice, and each block twice the last's.
        blocks: cross stage partial blocks.
        levels: how many of the feature maps are wanted, finest first; 0: all.
    """

    width: int = 32
    blocks: int = 3
    levels: int = 0


class TinyCSP(Encoder):
    """Features at strides 2, 4, 8, 16, 32; inputs are RGB 0..1 as they are.

    Those of the blocks are of two halves: the block's first convolution, then its result.
    """

    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def __init__(self, config: TinyCSPConfig) -> None:
        super().__init__()
        width, every = config.width, config.blocks + 2
        levels = min(config.levels or every, every)
        blocks = min(config.blocks, levels - 1)
        widths = [2 * width * 2**block for block in range(blocks)]
        self.stem = LeakyConv(3, width, stride=2)
        self.second = LeakyConv(width, 2 * width, stride=2) if levels > 1 else None
        self.stages = nn.ModuleList(PartialBlock(one) for one in widths)
        deepest = 2 * width * 2**config.blocks
        self.last = LeakyConv(deepest, deepest) if levels == every else None
        last = [deepest] if self.last is not None else []
        self.channels = tuple([width, *(2 * one for one in widths), *last][:levels])
        self.strides = tuple(2 ** (level + 1) for level in range(len(self.channels)))
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB -> features, finest first; sizes are rounded up."""
        found = [self.stem(images_B3HW)]
        if self.second is None:
            return found
        features_BChw = self.second(found[0])
        for stage in self.stages:
            both_BChw = stage(features_BChw)
            found.append(both_BChw)
            features_BChw = halved(both_BChw)
        if self.last is not None:
            found.append(self.last(features_BChw))
        return found


class PartialBlock(nn.Module):
    """One half of the channels goes through two convolutions; all that was made is kept.

    Args:
        width: C of the input; the output has twice.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.first = LeakyConv(width, width)
        self.inner = nn.ModuleList((LeakyConv(half, half), LeakyConv(half, half)))
        self.merge = LeakyConv(width, width, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, 2 C, h, w]: the first convolution, then the merged rest."""
        first_BChw = self.first(features_BChw)
        older_BChw = self.inner[0](first_BChw[:, first_BChw.shape[1] // 2 :])
        newer_BChw = self.inner[1](older_BChw)
        merged_BChw = self.merge(torch.cat([newer_BChw, older_BChw], dim=1))
        return torch.cat([first_BChw, merged_BChw], dim=1)


def halved(features_BChw: Tensor) -> Tensor:
    """The maxima of 2x2 places; a side of odd length is rounded up, as Darknet does."""
    return F.max_pool2d(features_BChw, 2, 2, ceil_mode=True)


@dataclass(frozen=True, kw_only=True)
class ChainConfig:
    """Sizes of a plain chain; the defaults are those of YOLO-LITE.

    Attributes:
        widths: C of the convolutions, at strides 1, 2, 4 and so on; several at the last stride.
        norms: for each convolution of the chain, whether batch norm follows; empty: none.
        strided: strides of 2 between them; later ones of `widths` share the deepest.
        pool_last: whether maxima of 2x2 places, one place apart, follow the first convolution at
            the deepest stride (tiny-YOLOv2).
        levels: how many of the feature maps are wanted, finest first; 0: all.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 128, 256)
    norms: tuple[bool, ...] = ()
    strided: int = 5
    pool_last: bool = False
    levels: int = 0


class Chain(Encoder):
    """Features at strides 1, 2, 4, 8, 16, 32; inputs are RGB 0..1 as they are."""

    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def __init__(self, config: ChainConfig) -> None:
        super().__init__()
        every = config.strided + 1
        levels = min(config.levels or every, every)
        count = len(config.widths) if levels == every else levels
        self.strided, self.pool_last = config.strided, config.pool_last
        norms = config.norms or (False,) * len(config.widths)
        inside = (3, *config.widths)
        self.convs = nn.ModuleList(
            LeakyConv(before, width, bias=not norm, norm=nn.BatchNorm2d if norm else None)
            for before, width, norm in zip(inside, config.widths[:count], norms)
        )
        finer = config.widths[: min(config.strided, levels)]
        self.channels = (*finer, config.widths[count - 1]) if levels > config.strided else finer
        self.strides = tuple(2**level for level in range(len(self.channels)))
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB -> features, finest first; sizes are rounded up."""
        features_BChw, found = images_B3HW, []
        for number, conv in enumerate(self.convs):
            if 0 < number <= self.strided:
                features_BChw = halved(features_BChw)
            elif self.pool_last and number == self.strided + 1:
                # as Darknet pads: below and on the right, with what is no maximum
                padded_BChw = F.pad(features_BChw, (0, 1, 0, 1), value=-torch.inf)
                features_BChw = F.max_pool2d(padded_BChw, 2, 1)
            features_BChw = conv(features_BChw)
            if number < self.strided:
                found.append(features_BChw)
        return found if len(self.convs) <= self.strided else [*found, features_BChw]


YOLO_LITE = ChainConfig()
TINY_YOLOV2 = ChainConfig(
    widths=(16, 32, 64, 128, 256, 512, 1024, 1024), norms=(True,) * 8, pool_last=True
)
"""With the batch norms of the published file."""
