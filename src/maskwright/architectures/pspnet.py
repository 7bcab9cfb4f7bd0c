"""PSPNet: Pyramid Scene Parsing Network.

Hengshuang Zhao, Jianping Shi, Xiaojuan Qi, Xiaogang Wang, Jiaya Jia, CVPR 2017, arXiv 1612.01105.

Notable: what a pixel is depends on the scene. Averages of the deepest features over 1, 4, 9 and 36
parts of the image are put beside every pixel's own; a second head in the middle of the residual
network helps to train it.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from maskwright.architectures.contract import Card, Published
from maskwright.architectures.encoder_network import AuxiliarySettings, EncoderNetwork
from maskwright.architectures.encoders.reference import split_encoder
from maskwright.architectures.renaming import rename
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise
from maskwright.layers.pyramid import PyramidPooling


@dataclass(frozen=True, kw_only=True)
class PSPNetConfig(AuxiliarySettings):
    """Sizes; the defaults are those of hszhao/semseg's PSPNet50.

    Attributes:
        bins: n of each of the pyramid's grids of n x n averages.
        pyramid_width: C of each grid; 0 shares the encoder's last C among them.
        plain_mean: a grid of one bin, the image's mean, has no norm (but a bias), as
            segmentation_models_pytorch has it: of one image in a batch there is nothing to norm.
        width: C between the head's two convolutions.
        kernels: sides of these.
        dropout: in front of the head's last convolution.
    """

    output_stride: int = 8
    deep_stem: bool = True
    dilate_first: bool = True
    bins: tuple[int, ...] = (1, 2, 3, 6)
    pyramid_width: int = 0
    plain_mean: bool = False
    width: int = 512
    kernels: tuple[int, int] = (3, 1)
    dropout: float = 0.1


def lite_config(encoder: str) -> PSPNetConfig:
    """A fast PSPNet on one of timm's encoders: output stride 16, a narrow head."""
    return PSPNetConfig(
        encoder=encoder, output_stride=16, deep_stem=False, dilate_first=False, width=128
    )


class PSPNet(EncoderNetwork):
    """Encoder, pyramid pooling, two convolutions (figure 3)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"auxiliary": 0.4}

    def __init__(self, config: PSPNetConfig) -> None:
        super().__init__(config, align_corners=True)
        self.head = _Head(self.encoder.channels[-1], config)
        self.head.apply(initialise)


class _Head(PixelClassifier):
    def __init__(self, inside: int, config: PSPNetConfig) -> None:
        share = config.pyramid_width or inside // max(1, len(config.bins))
        joined = inside + share * len(config.bins)
        super().__init__(joined, config.width, config.classes, config.dropout, config.kernels)
        self.pyramid = PyramidPooling(inside, share, config.bins, plain_mean=config.plain_mean)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """Deepest features -> logits [B, K, h, w]."""
        return super().forward(self.pyramid(features_BChw))


def tiny(classes: int) -> PSPNet:
    """The smallest useful PSPNet, for tests: 0.3 M parameters."""
    return PSPNet(
        PSPNetConfig(
            classes=classes, encoder="resnet18", encoder_width=0.125, bins=(1, 2, 3), width=32
        )
    )


_NAMES = (
    # hszhao/semseg
    (r"^ppm\.features\.(\d+)\.1\.", r"head.pyramid.branches.\1.conv."),
    (r"^ppm\.features\.(\d+)\.2\.", r"head.pyramid.branches.\1.norm."),
    (r"^cls\.", "head."),
    (r"^aux\.", "auxiliary."),
    (r"^(head|auxiliary)\.0\.", r"\1.conv.conv."),
    (r"^(head|auxiliary)\.1\.", r"\1.conv.norm."),
    (r"^(head|auxiliary)\.4\.", r"\1.classify."),
    # segmentation_models_pytorch
    (r"^decoder\.psp\.blocks\.(\d+)\.pool\.1\.0\.", r"head.pyramid.branches.\1.conv."),
    (r"^decoder\.psp\.blocks\.(\d+)\.pool\.1\.1\.", r"head.pyramid.branches.\1.norm."),
    (r"^decoder\.conv\.0\.", "head.conv.conv."),
    (r"^decoder\.conv\.1\.", "head.conv.norm."),
    (r"^segmentation_head\.0\.", "head.classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of hszhao/semseg or segmentation_models_pytorch -> ours."""
    encoder, others = split_encoder(weights, r"(?=layer\d\.)|encoder\.")
    ours = rename(others, *_NAMES)
    if "decoder.conv.0.weight" in others:
        _put_features_first(ours)
    return encoder | ours


def _put_features_first(ours: dict[str, Tensor]) -> None:
    """segmentation_models_pytorch appends the features to their averages; we lead with them.

    Changes the weights of the convolution that reads both.
    """
    features = ours["head.pyramid.branches.0.conv.weight"].shape[1]
    ours["head.conv.conv.weight"] = ours["head.conv.conv.weight"].roll(features, dims=1)


_README = "README of hszhao/semseg at 4f274c3, single scale"
_PUBLISHED = (
    ("pspnet50", "mIoU ADE20K val", 41.89),
    ("pspnet101", "mIoU ADE20K val", 43.10),
    ("pspnet50", "mIoU VOC 2012 val", 77.05),
    ("pspnet101", "mIoU VOC 2012 val", 79.07),
    ("pspnet50", "mIoU Cityscapes val", 77.30),
    ("pspnet101", "mIoU Cityscapes val", 78.63),
)

CARD = Card(
    title="PSPNet",
    paper=("Zhao, Shi, Qi, Wang, Jia: Pyramid Scene Parsing Network, CVPR 2017, arXiv 1612.01105"),
    tasks=("semantic",),
    repository="https://github.com/hszhao/semseg",
    licence="MIT",
    published=tuple(
        Published(variant=variant, what=what, value=value, source=_README)
        for variant, what, value in _PUBLISHED
    ),
    notes=(
        "The first author's PyTorch code: a stem of three 3x3 convolutions, dilations 2 and 4 from "
        "the first block of the last two stages on, an auxiliary head on the stage before the last "
        "with weight 0.4, everything enlarged corner on corner. There, sizes must be 8 n + 1; here "
        "any will do. segmentation_models_pytorch's weights load too: its PSPNet reads an encoder "
        "cut at stride 8 (levels 3) instead of a dilated one."
    ),
    from_reference=from_reference,
)
