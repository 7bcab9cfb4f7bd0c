"""DeepLab v3+: Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation.

Liang-Chieh Chen, Yukun Zhu, George Papandreou, Florian Schroff, Hartwig Adam, ECCV 2018,
arXiv 1802.02611.

Notable: DeepLab v3 with a decoder of a few layers. The pyramid's output meets features of stride 4,
which are first narrowed so that they don't outweigh it, and two convolutions sharpen the edges.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map; a
number behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Published
from maskwright.architectures.encoder_network import EncoderNetwork
from maskwright.architectures.encoders import EncoderSettings
from maskwright.architectures.encoders.reference import split_encoder
from maskwright.architectures.renaming import rename, rename_aspp
from maskwright.layers.aspp import ASPP
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.enlarge import enlarge
from maskwright.layers.initialise import initialise
from maskwright.layers.separable import SeparableConvNormAct


@dataclass(frozen=True, kw_only=True)
class DeepLabV3PlusConfig(EncoderSettings):
    """Sizes; the defaults are those of section 4 on a ResNet.

    Attributes:
        width: C of the pyramid's branches and of the decoder.
        low_width: C that the features of stride 4 are narrowed to.
        rates: dilations of the pyramid's 3x3 convolutions: (6, 12, 18) at output stride 16, twice
            as much at 8.
        separable_pyramid: those convolutions are depth-wise separable.
        separable_decoder: the decoder's 3x3 is.
        refine: one more separable 3x3 behind the pyramid, as segmentation_models_pytorch has it.
        dropout: behind the pyramid.
        align_corners: features and logits are enlarged corner on corner, as
            segmentation_models_pytorch does.
    """

    width: int = 256
    low_width: int = 48
    rates: tuple[int, ...] = (6, 12, 18)
    separable_pyramid: bool = False
    separable_decoder: bool = False
    refine: bool = False
    dropout: float = 0.1
    align_corners: bool = False


def lite_config(encoder: str) -> DeepLabV3PlusConfig:
    """A fast DeepLab v3+ on one of timm's encoders: all 3x3 separable, half as wide."""
    return DeepLabV3PlusConfig(
        encoder=encoder, width=128, low_width=32, separable_pyramid=True, separable_decoder=True
    )


class DeepLabV3Plus(EncoderNetwork):
    """Encoder, atrous spatial pyramid pooling, a decoder at stride 4 (figure 2)."""

    def __init__(self, config: DeepLabV3PlusConfig) -> None:
        super().__init__(config, config.align_corners)
        self.low = self.encoder.level(4)
        self.head = _Decoder(self.encoder.channels[self.low], self.encoder.channels[-1], config)
        self.head.apply(initialise)

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """All features, finest first -> logits BKhw4."""
        logits_BKhw4: Tensor = self.head(features[self.low], features[-1])
        return logits_BKhw4


class _Decoder(nn.Module):
    def __init__(self, low: int, deep: int, config: DeepLabV3PlusConfig) -> None:
        super().__init__()
        width = config.width
        block = SeparableConvNormAct if config.separable_decoder else ConvNormAct
        self.aspp = ASPP(deep, width, config.rates, config.separable_pyramid, config.dropout)
        self.refine = SeparableConvNormAct(width, width) if config.refine else nn.Identity()
        self.narrow = ConvNormAct(low, config.low_width, 1)
        self.fuse = block(config.low_width + width, width)
        self.classify = nn.Conv2d(width, config.classes, 1)
        self.align_corners = config.align_corners

    def forward(self, low_BChw4: Tensor, deep_BChw: Tensor) -> Tensor:
        """Features of stride 4 and the deepest -> logits BKhw4."""
        context_BChw = self.refine(self.aspp(deep_BChw))
        context_BChw4 = enlarge(context_BChw, low_BChw4.shape, self.align_corners)
        joined_BChw4 = torch.cat([self.narrow(low_BChw4), context_BChw4], dim=1)
        return self.classify(self.fuse(joined_BChw4))


def tiny(classes: int) -> DeepLabV3Plus:
    """The smallest useful DeepLab v3+, for tests: 0.3 M parameters."""
    return DeepLabV3Plus(
        DeepLabV3PlusConfig(
            classes=classes,
            encoder="resnet18",
            encoder_width=0.125,
            width=24,
            low_width=8,
            rates=(1, 2, 4),
        )
    )


def tiny_encoder(classes: int) -> DeepLabV3Plus:
    """One on a small timm encoder, for tests."""
    return DeepLabV3Plus(
        DeepLabV3PlusConfig(
            classes=classes, encoder="test_efficientnet", width=24, low_width=8, rates=(1, 2, 4)
        )
    )


_NAMES = (
    # VainF/DeepLabV3Plus-Pytorch
    (r"^classifier\.aspp\.", "head.aspp."),
    (r"^classifier\.project\.0\.", "head.narrow.conv."),
    (r"^classifier\.project\.1\.", "head.narrow.norm."),
    (r"^classifier\.classifier\.0\.body\.0\.", "head.fuse.depthwise."),
    (r"^classifier\.classifier\.0\.body\.1\.", "head.fuse.pointwise."),
    (r"^classifier\.classifier\.0\.", "head.fuse.conv."),
    (r"^classifier\.classifier\.1\.", "head.fuse.norm."),
    (r"^classifier\.classifier\.3\.", "head.classify."),
    # segmentation_models_pytorch
    (r"^decoder\.aspp\.0\.", "head.aspp."),
    (r"^decoder\.aspp\.1\.0\.", "head.refine.depthwise."),
    (r"^decoder\.aspp\.1\.1\.", "head.refine.pointwise."),
    (r"^decoder\.aspp\.2\.", "head.refine.norm."),
    (r"^decoder\.block1\.0\.", "head.narrow.conv."),
    (r"^decoder\.block1\.1\.", "head.narrow.norm."),
    (r"^decoder\.block2\.0\.0\.", "head.fuse.depthwise."),
    (r"^decoder\.block2\.0\.1\.", "head.fuse.pointwise."),
    (r"^decoder\.block2\.1\.", "head.fuse.norm."),
    (r"^segmentation_head\.0\.", "head.classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of VainF/DeepLabV3Plus-Pytorch or segmentation_models_pytorch -> ours."""
    encoder, others = split_encoder(weights)
    ours = rename_aspp(rename(others, *_NAMES))
    if {"decoder.block1.1.weight", "decoder.block2.0.0.weight"} <= others.keys():
        _put_low_first(ours)
    return encoder | ours


def _put_low_first(ours: dict[str, Tensor]) -> None:
    """segmentation_models_pytorch appends the narrow features to the pyramid's; we lead with them.

    Changes the weights of the convolution that reads both.
    """
    low = ours["head.narrow.norm.weight"].shape[0]
    for name, dim in (("head.fuse.depthwise.weight", 0), ("head.fuse.pointwise.weight", 1)):
        ours[name] = ours[name].roll(low, dims=dim)


_README = "README of VainF/DeepLabV3Plus-Pytorch at 4e1087d, crops of 513 pixels, output stride 16"
_PUBLISHED = (
    ("deeplabv3plus-mobilenetv2", "mIoU VOC 2012 val", 71.1),
    ("deeplabv3plus-resnet50", "mIoU VOC 2012 val", 77.2),
    ("deeplabv3plus-resnet101", "mIoU VOC 2012 val", 78.3),
    ("deeplabv3plus-mobilenetv2", "mIoU Cityscapes val", 72.1),
    ("deeplabv3plus-resnet101", "mIoU Cityscapes val", 76.2),
)

CARD = Card(
    title="DeepLab v3+",
    paper=(
        "Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable Convolution "
        "for Semantic Image Segmentation, ECCV 2018, arXiv 1802.02611"
    ),
    tasks=("semantic",),
    repository="https://github.com/VainF/DeepLabV3Plus-Pytorch",
    licence="MIT",
    published=tuple(
        Published(variant=variant, what=what, value=value, source=_README)
        for variant, what, value in _PUBLISHED
    ),
    notes=(
        "The authors' own code is TensorFlow's; the goldens are of two re-implementations, VainF's "
        "and segmentation_models_pytorch's (separable convolutions, one more behind the pyramid, "
        "corner-aligned enlargement). VainF's MobileNetV2 puts zeros around a block's input before "
        "widening it, and its Xception crops: the encoders mobilenetv2-pad-early and "
        "xception-cropped do the same. The paper's Xception is a deeper, strided one."
    ),
    from_reference=from_reference,
)
