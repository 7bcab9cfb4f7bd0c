"""BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation.

Changqian Yu, Jingbo Wang, Chao Peng, Changxin Gao, Gang Yu, Nong Sang, ECCV 2018, arXiv 1808.00897.

Notable: two paths with different duties, each cheap for its own. A spatial path of three strided
convolutions keeps what small kernels see at stride 8; a context path (a ResNet-18) shrinks fast to
stride 32 for a wide view. Attention refinement modules reweight the context's channels by their
global mean; a feature fusion module joins both paths and reweights once more. Two auxiliary heads
on the context path train it, and cost nothing afterwards.

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
from maskwright.architectures.encoders.resnet import ResNet, ResNetConfig
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
class BiSeNetV1Config:
    """Sizes; the defaults are those of BiSeNet on ResNet-18 for Cityscapes.

    Attributes:
        classes: K.
        context_widths: C of the residual network's four stages (strides 4, 8, 16, 32).
        context_depths: residual blocks of each.
        spatial_width: C inside the spatial path.
        path_width: C that each of the two paths ends with.
        fusion_width: C of the fused features.
        head_width: C of the main head's convolution.
        auxiliary_width: C of the auxiliary heads' convolutions.
        auxiliary: whether there are auxiliary heads; only training uses them.
    """

    classes: int = 19
    context_widths: tuple[int, ...] = (64, 128, 256, 512)
    context_depths: tuple[int, ...] = (2, 2, 2, 2)
    spatial_width: int = 64
    path_width: int = 128
    fusion_width: int = 256
    head_width: int = 256
    auxiliary_width: int = 64
    auxiliary: bool = True

    def __post_init__(self) -> None:
        require_lengths(self, context_widths=4, context_depths=4)


class BiSeNetV1(SemanticNetwork):
    """Spatial path and context path, fused at stride 8 (figure 2)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"auxiliary8": 1.0, "auxiliary16": 1.0}

    def __init__(self, config: BiSeNetV1Config) -> None:
        super().__init__(config)
        width = config.path_width
        self.spatial = _spatial_path(config.spatial_width, width)
        self.context = _ContextPath(config)
        self.fusion = _FeatureFusion(2 * width, config.fusion_width)
        self.head = PixelClassifier(config.fusion_width, config.head_width, config.classes)
        if config.auxiliary:
            sizes = (width, config.auxiliary_width, config.classes)
            self.auxiliary8 = PixelClassifier(*sizes)
            self.auxiliary16 = PixelClassifier(*sizes)
        self.auxiliary = config.auxiliary
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw8} and, in training, "auxiliary8", "auxiliary16"."""
        spatial_BChw8 = self.spatial(images_B3HW)
        context_BChw8, context_BChw16 = self.context(images_B3HW)
        outputs = {"logits": self.head(self.fusion(spatial_BChw8, context_BChw8))}
        if self.training and self.auxiliary:
            outputs["auxiliary8"] = self.auxiliary8(context_BChw8)
            outputs["auxiliary16"] = self.auxiliary16(context_BChw16)
        return outputs

    def head_prefixes(self) -> tuple[str, ...]:
        """The 1x1 convolutions to the classes."""
        return ("head.classify.", "auxiliary8.classify.", "auxiliary16.classify.")


def _spatial_path(width: int, out: int) -> nn.Sequential:
    """Section 3.1: three convolutions of stride 2 keep the places at stride 8; 1x1 widens."""
    return nn.Sequential(
        ConvNormAct(3, width, 7, stride=2),
        ConvNormAct(width, width, 3, stride=2),
        ConvNormAct(width, width, 3, stride=2),
        ConvNormAct(width, out, 1),
    )


class _ContextPath(nn.Module):
    """Section 3.2: a residual network's tail, refined by attention and brought up to stride 8."""

    def __init__(self, config: BiSeNetV1Config) -> None:
        super().__init__()
        width, deep = config.path_width, config.context_widths
        self.encoder = ResNet(
            ResNetConfig(depths=config.context_depths, widths=deep, bottleneck=False)
        )
        self.tail = ConvNormAct(deep[3], width, 1)
        self.refine32 = _AttentionRefinement(deep[3], width)
        self.refine16 = _AttentionRefinement(deep[2], width)
        self.smooth32 = ConvNormAct(width, width)
        self.smooth16 = ConvNormAct(width, width)

    def forward(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """-> context at stride 8 and, on the way there, at stride 16."""
        _, _, deep_BChw8, deep_BChw16, deep_BChw32 = self.encoder(images_B3HW)
        tail_BC11 = self.tail(deep_BChw32.mean(dim=(2, 3), keepdim=True))
        context_BChw32 = self.refine32(deep_BChw32) + tail_BC11
        context_BChw16 = self.smooth32(_enlarge(context_BChw32, deep_BChw16))
        refined_BChw16 = self.refine16(deep_BChw16) + context_BChw16
        context_BChw8 = self.smooth16(_enlarge(refined_BChw16, deep_BChw8))
        return context_BChw8, context_BChw16


class _AttentionRefinement(nn.Module):
    """Figure 2b: channels weighted by a sigmoid of their own global mean."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv = ConvNormAct(in_channels, width)
        self.attention = ConvNormAct(width, width, 1, activation=nn.Sigmoid)

    def forward(self, features_BChw: Tensor) -> Tensor:
        features_BChw = self.conv(features_BChw)
        return features_BChw * self.attention(features_BChw.mean(dim=(2, 3), keepdim=True))


class _FeatureFusion(nn.Module):
    """Figure 2c: both paths concatenated, levelled by batch norm, reweighted residually."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv = ConvNormAct(in_channels, width, 1)
        self.attention = ConvNormAct(width, width, 1, activation=nn.Sigmoid)

    def forward(self, spatial_BChw8: Tensor, context_BChw8: Tensor) -> Tensor:
        fused_BChw8 = self.conv(torch.cat([spatial_BChw8, context_BChw8], dim=1))
        attention_BC11 = self.attention(fused_BChw8.mean(dim=(2, 3), keepdim=True))
        return fused_BChw8 + fused_BChw8 * attention_BC11


def _enlarge(features_BChw: Tensor, like_BChw: Tensor) -> Tensor:
    """Nearest neighbour, to the size of another map: odd sizes stay aligned."""
    return F.interpolate(features_BChw, size=like_BChw.shape[-2:], mode="nearest")


def tiny(classes: int) -> BiSeNetV1:
    """The smallest useful BiSeNet, for tests: 0.16 M parameters."""
    return BiSeNetV1(
        BiSeNetV1Config(
            classes=classes,
            context_widths=(16, 24, 32, 48),
            context_depths=(1, 1, 1, 1),
            spatial_width=16,
            path_width=32,
            fusion_width=48,
            head_width=48,
            auxiliary_width=16,
        )
    )


_NAMES = (
    (r"^sp\.conv_out\.", "spatial.3."),
    (r"^sp\.conv1\.", "spatial.0."),
    (r"^sp\.conv2\.", "spatial.1."),
    (r"^sp\.conv3\.", "spatial.2."),
    (r"^cp\.resnet\.", "context.encoder."),
    (r"^cp\.conv_avg\.", "context.tail."),
    (r"^cp\.conv_head(\d+)\.", r"context.smooth\1."),
    (r"^cp\.arm(\d+)\.", r"context.refine\1."),
    (r"\.conv_atten\.", ".attention.conv."),
    (r"\.bn_atten\.", ".attention.norm."),
    (r"^ffm\.conv\.", "fusion.attention.conv."),
    (r"^ffm\.bn\.", "fusion.attention.norm."),
    (r"^ffm\.convblk\.", "fusion.conv."),
    # the authors name these heads by the stride below the map that they read
    (r"^conv_out16\.", "auxiliary8."),
    (r"^conv_out32\.", "auxiliary16."),
    (r"^conv_out\.", "head."),
    (r"\.conv_out\.", ".classify."),
    (r"\.conv\.bn\.", ".conv.norm."),
    (r"^(spatial\.\d|context\.(?:tail|smooth\d+))\.bn\.", r"\1.norm."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CoinCheung/BiSeNet's names -> ours."""
    return rename(weights, *_NAMES)


_README = "README of CoinCheung/BiSeNet at 6b4b67a"
_MEMORY = "the paper, from memory, not re-read"
_RELEASE = "https://github.com/CoinCheung/BiSeNet/releases/download/0.0.0/"

CARD = Card(
    title="BiSeNet",
    paper=(
        "Yu, Wang, Peng, Gao, Yu, Sang: BiSeNet: Bilateral Segmentation Network for Real-time "
        "Semantic Segmentation, ECCV 2018, arXiv 1808.00897"
    ),
    tasks=("semantic",),
    repository="https://github.com/CoinCheung/BiSeNet",
    licence="MIT",
    published=(
        Published(what="mIoU Cityscapes val, single scale", value=75.44, source=_README),
        Published(what="mIoU Cityscapes val, multi-scale crops, flip", value=78.86, source=_README),
        Published(what="mIoU COCO-Stuff val2017, single scale", value=31.49, source=_README),
        Published(what="mIoU ADE20K val, single scale", value=36.15, source=_README),
        Published(what="fps Cityscapes, TensorRT fp32, Tesla T4", value=112, source=_README),
        Published(what="fps Cityscapes, TensorRT fp16, Tesla T4", value=239, source=_README),
        Published(what="fps Cityscapes, TensorRT int8, Tesla T4", value=435, source=_README),
        Published(what="mIoU Cityscapes test, ResNet-18", value=74.7, source=_MEMORY),
        Published(what="fps Cityscapes, ResNet-18, Titan XP", value=65.5, source=_MEMORY),
    ),
    checkpoints={
        "cityscapes": Checkpoint(
            address=f"{_RELEASE}model_final_v1_city_new.pth",
            mean=CITYSCAPES_MEAN,
            std=CITYSCAPES_STD,
        ),
        "coco-stuff": Checkpoint(
            address=f"{_RELEASE}model_final_v1_coco_new.pth",
            mean=COCO_MEAN,
            std=COCO_STD,
        ),
    },
    notes=(
        "The reference is a widely used re-implementation, not the paper's authors' code; its "
        "scores are its own. As there: attention refinement starts with a 3x3 convolution, maps "
        "are enlarged by nearest neighbour, the spatial path ends in a 1x1 convolution. Its "
        "weights come with the mean and deviation of their own training images."
    ),
    from_reference=from_reference,
)
