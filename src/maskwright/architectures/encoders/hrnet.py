"""HRNet: Deep High-Resolution Representation Learning for Visual Recognition.

Jingdong Wang, Ke Sun, Tianheng Cheng, Borui Jiang, Chaorui Deng, Yang Zhao, Dong Liu, Yadong Mu,
Mingkui Tan, Xinggang Wang, Wenyu Liu, Bin Xiao, TPAMI 2020, arXiv 1908.07919.

Notable: the finest map is never given up. Branches of stride 4, 8, 16 and 32 run side by side, each
stage adds the next coarser one, and every module ends with an exchange: each branch becomes the sum
of all of them, brought to its size.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map; a number
behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.renaming import rename
from maskwright.architectures.sizes import require_lengths
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.enlarge import enlarge
from maskwright.layers.initialise import initialise
from maskwright.layers.residual import BasicBlock, Bottleneck


@dataclass(frozen=True, kw_only=True)
class HRNetSizes:
    """Sizes; the defaults are those of HRNet-W48.

    Attributes:
        widths: C of the branches at strides 4, 8, 16, 32.
        depths: residual blocks of the first stage, then of every branch in the other three stages.
        modules: exchanges in the stages with two, three and four branches.
        stem_width: C of the two strided convolutions.
        first_width: C inside the first stage's bottlenecks; they end with four times as many.
        align_corners: whether coarse maps are enlarged with aligned corners; the authors differ
            from one checkpoint to the next.
        nearest: within the exchanges coarse maps are enlarged by the nearest neighbour, as
            VainF/DeepLabV3Plus-Pytorch does; at the end they are not.
        linear_stem: no activation between the two strided convolutions, as there, too.
    """

    widths: tuple[int, ...] = (48, 96, 192, 384)
    depths: tuple[int, ...] = (4, 4, 4, 4)
    modules: tuple[int, ...] = (1, 4, 3)
    stem_width: int = 64
    first_width: int = 64
    align_corners: bool = False
    nearest: bool = False
    linear_stem: bool = False

    def __post_init__(self) -> None:
        require_lengths(self, widths=4, depths=4, modules=3)


_W18 = (18, 36, 72, 144)
SIZES: dict[str, dict[str, Any]] = {
    "w18-small": {"widths": _W18, "depths": (2, 2, 2, 2), "modules": (1, 3, 2)},
    "w18": {"widths": _W18},
    "w32": {"widths": (32, 64, 128, 256)},
    "w48": {},
}
"""The authors' variants: what differs from the defaults of `HRNetSizes`."""

TINY: dict[str, Any] = {
    "widths": (8, 16, 24, 32),
    "depths": (1, 1, 1, 1),
    "modules": (1, 1, 1),
    "stem_width": 16,
    "first_width": 8,
}
"""For tests."""


class HRNet(nn.Module):
    """Image -> the four branches' features at strides 4, 8, 16, 32 (figure 2)."""

    def __init__(self, sizes: HRNetSizes) -> None:
        super().__init__()
        self.align_corners = sizes.align_corners
        stem, widths = sizes.stem_width, sizes.widths
        between = None if sizes.linear_stem else nn.ReLU
        self.stem = nn.Sequential(
            ConvNormAct(3, stem, stride=2, activation=between), ConvNormAct(stem, stem, stride=2)
        )
        self.first = _blocks(Bottleneck, stem, sizes.first_width, sizes.depths[0])
        wide = sizes.first_width * Bottleneck.expansion
        self.narrow = ConvNormAct(wide, widths[0])
        # each stage opens the next branch from the coarsest one that there is
        self.coarsen = nn.ModuleList(
            ConvNormAct(inside, outside, stride=2)
            for inside, outside in zip((wide, *widths[1:3]), widths[1:])
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(
                _Module(widths[: stage + 2], sizes.depths[stage + 1], sizes) for _ in range(modules)
            )
            for stage, modules in enumerate(sizes.modules)
        )

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> features BChw, finest first; odd sizes are rounded up."""
        return self.branches(self.first(self.stem(images_B3HW)))

    def branches(self, first_BChw4: Tensor) -> list[Tensor]:
        """What the first stage gives -> features BChw, finest first."""
        branches = [self.narrow(first_BChw4)]
        coarsest_BChw = first_BChw4
        for coarsen, stage in zip(self.coarsen, self.stages):
            branches.append(coarsen(coarsest_BChw))
            for module in cast(nn.ModuleList, stage):
                branches = module(branches)
            coarsest_BChw = branches[-1]
        return branches

    def joined(self, images_B3HW: Tensor) -> Tensor:
        """RGB, normalised -> HRNetV2's representation: all branches at stride 4 (figure 4b)."""
        return self.join(self.branches(self.first(self.stem(images_B3HW))))

    def join(self, branches: Sequence[Tensor]) -> Tensor:
        """The branches, finest first -> all of them at the finest one's size."""
        finest_BChw4, *coarser = branches
        size = finest_BChw4.shape[-2:]
        enlarged = [enlarge(features, size, self.align_corners) for features in coarser]
        return torch.cat([finest_BChw4, *enlarged], dim=1)


class HRNetEncoder(HRNet, Encoder):
    """As an exchangeable encoder: the first stage's features, and all branches joined.

    Both are of stride 4; no output stride changes that.
    """

    def __init__(self, sizes: HRNetSizes) -> None:
        super().__init__(sizes)
        self.channels = (Bottleneck.expansion * sizes.first_width, sum(sizes.widths))
        self.strides = (4, 4)
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> two feature maps, of the first stage and of the last."""
        first_BChw4 = self.first(self.stem(images_B3HW))
        return [first_BChw4, self.join(self.branches(first_BChw4))]


class _Module(nn.Module):
    """Residual blocks on every branch, then the exchange (figure 3)."""

    def __init__(self, widths: Sequence[int], depth: int, sizes: HRNetSizes) -> None:
        super().__init__()
        self.align_corners = sizes.align_corners
        self.nearest = sizes.nearest
        self.branches = nn.ModuleList(_blocks(BasicBlock, width, width, depth) for width in widths)
        self.exchange = nn.ModuleList(
            nn.ModuleList(_path(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        worked = [blocks(features) for blocks, features in zip(self.branches, branches)]
        return [
            self._sum(cast(nn.ModuleList, paths), worked, features.shape[-2:])
            for paths, features in zip(self.exchange, worked)
        ]

    def _sum(self, paths: nn.ModuleList, worked: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        terms = [self._enlarge(path(features), size) for path, features in zip(paths, worked)]
        return F.relu(sum(terms[1:], terms[0]))

    def _enlarge(self, features_BChw: Tensor, size: Sequence[int]) -> Tensor:
        if self.nearest:
            return F.interpolate(features_BChw, size=tuple(size), mode="nearest")
        return enlarge(features_BChw, size, self.align_corners)


def _blocks(
    block: type[BasicBlock] | type[Bottleneck], inside: int, width: int, depth: int
) -> nn.Sequential:
    wide = width * block.expansion
    return nn.Sequential(block(inside, width), *(block(wide, width) for _ in range(depth - 1)))


def _path(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """From one branch to another: 1x1 on the way up, strided 3x3 convolutions on the way down."""
    inside, outside = widths[source], widths[target]
    if source == target:
        return nn.Identity()
    if source > target:
        return ConvNormAct(inside, outside, 1, activation=None)
    halvings = [ConvNormAct(inside, inside, stride=2) for _ in range(target - source - 1)]
    return nn.Sequential(*halvings, ConvNormAct(inside, outside, stride=2, activation=None))


_PARTS = (("conv", "conv"), ("bn", "norm"))
_JOINTS = r"encoder\.(?:narrow|coarsen\.\d|stages\.\d\.\d+\.exchange(?:\.\d){2,3})"
_NAMES = (
    *((rf"^{part}{n + 1}\.", f"encoder.stem.{n}.{ours}.") for part, ours in _PARTS for n in (0, 1)),
    (r"^layer1\.", "encoder.first."),
    (r"^transition1\.0\.", "encoder.narrow."),
    *((rf"^transition{n + 1}\.\d\.0\.", f"encoder.coarsen.{n}.") for n in range(3)),
    # VainF/DeepLabV3Plus-Pytorch puts it at once where it belongs
    *((rf"^transition{n + 1}\.", f"encoder.coarsen.{n}.") for n in (1, 2)),
    *((rf"^stage{n + 2}\.", f"encoder.stages.{n}.") for n in range(3)),
    (r"\.fuse_layers\.", ".exchange."),
    (rf"^({_JOINTS})\.0\.(\w+)$", r"\1.conv.\2"),
    (rf"^({_JOINTS})\.1\.(\w+)$", r"\1.norm.\2"),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of the HRNet authors, of a classifier too, or VainF's -> ours, behind "encoder.".

    Their checkpoints hold the training's wrapper: the network as "model." beside the "loss.".
    """
    network = {name: tensor for name, tensor in weights.items() if not name.startswith("loss.")}
    return rename(network, (r"^model\.", ""), *_NAMES)
