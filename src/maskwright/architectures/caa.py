"""CAA: Channelized Axial Attention - Considering Channel Relation within Spatial Attention.

Ye Huang, Di Kang, Wenjing Jia, Xiangjian He, Liu Liu, AAAI 2022, arXiv 2101.07434.

Notable: attention first along columns, then along rows, so that a pixel sees all others for the
price of two lines; and between the product and the sum of attention, each row (and then each
column) weighs its channels by a small network of its own, seeing what the sum would have hidden.
That network is fed a mean over all of the products. A mean of sums is a sum of means, so they need
not be kept: memory stays that of plain axial attention, without the authors' loop over groups.

Legend: B batch, 3 colours (RGB), C channels, D channels of queries and keys (which are the same),
K classes, H W of the image, h w of a feature map, L lines (columns or rows), A places along one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Published, SemanticNetwork
from maskwright.architectures.encoders import TimmEncoder
from maskwright.architectures.renaming import rename
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise

_EPS = 1e-3  # of the batch norms, as the authors' framework has it


@dataclass(frozen=True, kw_only=True)
class CAAConfig:
    """Sizes; the defaults are those of CAA on EfficientNet-B0 for PASCAL-Context.

    Attributes:
        classes: K.
        encoder: timm's name; tf_efficientnet_b0 to b7 are the paper's, any pyramid will do.
        pretrained: start from ImageNet weights.
        output_stride: of the encoder's last features: 8, 16 or 32.
        width: C of the attention.
        key_width: D.
        gate_depth: hidden layers of the networks that weigh channels; 0 leaves the networks out.
        gate_width: of those layers.
        image_level: join the image's mean features, from before the attention.
        head_width: C before the classes.
        auxiliary_width: C before the classes of the auxiliary head.
        dropout: of whole channels before the classes.
    """

    classes: int = 60
    encoder: str = "tf_efficientnet_b0"
    pretrained: bool = False
    output_stride: int = 16
    width: int = 512
    key_width: int = 64
    gate_depth: int = 5
    gate_width: int = 128
    image_level: bool = True
    head_width: int = 256
    auxiliary_width: int = 256
    dropout: float = 0.1


def lite_config(encoder: str) -> CAAConfig:
    """A fast CAA on one of timm's encoders: a head of a quarter of the width."""
    return CAAConfig(encoder=encoder, width=128, key_width=32, gate_width=32, head_width=64)


class CAA(SemanticNetwork):
    """An encoder and the channelized axial attention head."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"auxiliary": 0.4}

    def __init__(self, config: CAAConfig) -> None:
        encoder = TimmEncoder(config.encoder, config.pretrained, output_stride=config.output_stride)
        super().__init__(config, encoder.mean, encoder.std)
        self.encoder = encoder
        self.head = CAAHead(config, encoder.channels[-1])

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw} and, in training, "auxiliary"."""
        return self.head(self.encoder(images_B3HW)[-1])

    def head_prefixes(self) -> tuple[str, ...]:
        """The convolutions to the classes."""
        return ("head.classify.", "head.auxiliary.2.")

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The timm network's, where ImageNet weights were asked for."""
        pretrained = getattr(self.config, "pretrained", False)
        return list(self.encoder.parameters()) if pretrained else []


class CAAHead(nn.Module):
    """Figure 2: attention over columns, then rows, joined with the image's mean, and classified.

    Args:
        config: sizes; its encoder counts nothing here.
        channels: C of the encoder's last features.
    """

    def __init__(self, config: CAAConfig, channels: int) -> None:
        super().__init__()
        width, head_width, auxiliary_width = config.width, config.head_width, config.auxiliary_width
        self.entry = ConvNormAct(channels, width, 3, eps=_EPS)
        self.attention = _ChannelizedAxialAttention(config)
        self.out = ConvNormAct(width, width, 1, eps=_EPS)
        self.image_level: nn.Module | None = None
        if config.image_level:
            self.image_level = ConvNormAct(channels, width, 1, eps=_EPS)
        self.mix = ConvNormAct((1 + config.image_level) * width, head_width, 1, eps=_EPS)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classify = nn.Conv2d(head_width, config.classes, 1)
        self.auxiliary = nn.Sequential(
            ConvNormAct(channels, auxiliary_width, 1, eps=_EPS),
            nn.Dropout2d(config.dropout),
            nn.Conv2d(auxiliary_width, config.classes, 1),
        )
        self.apply(initialise)
        self.attention.apply(_open_gates)

    def forward(self, features_BChw: Tensor) -> dict[str, Tensor]:
        """The encoder's last features -> {"logits": BKhw} and, in training, "auxiliary"."""
        context_BChw = self.context(features_BChw)
        outputs = {"logits": self.classify(self.dropout(self.mix(context_BChw)))}
        return outputs | ({"auxiliary": self.auxiliary(features_BChw)} if self.training else {})

    def context(self, features_BChw: Tensor) -> Tensor:
        """What attention found, joined with the image's mean features."""
        found_BChw = self.out(self.attention(self.entry(features_BChw)))
        if self.image_level is None:
            return found_BChw
        image_BC11 = self.image_level(features_BChw.mean(dim=(2, 3), keepdim=True))
        return torch.cat([found_BChw, image_BC11.expand_as(found_BChw)], dim=1)


class _ChannelizedAxialAttention(nn.Module):
    """Equations 5 and 6: what the columns' attention made is what the rows' attention reads."""

    def __init__(self, config: CAAConfig) -> None:
        super().__init__()
        width = config.width
        self.value = ConvNormAct(width, width, 1, eps=_EPS)
        self.columns = _Lines(config)
        self.rows = _Lines(config)

    def forward(self, features_BChw: Tensor) -> Tensor:
        along_columns, along_rows = (0, 3, 2, 1), (0, 2, 3, 1)
        values_BwhC = self.value(features_BChw).permute(along_columns)
        seen_BwhC = self.columns(
            self.columns.key(features_BChw).permute(along_columns), values_BwhC
        )
        values_BhwC = seen_BwhC.transpose(1, 2)
        seen_BhwC = self.rows(self.rows.key(features_BChw).permute(along_rows), values_BhwC)
        return seen_BhwC.permute(0, 3, 1, 2)


class _Lines(nn.Module):
    """Attention along lines of one direction, every place weighing the channels anew."""

    def __init__(self, config: CAAConfig) -> None:
        super().__init__()
        self.key = ConvNormAct(config.width, config.key_width, 1, eps=_EPS)
        self.gate: nn.Module | None = None
        if config.gate_depth:
            self.gate = _gate(config.width, config.gate_width, config.gate_depth)

    def forward(self, keys_BLAD: Tensor, values_BLAC: Tensor) -> Tensor:
        """-> BLAC; equations 3 and 4."""
        seen_BLAC = attention_map(keys_BLAD) @ values_BLAC
        if self.gate is None:
            return seen_BLAC
        # the mean of all products that the sums of this place have in every line
        mean_B1AC = seen_BLAC.mean(dim=1, keepdim=True) / seen_BLAC.shape[2]
        return seen_BLAC * self.gate(mean_B1AC)


def attention_map(keys_BLAD: Tensor) -> Tensor:
    """Equations 1 and 2: how much each place of a line asks of each -> BLAA."""
    return (keys_BLAD @ keys_BLAD.mT).softmax(dim=-1)


def _gate(width: int, hidden: int, depth: int) -> nn.Sequential:
    """Channels -> a weight in 0..1 for each of them; linear layers without biases."""
    sizes = [width] + [hidden] * depth
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes):
        layers += [nn.Linear(inside, outside, bias=False), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(hidden, width, bias=False), nn.Sigmoid())


def _open_gates(module: nn.Module) -> None:
    """Through six layers small initial weights would leave nothing of the input."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)


def tiny(classes: int) -> CAA:
    """A small CAA on a small timm encoder, for tests.

    It leaves out the image's mean, which in an untrained network outweighs the places.
    """
    return CAA(
        CAAConfig(
            classes=classes,
            encoder="test_efficientnet",
            output_stride=8,
            width=48,
            key_width=32,
            gate_depth=2,
            gate_width=16,
            image_level=False,
            head_width=32,
            auxiliary_width=32,
            dropout=0.0,
        )
    )


_NAMES = (
    (r"^ca_block\.value_conv\.", "attention.value."),
    (r"^ca_block\.v_", "attention.columns."),
    (r"^ca_block\.h_", "attention.rows."),
    (r"\.querykey_conv\.", ".key."),
    (r"\.c_attention\.dense_?(\w+)\.", r".gate.\1."),
    (r"^end\.", "out."),
    (r"^seg_head_conv\.", "mix."),
    (r"^logits_conv\.", "classify."),
    (r"^aux_feature_conv0\.", "auxiliary.0."),
    (r"^aux_loss_logits_conv\.", "auxiliary.2."),
    (r"\.bn\.", ".norm."),
    (r"^", "head."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The head of the authors' checkpoint, named as in the goldens -> ours.

    Their checkpoints are TensorFlow's; convolutions and dense layers are to be transposed to
    torch's order first. The encoder's weights are timm's.
    """
    depth = sum(name.startswith("ca_block.v_c_attention.dense") for name in weights) - 1
    # linear layers take turns with activations
    gates = [(rf"\.gate\.{layer}\.", f".gate.{2 * layer}.") for layer in reversed(range(depth))]
    last = (r"\.gate\.end\.", f".gate.{2 * depth}.")
    return rename(weights, *_NAMES, *gates, last)


_README = "README of edwardyehuang/CAA at 74a1de8"

CARD = Card(
    title="CAA",
    paper=(
        "Huang, Kang, Jia, He, Liu: Channelized Axial Attention - Considering Channel Relation "
        "within Spatial Attention for Semantic Segmentation, AAAI 2022, arXiv 2101.07434"
    ),
    tasks=("semantic",),
    repository="https://github.com/edwardyehuang/CAA",
    licence="MIT",
    published=(
        Published(variant="caa-b7", what="mIoU PASCAL-Context", value=60.3, source=_README),
        Published(variant="caa-b5", what="mIoU COCO-Stuff 164k", value=47.27, source=_README),
        Published(what="mIoU PASCAL-Context, ResNet-101", value=55.0, source=_README),
        Published(what="mIoU COCO-Stuff 10k, ResNet-101", value=41.2, source=_README),
    ),
    notes=(
        "Held against the authors' head; the encoder is timm's EfficientNet of the TensorFlow "
        "weights. The gates' activation is the leaky ReLU (0.2) of the authors' later code, as the "
        "first passes something that can't be called. Sums that the authors loop over in groups "
        "are exchanged with means: the same function (to 1e-11 in float64) without the products."
    ),
    from_reference=from_reference,
)
