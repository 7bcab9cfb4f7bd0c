"""LR-ASPP, from Searching for MobileNetV3.

Andrew Howard, Mark Sandler, Grace Chu, Liang-Chieh Chen, Bo Chen, Mingxing Tan, Weijun Wang, Yukun
Zhu, Ruoming Pang, Vijay Vasudevan, Quoc V. Le, Hartwig Adam, ICCV 2019, arXiv 1905.02244, section
6.4 and figure 10.

Notable: a "lite, reduced" pyramid. One 1x1 convolution of the deepest features, gated by their mean
as in squeeze and excitation, is classified; a 1x1 classification of finer features is added.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map; a
number behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from maskwright.architectures.contract import Card, Checkpoint, Published
from maskwright.architectures.encoder_network import EncoderNetwork
from maskwright.architectures.encoders import EncoderSettings
from maskwright.architectures.encoders.reference import split_encoder
from maskwright.architectures.renaming import rename
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.enlarge import enlarge
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class LRASPPConfig(EncoderSettings):
    """Sizes; the defaults are those of torchvision's lraspp_mobilenet_v3_large.

    Attributes:
        width: C of the gated features.
        low_stride: of the finer features.
    """

    encoder: str = "mobilenetv3-large"
    width: int = 128
    low_stride: int = 8


class LRASPP(EncoderNetwork):
    """Encoder, gated deep features, a sum of two classifications (figure 10)."""

    def __init__(self, config: LRASPPConfig) -> None:
        super().__init__(config)
        self.low = self.encoder.level(config.low_stride)
        self.head = _Head(self.encoder.channels[self.low], self.encoder.channels[-1], config)
        self.head.apply(initialise)

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """All features, finest first -> logits BKhw8."""
        logits_BKhw8: Tensor = self.head(features[self.low], features[-1])
        return logits_BKhw8

    def head_prefixes(self) -> tuple[str, ...]:
        """Both classifications."""
        return ("head.classify.", "head.classify_low.")


class _Head(nn.Module):
    def __init__(self, low: int, deep: int, config: LRASPPConfig) -> None:
        super().__init__()
        self.project = ConvNormAct(deep, config.width, 1)
        self.gate = nn.Conv2d(deep, config.width, 1, bias=False)
        self.classify = nn.Conv2d(config.width, config.classes, 1)
        self.classify_low = nn.Conv2d(low, config.classes, 1)

    def forward(self, low_BChw8: Tensor, deep_BChw: Tensor) -> Tensor:
        """Finer features and the deepest -> logits BKhw8.

        Enlarging commutes with a 1x1 convolution, so it is done to the few channels behind it.
        """
        gate_BC11 = self.gate(deep_BChw.mean(dim=(2, 3), keepdim=True)).sigmoid()
        logits_BKhw = self.classify(self.project(deep_BChw) * gate_BC11)
        return self.classify_low(low_BChw8) + enlarge(logits_BKhw, low_BChw8.shape)


def tiny(classes: int) -> LRASPP:
    """The smallest useful LR-ASPP, for tests: 0.1 M parameters, and features of stride 4."""
    return LRASPP(
        LRASPPConfig(
            classes=classes,
            encoder="mobilenetv3-small",
            encoder_width=0.25,
            output_stride=8,
            width=32,
            low_stride=4,
        )
    )


_NAMES = (
    (r"^classifier\.cbr\.0\.", "head.project.conv."),
    (r"^classifier\.cbr\.1\.", "head.project.norm."),
    (r"^classifier\.scale\.1\.", "head.gate."),
    (r"^classifier\.low_classifier\.", "head.classify_low."),
    (r"^classifier\.high_classifier\.", "head.classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names -> ours."""
    encoder, others = split_encoder(weights)
    return encoder | rename(others, *_NAMES)


_SOURCE = "torchvision 0.29.1, LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1"
_PUBLISHED = (
    ("mIoU COCO val2017 subset, VOC labels", 57.9),
    ("pixel accuracy COCO val2017 subset, VOC labels", 91.2),
    ("parameters, millions", 3.2),
)

CARD = Card(
    title="LR-ASPP",
    paper=(
        "Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam: Searching "
        "for MobileNetV3, ICCV 2019, arXiv 1905.02244"
    ),
    tasks=("semantic",),
    repository="https://github.com/pytorch/vision",
    licence="BSD-3-Clause",
    published=tuple(
        Published(variant="lraspp-mobilenetv3", what=what, value=value, source=_SOURCE)
        for what, value in _PUBLISHED
    ),
    checkpoints={
        "coco with VOC labels": Checkpoint(
            address="https://download.pytorch.org/models/lraspp_mobilenet_v3_large-d234d4ea.pth"
        ),
    },
    notes=(
        "torchvision's form: the gate reads the mean of all of the features, where the paper pools "
        "with large strided windows, and finer features come from behind the first block of "
        "stride 8. The deep classification is enlarged behind its 1x1 convolution, not in front: "
        "the same function for less work."
    ),
    from_reference=from_reference,
)
