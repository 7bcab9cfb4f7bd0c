"""MobileNets of the second and third generation, with output strides.

Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR
2018, arXiv 1801.04381. Howard et al.: Searching for MobileNetV3, ICCV 2019, arXiv 1905.02244.

Notable: the residual runs between narrow ends. A block widens by a 1x1 convolution, filters each
channel by itself, and projects back without an activation. The third generation adds squeeze and
excitation, 5x5 kernels, hard swish, and a table that a search found.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.encoders.strides import Step, plan
from maskwright.core.errors import ConfigError
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise


@dataclass(frozen=True)
class Row:
    """One line of the papers' tables.

    Attributes:
        kernel: side of the depth-wise convolution.
        expanded: C that it works on.
        outside: C of the output.
        excite: whether squeeze and excitation follows.
        swish: hard swish instead of the ReLU.
        stride: of the depth-wise convolution.
    """

    kernel: int
    expanded: int
    outside: int
    excite: bool
    swish: bool
    stride: int


@dataclass(frozen=True, kw_only=True)
class MobileNetConfig:
    """Sizes; `second_generation` and `third_generation` give those of the papers.

    Attributes:
        rows: the blocks.
        stem: C of the first convolution.
        third: hard swish in the stem and at the end, ReLU elsewhere where a row has no hard swish;
            otherwise ReLU6.
        closing: C of a 1x1 convolution behind the blocks; 0: there is none.
        tap_first: features are taken after a stage's first block, as torchvision does, not after
            its last; the deepest are always the last.
        eps: of the batch norms.
        output_stride: of the deepest features: 8, 16 or 32.
        dilate_first: as `strides.plan` has it.
        pad_early: zeros go around a block's input, before it is widened, and none around the
            stem's, as VainF/DeepLabV3Plus-Pytorch does.
        levels: how many feature maps are wanted, finest first; 0: all. Blocks that only deeper ones
            need are left out.
    """

    rows: tuple[Row, ...]
    stem: int
    third: bool
    tap_first: bool
    eps: float
    output_stride: int = 32
    dilate_first: bool = False
    pad_early: bool = False
    closing: int = 0
    levels: int = 0


_SECOND = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""MobileNetV2, table 2: expansion, C, blocks, stride of each stage."""

_LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
"""MobileNetV3-Large, table 1: as `Row` has it."""

_SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
"""MobileNetV3-Small, table 2."""


def second_generation(
    width: float = 1.0, pad_early: bool = False, closing: bool = False
) -> MobileNetConfig:
    """MobileNetV2 with every C multiplied and rounded to eights.

    Args:
        width: the factor.
        pad_early: as `MobileNetConfig` has it.
        closing: end with the classifier's 1x1 convolution, to 1280 channels or more.
    """
    stem = inside = eights(32 * width)
    rows = []
    for expansion, channels, depth, stride in _SECOND:
        outside = eights(channels * width)
        for block in range(depth):
            step = 1 if block else stride
            rows.append(Row(3, inside * expansion, outside, False, False, step))
            inside = outside
    return MobileNetConfig(
        rows=tuple(rows),
        stem=stem,
        third=False,
        tap_first=False,
        eps=1e-5,
        pad_early=pad_early,
        closing=eights(1280 * max(1.0, width)) if closing else 0,
    )


def third_generation(
    table: Sequence[tuple[int, int, int, bool, bool, int]],
    width: float = 1.0,
    reduced_tail: bool = False,
) -> MobileNetConfig:
    """MobileNetV3 with every C multiplied and rounded to eights.

    Args:
        table: its rows.
        width: the factor.
        reduced_tail: half as many channels from the last stride on, as section 6.4 has it for
            segmentation.
    """
    if reduced_tail:
        last = max(number for number, row in enumerate(table) if row[5] > 1)
        table = [_halved(row, number - last) for number, row in enumerate(table)]
    rows = tuple(
        Row(kernel, eights(expanded * width), eights(outside * width), excite, swish, stride)
        for kernel, expanded, outside, excite, swish, stride in table
    )
    return MobileNetConfig(
        rows=rows,
        stem=eights(16 * width),
        third=True,
        tap_first=True,
        eps=1e-3,
        dilate_first=True,
        closing=6 * rows[-1].outside,
    )


def _halved(
    row: tuple[int, int, int, bool, bool, int], behind_stride: int
) -> tuple[int, int, int, bool, bool, int]:
    """A row as the reduced tail has it; the one with the stride still reads what it did."""
    kernel, expanded, outside, excite, swish, stride = row
    if behind_stride < 0:
        return row
    expanded = expanded // 2 if behind_stride else expanded
    return kernel, expanded, outside // 2, excite, swish, stride


def eights(channels: float) -> int:
    """The nearest multiple of 8, 8 or more, that is at least 0.9 of what was asked for."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


MOBILENETS: dict[str, Callable[[float], MobileNetConfig]] = {
    "mobilenetv2": second_generation,
    "mobilenetv2-1280": partial(second_generation, closing=True),
    "mobilenetv2-pad-early": partial(second_generation, pad_early=True),
    "mobilenetv3-large": partial(third_generation, _LARGE),
    "mobilenetv3-large-reduced": partial(third_generation, _LARGE, reduced_tail=True),
    "mobilenetv3-small": partial(third_generation, _SMALL),
    "mobilenetv3-small-reduced": partial(third_generation, _SMALL, reduced_tail=True),
}
"""Name -> sizes for a width; `dataclasses.replace` sets an output stride."""


class MobileNet(Encoder):
    """Features of a MobileNet: one map for each stride that its blocks pass, finest first."""

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()
        outer = nn.Hardswish if config.third else nn.ReLU6
        padding = 0 if config.pad_early else None
        self.stem = ConvNormAct(
            3, config.stem, stride=2, padding=padding, activation=outer, eps=config.eps
        )
        strides = (2, *(row.stride for row in config.rows))
        steps = plan(strides, config.output_stride, config.dilate_first)
        ends = [config.stem, *(row.outside for row in config.rows)]
        self.taps = _taps(config)
        deepest = self.taps[-1]
        self.blocks = nn.ModuleList(
            _InvertedResidual(inside, row, step, config)
            for inside, row, step in zip(ends, config.rows[:deepest], steps[1:])
        )
        self.channels = tuple(ends[tap] for tap in self.taps)
        self.strides = tuple(steps[tap].reached for tap in self.taps)
        self.closing: nn.Module = nn.Identity()
        if config.closing and deepest == len(config.rows):
            self.closing = ConvNormAct(
                ends[-1], config.closing, 1, activation=outer, eps=config.eps
            )
            self.channels = (*self.channels[:-1], config.closing)
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> feature maps, finest first."""
        features = self.stem(images_B3HW)
        found = [features] if 0 in self.taps else []
        for number, block in enumerate(self.blocks, start=1):
            features = block(features)
            if number in self.taps:
                found.append(features)
        return [*found[:-1], self.closing(found[-1])]


def _taps(config: MobileNetConfig) -> tuple[int, ...]:
    """After how many blocks features leave: once for every stride, as many as are wanted."""
    strided = [number for number, row in enumerate(config.rows, start=1) if row.stride > 1]
    taps = [0, *strided[:-1]] if config.tap_first else [number - 1 for number in strided]
    taps.append(len(config.rows))
    if not 0 <= config.levels <= len(taps):
        raise ConfigError(
            f"this MobileNet has {len(taps)} levels of features, got {config.levels}; 0 takes all."
        )
    return tuple(taps[: config.levels or len(taps)])


class _InvertedResidual(nn.Module):
    """Figure 3 of MobileNetV2, figure 4 of MobileNetV3: wide inside, narrow outside."""

    def __init__(self, inside: int, row: Row, step: Step, config: MobileNetConfig) -> None:
        super().__init__()
        wide, eps = row.expanded, config.eps
        narrow_activation = nn.ReLU if config.third else nn.ReLU6
        activation = nn.Hardswish if row.swish else narrow_activation
        dilation = step.first_dilation if row.stride > 1 else step.dilation
        reach = dilation * (row.kernel // 2)
        self.early = reach if config.pad_early else 0
        # a block that dilates instead of shrinking is still the one that begins a stage
        self.residual = row.stride == 1 and inside == row.outside
        self.expand: nn.Module = nn.Identity()
        if wide != inside:
            self.expand = ConvNormAct(inside, wide, 1, activation=activation, eps=eps)
        self.depthwise = ConvNormAct(
            wide,
            wide,
            row.kernel,
            step.stride,
            padding=reach - self.early,
            dilation=dilation,
            groups=wide,
            activation=activation,
            eps=eps,
        )
        self.excite = _Excitation(wide, eights(wide // 4)) if row.excite else nn.Identity()
        self.project = ConvNormAct(wide, row.outside, 1, activation=None, eps=eps)

    def forward(self, features_BChw: Tensor) -> Tensor:
        branch_BChw = features_BChw
        if self.early:
            branch_BChw = F.pad(branch_BChw, (self.early,) * 4)
        branch_BChw = self.excite(self.depthwise(self.expand(branch_BChw)))
        branch_BChw = self.project(branch_BChw)
        return features_BChw + branch_BChw if self.residual else branch_BChw


class _Excitation(nn.Module):
    """Channels weighted by what their means tell: Hu et al., CVPR 2018, arXiv 1709.01507."""

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, narrow, 1)
        self.stretch = nn.Conv2d(narrow, width, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        mean_BC11 = features_BChw.mean(dim=(2, 3), keepdim=True)
        return features_BChw * F.hardsigmoid(self.stretch(F.relu(self.squeeze(mean_BC11))))


def from_reference(weights: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """torchvision's names (second generation: VainF's too) -> ours.

    The classifiers' last layers are left out. The second generation's closing convolution keeps its
    place; only a network with that convolution, such as mobilenetv2-1280, takes it.

    Args:
        weights: of a MobileNet alone, its parts numbered through: "0.0.weight" or, as torchvision's
            classifiers have it, "features.0.0.weight".
        prefix: put before every name, such as "encoder.".
    """
    parts: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        match = re.fullmatch(r"(?:features\.)?(\d+)\.(?:(block|conv)\.)?(.+)", name)
        if match:
            parts.setdefault((int(match[1]), match[2] or ""), {})[match[3]] = tensor
    last = max(number for number, _ in parts)
    ours = {}
    for (number, kind), entries in parts.items():
        names = _PLAIN if not kind else _block_names(entries)
        place = "stem" if number == 0 else f"blocks.{number - 1}"
        if not kind and number == last:
            place = "closing"
        for name, tensor in entries.items():
            part, _, leaf = name.rpartition(".")
            ours[".".join(filter(None, (place, names[part], leaf)))] = tensor
    return {prefix + name: tensor for name, tensor in ours.items()}


_PLAIN = {"0": "conv", "1": "norm"}


def _block_names(entries: Iterable[str]) -> dict[str, str]:
    """Position in one of the references' blocks -> what stands there; a block may lack parts."""
    parts = {name.rpartition(".")[0] for name in entries}
    order = sorted({int(part.split(".")[0]) for part in parts})
    excited = {int(part.split(".")[0]) for part in parts if part.endswith("fc1")}
    # the second generation's projection is a bare pair: "2" and "3" where others have "2.0", "2.1"
    bare = [number for number in order if str(number) in parts]
    names = {}
    if bare:
        names = {str(bare[0]): "project.conv", str(bare[1]): "project.norm"}
        order = [number for number in order if number not in bare]
        roles = ["expand", "depthwise"][-len(order) :]
    else:
        order = [number for number in order if number not in excited]
        roles = ["expand", "depthwise", "project"][-len(order) :]
    for number, role in zip(order, roles):
        names |= {f"{number}.0": f"{role}.conv", f"{number}.1": f"{role}.norm"}
    for number in excited:
        names |= {f"{number}.fc1": "excite.squeeze", f"{number}.fc2": "excite.stretch"}
    return names
