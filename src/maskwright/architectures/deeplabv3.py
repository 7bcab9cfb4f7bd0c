"""DeepLab v3: Rethinking Atrous Convolution for Semantic Image Segmentation.

Liang-Chieh Chen, George Papandreou, Florian Schroff, Hartwig Adam, 2017, arXiv 1706.05587.

Notable: the classifier's last steps dilate instead of shrinking, and behind them atrous spatial
pyramid pooling looks at several scales at once: 3x3 convolutions of three dilations, a 1x1, and the
mean of the whole image, which large dilations on small maps come to lack.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from maskwright.architectures.contract import Card, Checkpoint, Published
from maskwright.architectures.encoder_network import AuxiliarySettings, EncoderNetwork
from maskwright.architectures.encoders.reference import split_encoder
from maskwright.architectures.renaming import rename, rename_aspp
from maskwright.layers.aspp import ASPP
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class DeepLabV3Config(AuxiliarySettings):
    """Sizes; the defaults are those of torchvision's deeplabv3_resnet50.

    Attributes:
        width: C of the pyramid's branches and of the head.
        rates: dilations of the pyramid's 3x3 convolutions; the paper doubles (6, 12, 18) at output
            stride 8.
        separable: those convolutions are depth-wise separable.
        separable_head: the head's 3x3 is, too.
        dropout: behind the pyramid.
        align_corners: logits are enlarged corner on corner, as segmentation_models_pytorch does.
    """

    output_stride: int = 8
    width: int = 256
    rates: tuple[int, ...] = (12, 24, 36)
    separable: bool = False
    separable_head: bool = False
    dropout: float = 0.5
    align_corners: bool = False


def lite_config(encoder: str) -> DeepLabV3Config:
    """A fast DeepLab v3 on one of timm's encoders: output stride 16, separable, half as wide."""
    return DeepLabV3Config(
        encoder=encoder, output_stride=16, width=128, rates=(6, 12, 18), separable=True, dropout=0.1
    )


class DeepLabV3(EncoderNetwork):
    """Encoder, atrous spatial pyramid pooling, two convolutions (figure 5)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"auxiliary": 0.5}

    def __init__(self, config: DeepLabV3Config) -> None:
        super().__init__(config, config.align_corners)
        self.head = _Head(self.encoder.channels[-1], config)
        self.head.apply(initialise)


class _Head(PixelClassifier):
    def __init__(self, inside: int, config: DeepLabV3Config) -> None:
        super().__init__(
            config.width, config.width, config.classes, separable=config.separable_head
        )
        self.aspp = ASPP(inside, config.width, config.rates, config.separable, config.dropout)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """Deepest features -> logits [B, K, h, w]."""
        return super().forward(self.aspp(features_BChw))


def tiny(classes: int) -> DeepLabV3:
    """The smallest useful DeepLab v3, for tests: 0.2 M parameters."""
    return DeepLabV3(
        DeepLabV3Config(
            classes=classes,
            encoder="resnet18",
            encoder_width=0.125,
            width=24,
            rates=(1, 2, 4),
            dropout=0.1,
        )
    )


_NAMES = (
    # torchvision, VainF/DeepLabV3Plus-Pytorch, segmentation_models_pytorch
    (r"^aux_classifier\.0\.", "auxiliary.conv.conv."),
    (r"^aux_classifier\.1\.", "auxiliary.conv.norm."),
    (r"^aux_classifier\.4\.", "auxiliary.classify."),
    (r"^(classifier\.)?classifier\.0\.", "head.aspp."),
    (r"^(classifier\.)?classifier\.1\.body\.0\.", "head.conv.depthwise."),
    (r"^(classifier\.)?classifier\.1\.body\.1\.", "head.conv.pointwise."),
    (r"^(classifier\.)?classifier\.1\.", "head.conv.conv."),
    (r"^(classifier\.)?classifier\.2\.", "head.conv.norm."),
    (r"^(classifier\.)?classifier\.4\.", "head.classify."),
    (r"^decoder\.aspp\.", "head.aspp."),
    (r"^decoder\.conv\.", "head.conv.conv."),
    (r"^decoder\.bn\.", "head.conv.norm."),
    (r"^segmentation_head\.0\.", "head.classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of torchvision, VainF or segmentation_models_pytorch -> ours."""
    encoder, others = split_encoder(weights)
    return encoder | rename_aspp(rename(others, *_NAMES))


_COCO = "COCO val2017 subset, VOC labels"
_PUBLISHED = (
    ("deeplabv3-resnet50", f"mIoU {_COCO}", 66.4),
    ("deeplabv3-resnet50", f"pixel accuracy {_COCO}", 92.4),
    ("deeplabv3-resnet50", "GFLOPs, torchvision's count", 178.722),
    ("deeplabv3-resnet50", "parameters, millions", 42.0),
    ("deeplabv3-resnet101", f"mIoU {_COCO}", 67.4),
    ("deeplabv3-resnet101", f"pixel accuracy {_COCO}", 92.4),
    ("deeplabv3-resnet101", "parameters, millions", 61.0),
    ("deeplabv3-mobilenetv3", f"mIoU {_COCO}", 60.3),
    ("deeplabv3-mobilenetv3", f"pixel accuracy {_COCO}", 91.2),
    ("deeplabv3-mobilenetv3", "GFLOPs, torchvision's count", 10.452),
    ("deeplabv3-mobilenetv3", "parameters, millions", 11.0),
)
_DOWNLOADS = "https://download.pytorch.org/models/"

CARD = Card(
    title="DeepLab v3",
    paper=(
        "Chen, Papandreou, Schroff, Adam: Rethinking Atrous Convolution for Semantic Image "
        "Segmentation, 2017, arXiv 1706.05587"
    ),
    tasks=("semantic",),
    repository="https://github.com/pytorch/vision",
    licence="BSD-3-Clause",
    published=tuple(
        Published(
            variant=variant,
            what=what,
            value=value,
            source="torchvision 0.29.1, DeepLabV3 weights COCO_WITH_VOC_LABELS_V1",
        )
        for variant, what, value in _PUBLISHED
    ),
    checkpoints={
        f"coco with VOC labels, {encoder}": Checkpoint(address=_DOWNLOADS + file)
        for encoder, file in (
            ("ResNet-50", "deeplabv3_resnet50_coco-cd0a2569.pth"),
            ("ResNet-101", "deeplabv3_resnet101_coco-586e9e4e.pth"),
            ("MobileNetV3-Large", "deeplabv3_mobilenet_v3_large-fc3c493d.pth"),
        )
    },
    notes=(
        "The authors' own code is TensorFlow's; the goldens are torchvision's, which adds an "
        "auxiliary head (weight 0.5) and uses rates 12, 24, 36 at either output stride. It takes "
        "MobileNetV3's features behind each stage's first block. VainF's and "
        "segmentation_models_pytorch's weights load too."
    ),
    from_reference=from_reference,
)
