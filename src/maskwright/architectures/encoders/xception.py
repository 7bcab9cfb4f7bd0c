"""Xception: Deep Learning with Depthwise Separable Convolutions, with output strides.

Francois Chollet, CVPR 2017, arXiv 1610.02357.

Notable: every convolution past the stem is depth-wise separable; residual blocks of two or three of
them, an activation before each; a long middle flow at one size.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map; a number
behind h w is the stride.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.encoders.strides import plan
from maskwright.architectures.renaming import rename
from maskwright.architectures.sizes import require_lengths
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise
from maskwright.layers.separable import SeparableConvNormAct


@dataclass(frozen=True, kw_only=True)
class XceptionConfig:
    """Sizes; the defaults are those of figure 5.

    Attributes:
        stem: C of the two ordinary convolutions.
        entry: C of the entry flow's three blocks (strides 4, 8, 16).
        middle: blocks of the middle flow.
        leave: C of the exit flow: its block, and the two convolutions behind it.
        output_stride: of the deepest features: 8, 16 or 32.
        cropped: no zeros around the stem, one pixel of them around the last two convolutions
            whatever their dilation, and no norm behind the last, as VainF/DeepLabV3Plus-Pytorch has
            it; features get smaller by some pixels then.
    """

    stem: tuple[int, ...] = (32, 64)
    entry: tuple[int, ...] = (128, 256, 728)
    middle: int = 8
    leave: tuple[int, ...] = (1024, 1536, 2048)
    output_stride: int = 32
    cropped: bool = False

    def __post_init__(self) -> None:
        require_lengths(self, stem=2, entry=3, leave=3)


class Xception(Encoder):
    """Entry, middle and exit flow (figure 5); features at strides 2, 4, 8, 16, 32."""

    def __init__(self, config: XceptionConfig) -> None:
        super().__init__()
        steps = plan((2, 2, 2, 2, 2), config.output_stride, dilate_first=True)
        strides, dilations = zip(*((step.stride, step.dilation) for step in steps))
        first, second = config.stem
        padding = 0 if config.cropped else None
        self.stem = nn.Sequential(
            ConvNormAct(3, first, stride=2, padding=padding),
            ConvNormAct(first, second, padding=padding),
        )
        one, two, wide = config.entry
        self.entry = nn.ModuleList(
            (
                _Block((second, one, one), strides[1], dilations[1], start_with_relu=False),
                _Block((one, two, two), strides[2], dilations[2]),
                _Block((two, wide, wide), strides[3], dilations[3]),
            )
        )
        self.middle = nn.Sequential(
            *(_Block((wide,) * 4, 1, dilations[3]) for _ in range(config.middle))
        )
        third, fourth, deepest = config.leave
        tail = 1 if config.cropped else dilations[4]
        closing = (None, None) if config.cropped else (nn.BatchNorm2d, nn.ReLU)
        self.leave = nn.Sequential(
            _Block((wide, wide, third), strides[4], dilations[4]),
            SeparableConvNormAct(third, fourth, dilations[4], tail),
            SeparableConvNormAct(fourth, deepest, dilations[4], tail, *closing),
        )
        self.channels = (second, one, two, wide, deepest)
        self.strides = tuple(step.reached for step in steps)
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> five feature maps, finest first."""
        features = [self.stem(images_B3HW)]
        for block in self.entry:
            features.append(block(features[-1]))
        features[-1] = self.middle(features[-1])
        return [*features, self.leave(features[-1])]


class _Block(nn.Module):
    """Separable convolutions in a row, an activation before each, pooled; a projected shortcut."""

    def __init__(
        self, widths: Sequence[int], stride: int, dilation: int, start_with_relu: bool = True
    ) -> None:
        super().__init__()
        self.start_with_relu = start_with_relu
        self.stride = stride
        self.convs = nn.ModuleList(
            SeparableConvNormAct(inside, outside, dilation, activation=None)
            for inside, outside in pairwise(widths)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or widths[0] != widths[-1]:
            self.shortcut = ConvNormAct(widths[0], widths[-1], 1, stride, activation=None)

    def forward(self, features_BChw: Tensor) -> Tensor:
        branch_BChw = features_BChw
        for number, conv in enumerate(self.convs):
            if number or self.start_with_relu:
                branch_BChw = F.relu(branch_BChw)
            branch_BChw = conv(branch_BChw)
        if self.stride != 1:
            branch_BChw = F.max_pool2d(branch_BChw, 3, self.stride, padding=1)
        return branch_BChw + self.shortcut(features_BChw)


_NAMES = (
    (r"^conv1\.", "stem.0.conv."),
    (r"^bn1\.", "stem.0.norm."),
    (r"^conv2\.", "stem.1.conv."),
    (r"^bn2\.", "stem.1.norm."),
    (r"^(conv|bn)3\.", r"leave.1.\1."),
    (r"^(conv|bn)4\.", r"leave.2.\1."),
    (r"^(leave\.\d)\.bn\.", r"\1.norm."),
    (r"^(leave\.\d)\.conv\.", r"\1."),
    (r"\.skip\.", ".shortcut.conv."),
    (r"\.skipbn\.", ".shortcut.norm."),
    # a block's sequence counts activations too; the first block starts without one
    *(
        rule
        for number in range(3)
        for rule in (
            (rf"^entry\.0\.rep\.{3 * number}\.", f"entry.0.convs.{number}."),
            (rf"^entry\.0\.rep\.{3 * number + 1}\.", f"entry.0.convs.{number}.norm."),
            (rf"\.rep\.{3 * number + 1}\.", f".convs.{number}."),
            (rf"\.rep\.{3 * number + 2}\.", f".convs.{number}.norm."),
        )
    ),
    (r"\.conv1\.", ".depthwise."),
)


def from_reference(weights: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Names of VainF/DeepLabV3Plus-Pytorch, which are those of Cadene's Xception, -> ours.

    Args:
        weights: of an Xception alone; its classifier is left out.
        prefix: put before every name, such as "encoder.".
    """
    features = {
        name: tensor
        for name, tensor in weights.items()
        if not name.startswith(("fc.", "last_linear."))
    }
    numbers = [int(match[1]) for name in features if (match := re.match(r"block(\d+)\.", name))]
    last = max(numbers, default=0)
    blocks = [(rf"^block{number}\.", f"{_place(number, last)}.") for number in set(numbers)]
    return {prefix + name: tensor for name, tensor in rename(features, *blocks, *_NAMES).items()}


def _place(number: int, last: int) -> str:
    """The references count all blocks through, from 1."""
    if number <= 3:
        return f"entry.{number - 1}"
    return f"middle.{number - 4}" if number < last else "leave.0"
