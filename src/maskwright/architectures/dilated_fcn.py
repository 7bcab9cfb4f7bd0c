"""A fully convolutional head on a dilated residual network.

Jonathan Long, Evan Shelhamer, Trevor Darrell: Fully Convolutional Networks for Semantic
Segmentation, CVPR 2015, arXiv 1411.4038; dilated as in Yu, Koltun, Funkhouser: Dilated Residual
Networks, CVPR 2017, arXiv 1705.09914.

Notable: nothing but a classifier whose last steps dilate instead of shrinking, and two convolutions
in place of its fully connected layer. It is what every head for context is measured against.

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
from maskwright.architectures.renaming import rename
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class DilatedFCNConfig(AuxiliarySettings):
    """Sizes; the defaults are those of torchvision's fcn_resnet50.

    Attributes:
        head_width: C of the head's 3x3 convolution; 0: a quarter of the encoder's last C.
        dropout: in front of the head's last convolution.
    """

    output_stride: int = 8
    head_width: int = 0
    dropout: float = 0.1


class DilatedFCN(EncoderNetwork):
    """Encoder, 3x3 convolution, 1x1 convolution to the classes."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"auxiliary": 0.5}

    def __init__(self, config: DilatedFCNConfig) -> None:
        super().__init__(config)
        inside = self.encoder.channels[-1]
        width = config.head_width or max(1, inside // 4)
        self.head = PixelClassifier(inside, width, config.classes, config.dropout)
        self.head.apply(initialise)


def tiny(classes: int) -> DilatedFCN:
    """The smallest useful one, for tests: 0.2 M parameters."""
    return DilatedFCN(
        DilatedFCNConfig(classes=classes, encoder="resnet18", encoder_width=0.125, head_width=16)
    )


_NAMES = (
    (r"^aux_classifier\.", "auxiliary."),
    (r"^classifier\.", "head."),
    (r"^(head|auxiliary)\.0\.", r"\1.conv.conv."),
    (r"^(head|auxiliary)\.1\.", r"\1.conv.norm."),
    (r"^(head|auxiliary)\.4\.", r"\1.classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names -> ours."""
    encoder, others = split_encoder(weights)
    return encoder | rename(others, *_NAMES)


_META = "torchvision 0.29.1, FCN_ResNet{}_Weights.COCO_WITH_VOC_LABELS_V1"
_PUBLISHED = (
    ("fcn-resnet50", "mIoU COCO val2017 subset, VOC labels", 60.5),
    ("fcn-resnet50", "pixel accuracy COCO val2017 subset, VOC labels", 91.4),
    ("fcn-resnet50", "GFLOPs, torchvision's count", 152.717),
    ("fcn-resnet50", "parameters, millions", 35.3),
    ("fcn-resnet101", "mIoU COCO val2017 subset, VOC labels", 63.7),
    ("fcn-resnet101", "pixel accuracy COCO val2017 subset, VOC labels", 91.9),
    ("fcn-resnet101", "parameters, millions", 54.3),
)

CARD = Card(
    title="FCN on a dilated residual network",
    paper=(
        "Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, CVPR "
        "2015, arXiv 1411.4038; Yu, Koltun, Funkhouser: Dilated Residual Networks, CVPR 2017, "
        "arXiv 1705.09914"
    ),
    tasks=("semantic",),
    repository="https://github.com/pytorch/vision",
    licence="BSD-3-Clause",
    published=tuple(
        Published(
            variant=variant, what=what, value=value, source=_META.format(variant.split("t")[-1])
        )
        for variant, what, value in _PUBLISHED
    ),
    checkpoints={
        f"coco with VOC labels, {encoder}": Checkpoint(
            address=f"https://download.pytorch.org/models/{file}"
        )
        for encoder, file in (
            ("ResNet-50", "fcn_resnet50_coco-1167a1af.pth"),
            ("ResNet-101", "fcn_resnet101_coco-7ecb50ca.pth"),
        )
    },
    notes=(
        "torchvision's form: the head on stride 8, an auxiliary head on the stage before the last "
        "with weight 0.5, logits enlarged bilinearly. Any encoder takes the place of the residual "
        "network."
    ),
    from_reference=from_reference,
)
