"""DANet: Dual Attention Network for Scene Segmentation.

Jun Fu, Jing Liu, Haijie Tian, Yong Li, Yongjun Bao, Zhiwei Fang, Hanqing Lu, CVPR 2019,
arXiv 1809.02983.

Notable: two self-attentions side by side on a dilated ResNet. Position attention: every place reads
from all others what is like it, however far. Channel attention: every channel reads from all
others, without any learned projection. Both start as nothing (a factor that begins at 0) and grow
in training; the branches are summed, and each is trained by a classifier of its own as well.

Legend: B batch, 3 colours (RGB), C channels, D channels of queries and keys, K classes, H W of the
image, h w of a feature map, N = h w.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Checkpoint, Published, SemanticNetwork
from maskwright.architectures.encoders import DilatedResNetSettings
from maskwright.architectures.renaming import rename
from maskwright.layers.attention import attend, attend_to_channels
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.enlarge import enlarge
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class DANetConfig(DilatedResNetSettings):
    """Sizes; the defaults are those of DANet-50 for Cityscapes.

    Attributes:
        classes: K.
        width: C of both branches.
        key_width: D of the position attention.
        dropout: of whole channels before the classes.
    """

    classes: int = 19
    width: int = 512
    key_width: int = 64
    dropout: float = 0.1


SMALL = DANetConfig(
    encoder_depths=(2, 2, 2, 2),
    encoder_widths=(16, 32, 64, 128),
    output_stride=16,
    multi_grid=(),
    width=128,
    key_width=16,
)
"""A quarter of the widths on a shallow encoder at output stride 16: minutes on a CPU."""


class DANet(SemanticNetwork):
    """Position and channel attention, summed (figure 2)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"position": 1.0, "channel": 1.0}

    def __init__(self, config: DANetConfig) -> None:
        encoder = config.create_encoder()
        super().__init__(config, encoder.mean, encoder.std)
        deep, width = encoder.channels[-1], config.width
        self.encoder = encoder
        self.position = nn.Sequential(
            ConvNormAct(deep, width),
            _PositionAttention(width, config.key_width),
            ConvNormAct(width, width),
        )
        self.channel = nn.Sequential(
            ConvNormAct(deep, width), _ChannelAttention(), ConvNormAct(width, width)
        )
        self.classify = _classifier(config)
        self.classify_position = _classifier(config)
        self.classify_channel = _classifier(config)
        for head in (self.position, self.channel):
            head.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKHW} and, in training, "position", "channel"."""
        features_BChw = self.encoder(images_B3HW)[-1]
        position_BChw, channel_BChw = self.position(features_BChw), self.channel(features_BChw)
        outputs = {"logits": self.classify(position_BChw + channel_BChw)}
        if self.training:
            outputs["position"] = self.classify_position(position_BChw)
            outputs["channel"] = self.classify_channel(channel_BChw)
        size = images_B3HW.shape[-2:]
        return {name: enlarge(logits, size, True) for name, logits in outputs.items()}

    def head_prefixes(self) -> tuple[str, ...]:
        """The 1x1 convolutions to the classes."""
        return ("classify.", "classify_position.", "classify_channel.")


class _PositionAttention(nn.Module):
    """Figure 3a, equations 1 and 2: queries and keys are projected, and not scaled."""

    def __init__(self, width: int, key_width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, key_width, 1)
        self.key = nn.Conv2d(width, key_width, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, features_BChw: Tensor) -> Tensor:
        query_BND, key_BND, value_BNC = (
            project(features_BChw).flatten(2).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        seen_BCN = attend(query_BND, key_BND, value_BNC).transpose(1, 2)
        return self.scale * seen_BCN.view_as(features_BChw) + features_BChw


class _ChannelAttention(nn.Module):
    """Figure 3b, equations 3 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, features_BChw: Tensor) -> Tensor:
        channels_BCN = features_BChw.flatten(2)
        seen_BCN = attend_to_channels(channels_BCN, channels_BCN)
        return self.scale * seen_BCN.view_as(features_BChw) + features_BChw


def _classifier(config: DANetConfig) -> nn.Sequential:
    return nn.Sequential(nn.Dropout2d(config.dropout), nn.Conv2d(config.width, config.classes, 1))


def tiny(classes: int) -> DANet:
    """The smallest useful DANet, for tests: 0.3 M parameters."""
    return DANet(
        DANetConfig(
            classes=classes,
            encoder_depths=(1, 1, 1, 1),
            encoder_widths=(8, 12, 16, 24),
            multi_grid=(2,),
            width=48,
            key_width=8,
            dropout=0.0,
        )
    )


_NAMES = (
    (r"^pretrained\.", "encoder."),
    (r"^head\.conv5a\.([01])\.", r"position.0.\1."),
    (r"^head\.conv5c\.([01])\.", r"channel.0.\1."),
    (r"^head\.sa\.(query|key|value)_conv\.", r"position.1.\1."),
    (r"^head\.sa\.gamma$", "position.1.scale"),
    (r"^head\.sc\.gamma$", "channel.1.scale"),
    (r"^head\.conv51\.([01])\.", r"position.2.\1."),
    (r"^head\.conv52\.([01])\.", r"channel.2.\1."),
    (r"^(position|channel)\.([02])\.0\.", r"\1.\2.conv."),
    (r"^(position|channel)\.([02])\.1\.", r"\1.\2.norm."),
    (r"^head\.conv6\.", "classify_position."),
    (r"^head\.conv7\.", "classify_channel."),
    (r"^head\.conv8\.", "classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names -> ours; the encoder's unused classifier is left out."""
    used = {name: w for name, w in weights.items() if not name.startswith("pretrained.fc.")}
    return rename(used, *_NAMES)


_README = "README of junfu1115/DANet at b0a0fa0"

CARD = Card(
    title="DANet",
    paper=(
        "Fu, Liu, Tian, Li, Bao, Fang, Lu: Dual Attention Network for Scene Segmentation, CVPR "
        "2019, arXiv 1809.02983"
    ),
    tasks=("semantic",),
    repository="https://github.com/junfu1115/DANet",
    licence="MIT",
    published=tuple(
        Published(variant="danet-resnet101", what=what, value=value, source=_README)
        for what, value in (
            ("mIoU Cityscapes val, single scale", 79.93),
            ("pixel accuracy Cityscapes val, single scale", 95.97),
            ("mIoU Cityscapes test, fine annotations only", 81.5),
            ("mIoU Cityscapes val, single scale, MMSegmentation", 80.47),
            ("mIoU Cityscapes val, multi-scale, MMSegmentation", 82.02),
        )
    ),
    checkpoints={
        "cityscapes, resnet101": Checkpoint(
            address="https://drive.google.com/open?id=1XmpFEF-tbPH0Rmv4eKRxYJngr3pTbj6p"
        )
    },
    notes=(
        "Position attention runs by blocks of rows: the same function (to 1e-15 in float64), with "
        "memory that does not grow with the square of the image. Logits are enlarged with aligned "
        "corners, as the authors do. Channel attention's energies grow with the image's area, so "
        "that its softmax saturates on large ones: the authors' design, kept."
    ),
    from_reference=from_reference,
)
