"""BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic Segmentation.

Changqian Yu, Changxin Gao, Jingbo Wang, Gang Yu, Chunhua Shen, Nong Sang, IJCV 2021,
arXiv 2004.02147.

Notable: the two paths of the first BiSeNet without a borrowed backbone. A detail branch, wide and
shallow, stays at stride 8; a semantic branch, narrow and deep, is made of depth-wise convolutions
that gather and expand (expansion 6) and ends in a context embedding. Guided aggregation lets each
branch gate the other at its own scale. Booster heads on the semantic branch train it, and cost
nothing afterwards.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map; a
number behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Checkpoint, Published, SemanticNetwork
from maskwright.architectures.normalisation import (
    CITYSCAPES_MEAN,
    CITYSCAPES_STD,
    COCO_MEAN,
    COCO_STD,
)
from maskwright.architectures.renaming import rename
from maskwright.architectures.sizes import require_lengths
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class BiSeNetV2Config:
    """Sizes; the defaults are those of table 1.

    Attributes:
        classes: K.
        detail_widths: C of the detail branch's three stages (strides 2, 4, 8).
        detail_depths: convolutions of each.
        semantic_widths: C of the semantic branch: the stem (stride 4), then strides 8, 16, 32.
        semantic_depths: gather-and-expansion layers at strides 8, 16, 32.
        expansion: of a gather-and-expansion layer.
        head_width: C of the main head's convolution.
        auxiliary_width: C of the booster heads' first convolution.
        dropout: before the last convolution of every head.
        auxiliary: whether there are booster heads; only training uses them.
    """

    classes: int = 19
    detail_widths: tuple[int, ...] = (64, 64, 128)
    detail_depths: tuple[int, ...] = (2, 3, 3)
    semantic_widths: tuple[int, ...] = (16, 32, 64, 128)
    semantic_depths: tuple[int, ...] = (2, 2, 4)
    expansion: int = 6
    head_width: int = 1024
    auxiliary_width: int = 128
    dropout: float = 0.1
    auxiliary: bool = True

    def __post_init__(self) -> None:
        require_lengths(
            self, detail_widths=3, detail_depths=3, semantic_widths=4, semantic_depths=3
        )


class BiSeNetV2(SemanticNetwork):
    """Detail branch and semantic branch, aggregated at stride 8 (figure 3)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {
        f"booster{stride}": 1.0 for stride in (4, 8, 16, 32)
    }

    def __init__(self, config: BiSeNetV2Config) -> None:
        super().__init__(config)
        width = config.detail_widths[-1]
        self.detail = _detail_branch(config)
        self.semantic = _SemanticBranch(config)
        self.aggregation = _GuidedAggregation(width, config.semantic_widths[-1])
        self.head = PixelClassifier(width, config.head_width, config.classes, config.dropout)
        self.boosters = nn.ModuleDict()
        if config.auxiliary:
            for stride, inside in zip((4, 8, 16, 32), config.semantic_widths):
                self.boosters[f"booster{stride}"] = _Booster(inside, stride, config)
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw8} and, in training, "booster4" to "booster32"."""
        detail_BChw8 = self.detail(images_B3HW)
        *stages, semantic_BChw32 = self.semantic(images_B3HW)
        outputs = {"logits": self.head(self.aggregation(detail_BChw8, semantic_BChw32))}
        if self.training:
            for (name, booster), stage_BChw in zip(self.boosters.items(), stages):
                outputs[name] = booster(stage_BChw)
        return outputs

    def head_prefixes(self) -> tuple[str, ...]:
        """The 1x1 convolutions to the classes."""
        return ("head.classify.", *(f"boosters.{name}.classify." for name in self.boosters))


def _detail_branch(config: BiSeNetV2Config) -> nn.Sequential:
    """Section 4.1: wide, shallow, no residuals; each stage opens with stride 2."""
    stages, inside = [], 3
    for width, depth in zip(config.detail_widths, config.detail_depths):
        stage = [ConvNormAct(inside, width, stride=2)]
        stage += [ConvNormAct(width, width) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*stage))
        inside = width
    return nn.Sequential(*stages)


class _SemanticBranch(nn.Module):
    """Section 4.2: a stem to stride 4, gather-and-expansion layers, a context embedding."""

    def __init__(self, config: BiSeNetV2Config) -> None:
        super().__init__()
        widths = config.semantic_widths
        self.stem = _Stem(widths[0])
        self.stages = nn.ModuleList(
            _semantic_stage(inside, outside, depth, config.expansion)
            for inside, outside, depth in zip(widths, widths[1:], config.semantic_depths)
        )
        self.context = _ContextEmbedding(widths[-1])

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """-> features at strides 4, 8, 16, 32 and, last, the embedding at 32."""
        features = [self.stem(images_B3HW)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return [*features, self.context(features[-1])]


class _Stem(nn.Module):
    """Figure 4a: a convolution, then two ways to halve: strided bottleneck and max pooling."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = ConvNormAct(3, width, stride=2)
        self.squeeze = ConvNormAct(width, width // 2, 1)
        self.stride = ConvNormAct(width // 2, width, stride=2)
        self.fuse = ConvNormAct(2 * width, width)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        features_BChw2 = self.conv(images_B3HW)
        strided_BChw4 = self.stride(self.squeeze(features_BChw2))
        pooled_BChw4 = F.max_pool2d(features_BChw2, 3, stride=2, padding=1)
        return self.fuse(torch.cat([strided_BChw4, pooled_BChw4], dim=1))


class _GatherExpansion(nn.Module):
    """Figure 5: a 3x3 convolution gathers, a depth-wise one expands, a 1x1 projects back.

    With stride 2 there are two depth-wise convolutions, and the shortcut is one of its own.
    """

    def __init__(self, inside: int, outside: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.gather = ConvNormAct(inside, inside)
        depthwise, shortcut = [], []
        if stride > 1:
            depthwise = [_depthwise(inside, wide, stride)]
            shortcut = [_depthwise(inside, inside, stride), _linear(inside, outside)]
            inside = wide
        self.expand = nn.Sequential(*depthwise, _depthwise(inside, wide, 1, nn.ReLU))
        self.project = _linear(wide, outside)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features_BChw: Tensor) -> Tensor:
        branch_BChw = self.project(self.expand(self.gather(features_BChw)))
        return F.relu(branch_BChw + self.shortcut(features_BChw))


def _semantic_stage(inside: int, outside: int, depth: int, expansion: int) -> nn.Sequential:
    first = _GatherExpansion(inside, outside, expansion, stride=2)
    rest = [_GatherExpansion(outside, outside, expansion, stride=1) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


class _ContextEmbedding(nn.Module):
    """Figure 4b: the global mean of every channel, added everywhere."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.squeeze = ConvNormAct(width, width, 1)
        self.conv = ConvNormAct(width, width)

    def forward(self, features_BChw: Tensor) -> Tensor:
        mean_BC11 = features_BChw.mean(dim=(2, 3), keepdim=True)
        return self.conv(features_BChw + self.squeeze(self.norm(mean_BC11)))


class _GuidedAggregation(nn.Module):
    """Figure 6: each branch is gated by the other, at stride 8 and at stride 32, then summed."""

    def __init__(self, width: int, semantic_width: int) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            _depthwise(width, width, 1), nn.Conv2d(width, width, 1, bias=False)
        )
        self.detail_down = nn.Sequential(
            ConvNormAct(width, width, stride=2, activation=None),
            nn.AvgPool2d(3, stride=2, padding=1),
        )
        self.semantic_up = ConvNormAct(semantic_width, width, activation=None)
        self.semantic = nn.Sequential(
            _depthwise(semantic_width, semantic_width, 1),
            nn.Conv2d(semantic_width, width, 1, bias=False),
        )
        self.fuse = ConvNormAct(width, width)

    def forward(self, detail_BChw8: Tensor, semantic_BChw32: Tensor) -> Tensor:
        size = detail_BChw8.shape[-2:]
        gate_BChw8 = _enlarge(self.semantic_up(semantic_BChw32), size).sigmoid()
        fine_BChw8 = self.detail(detail_BChw8) * gate_BChw8
        gate_BChw32 = self.semantic(semantic_BChw32).sigmoid()
        coarse_BChw32 = self.detail_down(detail_BChw8) * gate_BChw32
        return self.fuse(fine_BChw8 + _enlarge(coarse_BChw32, size))


class _Booster(nn.Module):
    """Section 4.4: an auxiliary head that ends at half the stride of the stage it reads.

    Its second convolution has as many channels as the stage's cell has pixels, stride^2.
    """

    def __init__(self, inside: int, stride: int, config: BiSeNetV2Config) -> None:
        super().__init__()
        self.conv = ConvNormAct(inside, config.auxiliary_width)
        self.dropout = nn.Dropout2d(config.dropout)
        self.refine = ConvNormAct(config.auxiliary_width, stride**2)
        self.classify = nn.Conv2d(stride**2, config.classes, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        features_BChw = self.dropout(self.conv(features_BChw))
        size = [2 * side for side in features_BChw.shape[-2:]]
        return self.classify(self.refine(_enlarge(features_BChw, size)))


def _depthwise(
    inside: int, outside: int, stride: int, activation: type[nn.Module] | None = None
) -> ConvNormAct:
    return ConvNormAct(inside, outside, stride=stride, groups=inside, activation=activation)


def _linear(inside: int, outside: int) -> ConvNormAct:
    """1x1, batch norm, no activation."""
    return ConvNormAct(inside, outside, 1, activation=None)


def _enlarge(features_BChw: Tensor, size: list[int] | torch.Size) -> Tensor:
    return F.interpolate(features_BChw, size=size, mode="nearest")


def tiny(classes: int) -> BiSeNetV2:
    """The smallest useful BiSeNet V2, for tests: 0.3 M parameters, most of them boosters'."""
    return BiSeNetV2(
        BiSeNetV2Config(
            classes=classes,
            detail_widths=(16, 16, 32),
            detail_depths=(1, 2, 2),
            semantic_widths=(8, 16, 16, 24),
            semantic_depths=(1, 1, 2),
            expansion=3,
            head_width=64,
            auxiliary_width=16,
        )
    )


_NAMES = (
    # the two branches
    (r"^detail\.S1\.", "detail.0."),
    (r"^detail\.S2\.", "detail.1."),
    (r"^detail\.S3\.", "detail.2."),
    (r"^segment\.S1S2\.left\.0\.", "semantic.stem.squeeze."),
    (r"^segment\.S1S2\.left\.1\.", "semantic.stem.stride."),
    (r"^segment\.S1S2\.", "semantic.stem."),
    (r"^segment\.S3\.", "semantic.stages.0."),
    (r"^segment\.S4\.", "semantic.stages.1."),
    (r"^segment\.S5_4\.", "semantic.stages.2."),
    # a gather-and-expansion layer: bare pairs of convolution and batch norm
    (r"^(semantic\.stages\.\d\.\d+)\.conv1\.", r"\1.gather."),
    (r"\.dwconv1?\.0\.", ".expand.0.conv."),
    (r"\.dwconv1?\.1\.", ".expand.0.norm."),
    (r"\.dwconv2\.0\.", ".expand.1.conv."),
    (r"\.dwconv2\.1\.", ".expand.1.norm."),
    (r"^(semantic\.stages\.\d\.\d+)\.conv2\.0\.", r"\1.project.conv."),
    (r"^(semantic\.stages\.\d\.\d+)\.conv2\.1\.", r"\1.project.norm."),
    (r"\.shortcut\.0\.", ".shortcut.0.conv."),
    (r"\.shortcut\.1\.", ".shortcut.0.norm."),
    (r"\.shortcut\.2\.", ".shortcut.1.conv."),
    (r"\.shortcut\.3\.", ".shortcut.1.norm."),
    # the context embedding and the aggregation
    (r"^segment\.S5_5\.bn\.", "semantic.context.norm."),
    (r"^segment\.S5_5\.conv_gap\.", "semantic.context.squeeze."),
    (r"^segment\.S5_5\.conv_last\.", "semantic.context.conv."),
    (r"^bga\.left1\.0\.", "aggregation.detail.0.conv."),
    (r"^bga\.left1\.1\.", "aggregation.detail.0.norm."),
    (r"^bga\.left1\.2\.", "aggregation.detail.1."),
    (r"^bga\.left2\.0\.", "aggregation.detail_down.0.conv."),
    (r"^bga\.left2\.1\.", "aggregation.detail_down.0.norm."),
    (r"^bga\.right1\.0\.", "aggregation.semantic_up.conv."),
    (r"^bga\.right1\.1\.", "aggregation.semantic_up.norm."),
    (r"^bga\.right2\.0\.", "aggregation.semantic.0.conv."),
    (r"^bga\.right2\.1\.", "aggregation.semantic.0.norm."),
    (r"^bga\.right2\.2\.", "aggregation.semantic.1."),
    (r"^bga\.conv\.0\.", "aggregation.fuse.conv."),
    (r"^bga\.conv\.1\.", "aggregation.fuse.norm."),
    # the heads, which the authors number by stage
    (r"^aux2\.", "boosters.booster4."),
    (r"^aux3\.", "boosters.booster8."),
    (r"^aux4\.", "boosters.booster16."),
    (r"^aux5_4\.", "boosters.booster32."),
    (r"\.conv_out\.0\.1\.", ".refine."),
    (r"\.conv_out\.1\.", ".classify."),
    (r"\.bn\.", ".norm."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CoinCheung/BiSeNet's names -> ours."""
    return rename(weights, *_NAMES)


_README = "README of CoinCheung/BiSeNet at 6b4b67a"
_RELEASE = "https://github.com/CoinCheung/BiSeNet/releases/download/0.0.0/"

CARD = Card(
    title="BiSeNet V2",
    paper=(
        "Yu, Gao, Wang, Yu, Shen, Sang: BiSeNet V2: Bilateral Network with Guided Aggregation for "
        "Real-time Semantic Segmentation, IJCV 2021, arXiv 2004.02147"
    ),
    tasks=("semantic",),
    repository="https://github.com/CoinCheung/BiSeNet",
    licence="MIT",
    published=(
        Published(what="mIoU Cityscapes test, 2048x1024", value=72.6, source="abstract"),
        Published(what="fps 2048x1024, GTX 1080 Ti", value=156, source="abstract"),
        Published(what="mIoU Cityscapes val, single scale", value=74.95, source=_README),
        Published(what="mIoU Cityscapes val, multi-scale crops, flip", value=77.08, source=_README),
        Published(what="mIoU COCO-Stuff val2017, single scale", value=30.49, source=_README),
        Published(what="mIoU ADE20K val, single scale", value=32.53, source=_README),
        Published(what="fps Cityscapes, TensorRT fp32, Tesla T4", value=103, source=_README),
        Published(what="fps Cityscapes, TensorRT fp16, Tesla T4", value=161, source=_README),
        Published(what="fps Cityscapes, TensorRT int8, Tesla T4", value=198, source=_README),
    ),
    checkpoints={
        "cityscapes": Checkpoint(
            address=f"{_RELEASE}model_final_v2_city.pth",
            mean=CITYSCAPES_MEAN,
            std=CITYSCAPES_STD,
        ),
        "coco-stuff": Checkpoint(
            address=f"{_RELEASE}model_final_v2_coco.pth",
            mean=COCO_MEAN,
            std=COCO_STD,
        ),
    },
    notes=(
        "The reference is a widely used re-implementation, not the paper's authors' code; its "
        "scores are its own. Its weights come with the mean and deviation of their own training "
        "images."
    ),
    from_reference=from_reference,
)
