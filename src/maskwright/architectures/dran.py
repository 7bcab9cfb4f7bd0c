"""DRANet: Scene Segmentation With Dual Relation-Aware Attention Network.

Jun Fu, Jing Liu, Jie Jiang, Yong Li, Yongjun Bao, Hanqing Lu, IEEE TNNLS 2020.

Notable: DANet's two attentions made cheap. A place attends not to all others but to a few gathered
ones (means over 1, 4, 9 and 36 regions: the compact position attention); a channel attends to a few
mixed ones (1x1 convolution to a sixteenth: the compact channel attention). Cost is linear in the
image's size. Cross-level gating then takes fine detail from the first stage, where it is wanted.

Legend: B batch, 3 colours (RGB), C channels, D channels of queries and keys, G gathered places, E
gathered channels, K classes, H W of the image, h w of a feature map, N = h w; a number behind h w
is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Checkpoint, Published, SemanticNetwork
from maskwright.architectures.encoders import DilatedResNetSettings
from maskwright.architectures.renaming import rename
from maskwright.layers.attention import attend, attend_to_channels
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.enlarge import enlarge
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class DRANetConfig(DilatedResNetSettings):
    """Sizes; the defaults are those of DRANet-101 for Cityscapes.

    Attributes:
        classes: K.
        width: C of both branches.
        key_width: D of the position attention.
        gathered_width: E.
        regions: sides of the grids that places are gathered in.
        fused_width: C of the branches' sum and after.
        detail_width: C of the detail from the first stage.
        auxiliary_width: C of the auxiliary head, which reads the third stage.
        dropout: of whole channels before the classes.
        auxiliary: whether there is an auxiliary head; only training uses it.
    """

    classes: int = 19
    encoder_depths: tuple[int, ...] = (3, 4, 23, 3)
    deep_stem: tuple[int, ...] = (64, 64, 128)
    width: int = 512
    key_width: int = 128
    gathered_width: int = 32
    regions: tuple[int, ...] = (1, 2, 3, 6)
    fused_width: int = 256
    detail_width: int = 32
    auxiliary_width: int = 256
    dropout: float = 0.1
    auxiliary: bool = True


SMALL = DRANetConfig(
    encoder_depths=(2, 2, 2, 2),
    encoder_widths=(16, 32, 64, 128),
    deep_stem=(),
    output_stride=16,
    multi_grid=(),
    width=128,
    key_width=32,
    fused_width=64,
    auxiliary_width=64,
)
"""A quarter of the widths on a shallow encoder at output stride 16: minutes on a CPU."""


class DRANet(SemanticNetwork):
    """Compact position and channel attention, fused, refined by the first stage (figure 2)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"auxiliary": 0.2}

    def __init__(self, config: DRANetConfig) -> None:
        encoder = config.create_encoder()
        super().__init__(config, encoder.mean, encoder.std)
        _, low, _, middle, deep = encoder.channels
        width, fused = config.width, config.fused_width
        self.encoder = encoder
        self.position = nn.Sequential(
            ConvNormAct(deep, width), _CompactPosition(config), ConvNormAct(width, width)
        )
        self.channel = nn.Sequential(
            ConvNormAct(deep, width), _CompactChannel(config), ConvNormAct(width, width)
        )
        self.fuse = ConvNormAct(2 * width, fused)
        self.gate = _CrossLevelGate(low, config)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classify = nn.Conv2d(fused, config.classes, 1)
        parts = [self.position, self.channel, self.fuse, self.gate, self.classify]
        self.auxiliary: nn.Module | None = None
        if config.auxiliary:
            sizes = (middle, config.auxiliary_width, config.classes, config.dropout)
            self.auxiliary = PixelClassifier(*sizes)
            parts.append(self.auxiliary)
        for part in parts:
            part.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKHW} and, in training, "auxiliary"."""
        _, low_BChw4, _, middle_BChw, deep_BChw = self.encoder(images_B3HW)
        branches = [self.position(deep_BChw), self.channel(deep_BChw)]
        fused_BChw = self.fuse(torch.cat(branches, dim=1))
        refined_BChw4 = self.gate(low_BChw4, fused_BChw)
        outputs = {"logits": self.classify(self.dropout(refined_BChw4))}
        if self.training and self.auxiliary is not None:
            outputs["auxiliary"] = self.auxiliary(middle_BChw)
        size = images_B3HW.shape[-2:]
        return {name: enlarge(logits, size, True) for name, logits in outputs.items()}

    def head_prefixes(self) -> tuple[str, ...]:
        """The 1x1 convolutions to the classes."""
        return ("classify.", *(("auxiliary.classify.",) if self.auxiliary is not None else ()))


class _CompactPosition(nn.Module):
    """Section III-B: places attend to the means of a pyramid of regions."""

    def __init__(self, config: DRANetConfig) -> None:
        super().__init__()
        width, key_width = config.width, config.key_width
        self.regions = config.regions
        self.gather = nn.ModuleList(ConvNormAct(width, width, 1) for _ in config.regions)
        self.query = nn.Conv2d(width, key_width, 1)
        self.key = nn.Linear(width, key_width)
        self.value = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, features_BChw: Tensor) -> Tensor:
        gathered_BGC = self._gathered(features_BChw)
        query_BND = self.query(features_BChw).flatten(2).transpose(1, 2)
        seen_BNC = attend(query_BND, self.key(gathered_BGC), self.value(gathered_BGC))
        return self.scale * seen_BNC.transpose(1, 2).view_as(features_BChw) + features_BChw

    def _gathered(self, features_BChw: Tensor) -> Tensor:
        means = [
            convolution(F.adaptive_avg_pool2d(features_BChw, side)).flatten(2)
            for side, convolution in zip(self.regions, self.gather)
        ]
        return torch.cat(means, dim=2).transpose(1, 2)


class _CompactChannel(nn.Module):
    """Section III-C: channels attend to a few mixtures of themselves."""

    def __init__(self, config: DRANetConfig) -> None:
        super().__init__()
        self.gather = ConvNormAct(config.width, config.gathered_width, 1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, features_BChw: Tensor) -> Tensor:
        gathered_BEN = self.gather(features_BChw).flatten(2)
        seen_BCN = attend_to_channels(features_BChw.flatten(2), gathered_BEN)
        return self.scale * seen_BCN.view_as(features_BChw) + features_BChw


class _CrossLevelGate(nn.Module):
    """Section III-D: both levels decide together, place by place, how much detail comes in."""

    def __init__(self, low: int, config: DRANetConfig) -> None:
        super().__init__()
        fused, detail = config.fused_width, config.detail_width
        self.detail = ConvNormAct(low, detail)
        self.attention = nn.Conv2d(detail + fused, 1, 1)
        self.scale = nn.Parameter(torch.ones(1))
        self.join = ConvNormAct(detail + fused, fused)
        self.out = ConvNormAct(fused, fused)

    def forward(self, low_BChw4: Tensor, fused_BChw: Tensor) -> Tensor:
        detail_BChw4 = self.detail(low_BChw4)
        fused_BChw4 = enlarge(fused_BChw, low_BChw4.shape[-2:], True)
        both_BChw4 = torch.cat([detail_BChw4, fused_BChw4], dim=1)
        open_B1hw4 = self.scale * self.attention(both_BChw4).sigmoid()
        joined_BChw4 = torch.cat([open_B1hw4 * detail_BChw4, fused_BChw4], dim=1)
        return self.out(self.join(joined_BChw4))


def tiny(classes: int) -> DRANet:
    """The smallest useful DRANet, for tests: 0.2 M parameters."""
    return DRANet(
        DRANetConfig(
            classes=classes,
            encoder_depths=(1, 1, 1, 1),
            encoder_widths=(8, 12, 16, 24),
            deep_stem=(8, 8, 16),
            multi_grid=(2,),
            width=32,
            key_width=8,
            gathered_width=8,
            regions=(1, 2, 3),
            fused_width=32,
            detail_width=16,
            auxiliary_width=16,
            dropout=0.0,
        )
    )


_NAMES = (
    (r"^pretrained\.", "encoder."),
    (r"^head\.conv_cpam_b\.", "position.0."),
    (r"^head\.conv_ccam_b\.", "channel.0."),
    *((rf"^head\.cpam_enc\.conv{n + 1}\.", f"position.1.gather.{n}.") for n in range(8)),
    (r"^head\.cpam_dec\.conv_(query|key|value)\.", r"position.1.\1."),
    (r"^head\.cpam_dec\.scale$", "position.1.scale"),
    (r"^head\.ccam_enc\.", "channel.1.gather."),
    (r"^head\.ccam_dec\.scale$", "channel.1.scale"),
    (r"^head\.conv_cpam_e\.", "position.2."),
    (r"^head\.conv_ccam_e\.", "channel.2."),
    (r"^head\.conv_cat\.", "fuse."),
    (r"^head\.clgd\.gamma$", "gate.scale"),
    (r"^head\.clgd\.conv_att\.0\.", "gate.attention."),
    (r"^head\.clgd\.conv_low\.", "gate.detail."),
    (r"^head\.clgd\.conv_cat\.", "gate.join."),
    (r"^head\.clgd\.conv_out\.", "gate.out."),
    (r"^cls_seg\.1\.", "classify."),
    (r"^cls_aux\.4\.", "auxiliary.classify."),
    (r"^cls_aux\.", "auxiliary.conv."),
    *(
        (rf"^({block})\.{number}\.(\w+)$", rf"\1.{part}.\2")
        for block in (r"(?:position|channel)\.[02]", r"position\.1\.gather\.\d",
                      r"channel\.1\.gather", r"fuse", r"gate\.(?:detail|join|out)",
                      r"auxiliary\.conv")
        for number, part in enumerate(("conv", "norm"))
    ),
)  # fmt: skip


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names -> ours; the encoder's unused classifier is left out."""
    used = {name: w for name, w in weights.items() if not name.startswith("pretrained.fc.")}
    return rename(used, *_NAMES)


_README = "README of junfu1115/DANet at b0a0fa0"
_DRIVE = "https://drive.google.com/file/d/1xCl2N0b0rVFH4y30HCGfy7RY3-ars7Ce/view"

CARD = Card(
    title="DRANet",
    paper=(
        "Fu, Liu, Jiang, Li, Bao, Lu: Scene Segmentation With Dual Relation-Aware Attention "
        "Network, IEEE Transactions on Neural Networks and Learning Systems 2020"
    ),
    tasks=("semantic",),
    repository="https://github.com/junfu1115/DANet",
    licence="MIT",
    published=tuple(
        Published(variant="dranet-resnet101", what=what, value=value, source=_README)
        for what, value in (
            ("mIoU Cityscapes val, single scale", 81.63),
            ("pixel accuracy Cityscapes val, single scale", 96.62),
            ("mIoU Cityscapes test, fine annotations only", 82.9),
        )
    ),
    checkpoints={"cityscapes, resnet101": Checkpoint(address=_DRIVE)},
    notes=(
        "The code stands in DANet's repository. Logits are enlarged with aligned corners, as the "
        "authors do."
    ),
    from_reference=from_reference,
)
