"""Deep Residual Learning for Image Recognition, with output strides.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, CVPR 2016, arXiv 1512.03385; dilated as in Yu,
Koltun, Funkhouser, CVPR 2017, arXiv 1705.09914, and Chen et al. 2017, arXiv 1706.05587.

Basic blocks (18, 34) and bottlenecks (50, 101, 152) with the stride in the 3x3 convolution; a stem
of one 7x7 convolution or, "deep", of three 3x3; output stride 32, 16 or 8; multi-grid in the last
stage; shortcuts that average ("vd"), 3x3 convolutions that move their taps ("dcn"). The
state dict has torchvision's names, so that its ImageNet weights load as they are.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map; a number
behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.encoders.strides import Step, plan
from maskwright.architectures.renaming import rename
from maskwright.architectures.sizes import require_lengths
from maskwright.core.errors import ConfigError
from maskwright.layers.deformable import DeformableConv
from maskwright.layers.initialise import initialise
from maskwright.layers.residual import BasicBlock, Bottleneck, conv3x3


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Sizes; the defaults are those of ResNet-50 as a classifier (table 1).

    Attributes:
        depths: blocks of each of the four stages.
        widths: C inside each stage's blocks; a bottleneck's output is four times as wide.
        bottleneck: blocks of 1x1, 3x3, 1x1 instead of two 3x3.
        deep_stem: C of the stem's three 3x3 convolutions, such as (64, 64, 128); empty: one 7x7 of
            widths[0].
        output_stride: of the last stage: 8, 16 or 32.
        dilate_first: a stage's first block dilates by the stride that it lost, as PSPNet's does.
            False is torchvision's rule: it keeps the dilation of the stage before.
        multi_grid: dilations of the last stage's blocks, one each, in place of the rule's.
        levels: how many feature maps are wanted, finest first: 2 to 5, or 0 for all. Stages that
            only deeper ones need are left out.
        average_shortcut: strided shortcuts average over the pixels that they skip (arXiv
            1812.01187, section 4.2).
        deformable: stages, 1 to 4, whose 3x3 convolutions move their taps (arXiv 1703.06211).
        deformable_step: every so many blocks of them do, the first of a stage among them.
        modulated: and weight them (arXiv 1811.11168).
        deformable_bias: and add a bias.
    """

    depths: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = True
    deep_stem: tuple[int, ...] = ()
    output_stride: int = 32
    dilate_first: bool = False
    multi_grid: tuple[int, ...] = ()
    levels: int = 0
    average_shortcut: bool = False
    deformable: tuple[int, ...] = ()
    deformable_step: int = 1
    modulated: bool = False
    deformable_bias: bool = False

    def __post_init__(self) -> None:
        require_lengths(self, depths=4, widths=4)
        if self.deformable and not (self.bottleneck and set(self.deformable) <= {1, 2, 3, 4}):
            raise ConfigError(
                f"deformable lists stages from 1 to 4, which are made of bottlenecks, got "
                f"{self.deformable} and bottleneck {self.bottleneck}."
            )
        if self.deformable_step < 1:
            raise ConfigError(f"expected deformable_step >= 1, got {self.deformable_step}.")
        if self.levels not in (0, 2, 3, 4, 5):
            raise ConfigError(
                f"a residual network has 5 levels of features, of which 2 or more can be wanted "
                f"(0: all), got levels {self.levels}."
            )
        if self.deep_stem:
            require_lengths(self, deep_stem=3)
        if self.multi_grid and len(self.multi_grid) != self.depths[3]:
            raise ConfigError(
                f"expected one entry of multi_grid for each of the last stage's {self.depths[3]} "
                f"blocks, got {self.multi_grid}."
            )


RESNETS: dict[str, ResNetConfig] = {
    "resnet18": ResNetConfig(depths=(2, 2, 2, 2), bottleneck=False),
    "resnet34": ResNetConfig(depths=(3, 4, 6, 3), bottleneck=False),
    "resnet50": ResNetConfig(depths=(3, 4, 6, 3)),
    "resnet101": ResNetConfig(depths=(3, 4, 23, 3)),
    "resnet152": ResNetConfig(depths=(3, 8, 36, 3)),
}
"""The paper's sizes by name; `dataclasses.replace` sets an output stride, a stem, a multi-grid."""

_VDS = {
    f"{name}vd": replace(sizes, deep_stem=(32, 32, 64), average_shortcut=True)
    for name, sizes in RESNETS.items()
}
_DEFORMABLE: dict[str, dict[str, Any]] = {
    "dcn": {"deformable": (3, 4)},
    "dcn3": {"deformable": (2, 3, 4)},
    "dcnv2": {"deformable": (2, 3, 4), "modulated": True},
    "dcnv2b": {"deformable": (2, 3, 4), "modulated": True, "deformable_bias": True},
    "dcnv2b-sparse": {
        "deformable": (2, 3, 4), "modulated": True, "deformable_bias": True, "deformable_step": 3,
    },
}  # fmt: skip
RESNET_FORMS: dict[str, ResNetConfig] = {
    **_VDS,
    **{
        f"{name}-{ending}": replace(sizes, **changes)
        for name, sizes in (RESNETS | _VDS).items()
        if sizes.bottleneck
        for ending, changes in _DEFORMABLE.items()
    },
}
"""With a deep stem and averaging shortcuts ("vd", timm's resnet50d); deformable in the last two
stages ("-dcn") or three ("-dcn3"); modulated in three ("-dcnv2"), with a bias ("-dcnv2b"), and in
every third block of them alone ("-dcnv2b-sparse")."""


@dataclass(frozen=True, kw_only=True)
class DilatedResNetSettings:
    """What a network on a dilated residual encoder lets the user choose; configurations inherit it.

    Attributes:
        encoder_depths: blocks of the ResNet's four stages.
        encoder_widths: C inside its bottlenecks; they end with four times as many.
        deep_stem: C of a stem of three 3x3 convolutions; empty: one 7x7.
        output_stride: of the encoder: 8, 16 or 32.
        multi_grid: dilations of the last stage's blocks; empty: as the output stride has it.
    """

    encoder_depths: tuple[int, ...] = (3, 4, 6, 3)
    encoder_widths: tuple[int, ...] = (64, 128, 256, 512)
    deep_stem: tuple[int, ...] = ()
    output_stride: int = 8
    multi_grid: tuple[int, ...] = (4, 8, 16)

    def create_encoder(self) -> ResNet:
        """The encoder with random weights."""
        return ResNet(
            ResNetConfig(
                depths=self.encoder_depths,
                widths=self.encoder_widths,
                deep_stem=self.deep_stem,
                output_stride=self.output_stride,
                multi_grid=self.multi_grid,
            )
        )


class ResNet(Encoder):
    """Features of a residual network: after the stem and after each of its (four) stages."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        widths = config.widths
        steps = plan((2, 2, 1, 2, 2, 2), config.output_stride, config.dilate_first)[2:]
        stem = config.deep_stem[-1] if config.deep_stem else widths[0]
        ends = tuple(width * (4 if config.bottleneck else 1) for width in widths)
        levels = config.levels or 5
        self.channels = (stem, *ends)[:levels]
        self.strides = (2, *(step.reached for step in steps))[:levels]
        self.conv1 = _stem(config)
        self.bn1 = nn.BatchNorm2d(stem)
        for stage, (inside, step) in enumerate(zip(self.channels[:-1], steps)):
            setattr(self, f"layer{stage + 1}", _stage(config, stage, inside, step))
        self.apply(initialise)
        for module in self.modules():
            if isinstance(module, DeformableConv):
                module.reset_offset()

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> five feature maps, finest first; sizes are rounded up."""
        features = [F.relu(self.bn1(self.conv1(images_B3HW)), inplace=True)]
        features_BChw = F.max_pool2d(features[0], 3, stride=2, padding=1)
        for stage in range(1, len(self.channels)):
            features_BChw = self.get_submodule(f"layer{stage}")(features_BChw)
            features.append(features_BChw)
        return features


def _stem(config: ResNetConfig) -> nn.Module:
    """Up to the batch norm that closes the stem, which torchvision calls bn1 in both forms."""
    if not config.deep_stem:
        return nn.Conv2d(3, config.widths[0], 7, stride=2, padding=3, bias=False)
    first, second, third = config.deep_stem
    return nn.Sequential(
        conv3x3(3, first, stride=2),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
        conv3x3(first, second),
        nn.BatchNorm2d(second),
        nn.ReLU(inplace=True),
        conv3x3(second, third),
    )


def _stage(config: ResNetConfig, stage: int, inside: int, step: Step) -> nn.Sequential:
    """Blocks of one width; the first of them moves by the stage's stride."""
    average = config.average_shortcut
    block: Callable[..., nn.Module] = partial(BasicBlock, average_shortcut=average)
    if config.bottleneck:
        block = partial(Bottleneck, average_shortcut=average, modulated=config.modulated)
        block = partial(block, deformable_bias=config.deformable_bias)
    width, depth = config.widths[stage], config.depths[stage]
    pairs = [(step.first_dilation, step.dilation)] + [(step.dilation, step.dilation)] * (depth - 1)
    if stage == 3 and config.multi_grid:
        pairs = [(dilation, dilation) for dilation in config.multi_grid]
    blocks: list[nn.Module] = []
    for number, dilations in enumerate(pairs):
        moves = stage + 1 in config.deformable and number % config.deformable_step == 0
        more = {"deformable": True} if moves else {}
        blocks.append(block(inside, width, 1 if number else step.stride, dilations, **more))
        inside = width * (Bottleneck if config.bottleneck else BasicBlock).expansion
    return nn.Sequential(*blocks)


_SEMSEG_STEM = (
    # hszhao/semseg's segmentation networks put the deep stem into one sequence
    (r"^layer0\.7\.", "bn1."),
    (r"^layer0\.", "conv1."),
)
_SEMSEG_CLASSIFIER_STEM = (
    # its classifiers number the deep stem's convolutions through
    (r"^bn1\.", "conv1.1."),
    (r"^conv1\.weight", "conv1.0.weight"),
    (r"^bn2\.", "conv1.4."),
    (r"^conv2\.", "conv1.3."),
    (r"^bn3\.", "bn1."),
    (r"^conv3\.", "conv1.6."),
)


def from_reference(weights: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Names of torchvision, timm, PyTorch-Encoding or hszhao/semseg -> ours.

    The first three are ours already, deep stem included; the classifier, `fc`, is left out.

    Args:
        weights: of a residual network alone, without a network's prefix.
        prefix: put before every name, such as "encoder.".
    """
    features = {name: tensor for name, tensor in weights.items() if not name.startswith("fc.")}
    numbered = "conv3.weight" in features
    ours = rename(features, *(_SEMSEG_CLASSIFIER_STEM if numbered else _SEMSEG_STEM))
    return {prefix + name: tensor for name, tensor in ours.items()}
