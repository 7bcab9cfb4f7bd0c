"""OCR: Object-Contextual Representations for Semantic Segmentation, on HRNetV2.

Yuhui Yuan, Xilin Chen, Jingdong Wang, ECCV 2020, arXiv 1909.11065.

Notable: a pixel's context is the object that it belongs to. An auxiliary head's coarse answer says
where each class lies (soft object regions); each region's features are averaged to one vector;
every pixel then attends to these K vectors, not to all other pixels, so that attention stays linear
in the image's size.

Legend: B batch, 3 colours (RGB), C channels, D channels of queries, keys and values, K classes and
so regions, H W of the image, h w of a feature map, N = h w; a number behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Checkpoint, Published, SemanticNetwork
from maskwright.architectures.encoders import hrnet
from maskwright.architectures.renaming import rename
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class OCRConfig(hrnet.HRNetSizes):
    """The encoder's sizes and the head's; the defaults are those of HRNetV2-W48 for Cityscapes.

    Attributes:
        classes: K.
        width: C of pixels, regions and what comes of them.
        key_width: D.
        dropout: of whole channels before the classifier.
    """

    classes: int = 19
    width: int = 512
    key_width: int = 256
    dropout: float = 0.05
    align_corners: bool = True


class OCR(SemanticNetwork):
    """Soft object regions, their representations, every pixel's view of them (figure 3)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"regions": 0.4}

    def __init__(self, config: OCRConfig) -> None:
        super().__init__(config)
        joined, width = sum(config.widths), config.width
        self.encoder = hrnet.HRNet(config)
        self.regions = nn.Sequential(
            ConvNormAct(joined, joined, 1, bias=True), nn.Conv2d(joined, config.classes, 1)
        )
        self.pixels = ConvNormAct(joined, width, 3, bias=True)
        self.attention = _RegionAttention(width, config.key_width)
        self.fuse = ConvNormAct(2 * width, width, 1)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classify = nn.Conv2d(width, config.classes, 1)
        self.apply(initialise)
        # regions begin as wide as the image, not as the few pixels where chance made one largest
        for convolution in cast(list[nn.Conv2d], [self.regions[1], self.classify]):
            nn.init.normal_(convolution.weight, std=0.01)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw4} and, in training, "regions", coarse logits."""
        joined_BChw = self.encoder.joined(images_B3HW)
        regions_BKhw = self.regions(joined_BChw)
        pixels_BChw = self.pixels(joined_BChw)
        context_BChw = self.attention(pixels_BChw, gather(pixels_BChw, regions_BKhw))
        fused_BChw = self.fuse(torch.cat([context_BChw, pixels_BChw], dim=1))
        outputs = {"logits": self.classify(self.dropout(fused_BChw))}
        return outputs | ({"regions": regions_BKhw} if self.training else {})

    def head_prefixes(self) -> tuple[str, ...]:
        """The two convolutions to the classes."""
        return ("classify.", "regions.1.")


def gather(pixels_BChw: Tensor, regions_BKhw: Tensor) -> Tensor:
    """Equation 4: the mean of all pixels, weighted by how surely they are of a region -> BCK1."""
    share_BKN = regions_BKhw.flatten(2).softmax(dim=2)
    return (pixels_BChw.flatten(2) @ share_BKN.transpose(1, 2)).unsqueeze(-1)


class _RegionAttention(nn.Module):
    """Equations 3 and 5: a pixel's context is a mean of regions, weighted by likeness."""

    def __init__(self, width: int, key_width: int) -> None:
        super().__init__()
        self.query = _two_convolutions(width, key_width)
        self.key = _two_convolutions(width, key_width)
        self.value = ConvNormAct(width, key_width, 1)
        self.out = ConvNormAct(key_width, width, 1)

    def forward(self, pixels_BChw: Tensor, regions_BCK1: Tensor) -> Tensor:
        query_BDN = self.query(pixels_BChw).flatten(2)
        key_BDK, value_BDK = self.key(regions_BCK1).flatten(2), self.value(regions_BCK1).flatten(2)
        likeness_BKN = key_BDK.transpose(1, 2) @ query_BDN * key_BDK.shape[1] ** -0.5
        context_BDN = value_BDK @ likeness_BKN.softmax(dim=1)
        context_BDhw = context_BDN.unflatten(2, pixels_BChw.shape[-2:])
        return self.out(context_BDhw)


def _two_convolutions(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(ConvNormAct(inside, outside, 1), ConvNormAct(outside, outside, 1))


def tiny(classes: int) -> OCR:
    """The smallest useful OCR on HRNet, for tests: 0.2 M parameters."""
    return OCR(OCRConfig(classes=classes, width=48, key_width=24, dropout=0.0, **hrnet.TINY))


_BLOCK = r"^ocr_distri_head\.object_context_block\."
_NAMES = (
    (r"^aux_head\.0\.", "regions.0.conv."),
    (r"^aux_head\.1\.", "regions.0.norm."),
    (r"^aux_head\.3\.", "regions.1."),
    (r"^conv3x3_ocr\.0\.", "pixels.conv."),
    (r"^conv3x3_ocr\.1\.", "pixels.norm."),
    (rf"{_BLOCK}f_down\.", "attention.value."),
    (rf"{_BLOCK}f_up\.", "attention.out."),
    (rf"{_BLOCK}f_pixel\.([01])\.", r"attention.query.0.\1."),
    (rf"{_BLOCK}f_object\.([01])\.", r"attention.key.0.\1."),
    (rf"{_BLOCK}f_pixel\.2\.", "attention.query.1.conv."),
    (rf"{_BLOCK}f_object\.2\.", "attention.key.1.conv."),
    (rf"{_BLOCK}f_pixel\.3\.0\.", "attention.query.1.norm."),
    (rf"{_BLOCK}f_object\.3\.0\.", "attention.key.1.norm."),
    (r"^ocr_distri_head\.conv_bn_dropout\.", "fuse."),
    # batch norm and ReLU are one numbered part of the authors' networks
    (r"^(attention\..*|fuse)\.1\.0\.(\w+)$", r"\1.norm.\2"),
    (r"^(attention\..*|fuse)\.0\.(weight)$", r"\1.conv.\2"),
    (r"^cls_head\.", "classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names -> ours."""
    return rename(hrnet.from_reference(weights), *_NAMES)


_README = "README of HRNet-Semantic-Segmentation, branch HRNet-OCR at 0bbb288"
_RELEASE = "https://github.com/hsfzxjy/models.storage/releases/download/HRNet-OCR/"

CARD = Card(
    title="HRNetV2 + OCR",
    paper=(
        "Yuan, Chen, Wang: Object-Contextual Representations for Semantic Segmentation, ECCV 2020, "
        "arXiv 1909.11065"
    ),
    tasks=("semantic",),
    repository="https://github.com/HRNet/HRNet-Semantic-Segmentation",
    licence="MIT",
    published=tuple(
        Published(variant="hrnetv2-w48-ocr", what=what, value=value, source=_README)
        for what, value in (
            ("mIoU Cityscapes val, single scale, 1024x2048", 81.6),
            ("mIoU Cityscapes test, trained on train + val, multi-scale, flip", 82.3),
            ("mIoU ADE20K val, single scale, OHEM", 44.5),
            ("mIoU ADE20K val, multi-scale, flip, OHEM", 45.5),
            ("mIoU COCO-Stuff, single scale, OHEM", 39.7),
            ("mIoU PASCAL-Context (59 classes), multi-scale, flip", 56.2),
            ("mIoU LIP, flip", 56.48),
        )
    ),
    checkpoints={
        what: Checkpoint(address=_RELEASE + file)
        for what, file in {
            "cityscapes, w48": "hrnet_ocr_cs_8162_torch11.pth",
            "cityscapes train + val, w48": "hrnet_ocr_cs_trainval_8227_torch11.pth",
            "pascal-context (59 classes), w48": "hrnet_ocr_pascal_ctx_5618_torch11.pth",
            "coco-stuff, w48": "hrnet_ocr_cocostuff_3965_torch04.pth",
            "ade20k, w48": "hrnet_ocr_ade20k_4451_torch04.pth",
            "lip, w48": "hrnet_ocr_lip_5648_torch04.pth",
        }.items()
    },
    notes=(
        "The authors train the regions with weight 0.4 and, where it is told, with OHEM cross "
        "entropy. The logits are enlarged with half-pixel centres, where the authors' evaluation "
        "aligns corners."
    ),
    from_reference=from_reference,
)
