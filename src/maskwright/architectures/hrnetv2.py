"""HRNetV2: Deep High-Resolution Representation Learning for Visual Recognition.

Jingdong Wang, Ke Sun, Tianheng Cheng, Borui Jiang, Chaorui Deng, Yang Zhao, Dong Liu, Yadong Mu,
Mingkui Tan, Xinggang Wang, Wenyu Liu, Bin Xiao, TPAMI 2020, arXiv 1908.07919.

Notable: with an encoder that keeps its finest map to the end, a head needs no decoder: the four
branches are enlarged to stride 4, concatenated, mixed by one 1x1 convolution and classified.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image; a number behind h w is
the stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from maskwright.architectures.contract import Card, Checkpoint, Published, SemanticNetwork
from maskwright.architectures.encoders import hrnet
from maskwright.architectures.renaming import rename
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class HRNetV2Config(hrnet.HRNetSizes):
    """The encoder's sizes and the head's; the defaults are those of HRNetV2-W48 for Cityscapes.

    Attributes:
        classes: K.
        head_kernel: of the last convolution.
    """

    classes: int = 19
    head_kernel: int = 1


class HRNetV2(SemanticNetwork):
    """Four resolutions in parallel, concatenated at the finest (figure 4b)."""

    def __init__(self, config: HRNetV2Config) -> None:
        super().__init__(config)
        width, kernel = sum(config.widths), config.head_kernel
        self.encoder = hrnet.HRNet(config)
        self.mix = ConvNormAct(width, width, 1, bias=True)
        self.classify = nn.Conv2d(width, config.classes, kernel, padding=kernel // 2)
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw4}."""
        joined_BChw4 = self.encoder.joined(images_B3HW)
        return {"logits": self.classify(self.mix(joined_BChw4))}

    def head_prefixes(self) -> tuple[str, ...]:
        """The convolution to the classes."""
        return ("classify.",)


def tiny(classes: int) -> HRNetV2:
    """The smallest useful HRNetV2, for tests: 0.1 M parameters."""
    return HRNetV2(HRNetV2Config(classes=classes, **hrnet.TINY))


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names -> ours."""
    return rename(
        hrnet.from_reference(weights),
        (r"^last_layer\.0\.", "mix.conv."),
        (r"^last_layer\.1\.", "mix.norm."),
        (r"^last_layer\.3\.", "classify."),
    )


_README = "README of HRNet-Semantic-Segmentation, branch HRNet-OCR at 0bbb288"
_MASTER = "README of HRNet-Semantic-Segmentation, branch master"
_CITY = "mIoU Cityscapes val, single scale, 1024x2048"
_W48, _SMALL = "hrnetv2-w48", "hrnetv2-w18-small"
_RELEASE = "https://github.com/hsfzxjy/models.storage/releases/download/HRNet-OCR/"

CARD = Card(
    title="HRNetV2",
    paper=(
        "Wang, Sun, Cheng, Jiang, Deng, Zhao, Liu, Mu, Tan, Wang, Liu, Xiao: Deep High-Resolution "
        "Representation Learning for Visual Recognition, TPAMI 2020, arXiv 1908.07919"
    ),
    tasks=("semantic",),
    repository="https://github.com/HRNet/HRNet-Semantic-Segmentation",
    licence="MIT",
    published=tuple(
        Published(variant=variant, what=what, value=value, source=source)
        for variant, what, value, source in (
            (_W48, _CITY, 80.9, _README),
            (_W48, "mIoU ADE20K val, single scale, OHEM", 43.1, _README),
            (_W48, "mIoU ADE20K val, multi-scale, flip, OHEM", 44.2, _README),
            (_W48, "mIoU COCO-Stuff, single scale, OHEM", 36.2, _README),
            (_W48, "mIoU PASCAL-Context (59 classes), multi-scale, flip", 54.1, _README),
            (_W48, "mIoU LIP, flip", 55.83, _README),
            (_W48, "mIoU Cityscapes test, trained on train + val, OHEM", 81.9, _MASTER),
            (_W48, "parameters, millions, cut to one digit", 65.8, _MASTER),
            (_W48, "GFLOPs (multiply-adds), 1024x2048", 696.2, _MASTER),
            (_SMALL, _CITY, 76.2, _MASTER),
            (_SMALL, "parameters, millions", 3.9, _MASTER),
            (_SMALL, "GFLOPs (multiply-adds), 1024x2048", 71.6, _MASTER),
        )
    ),
    checkpoints={
        what: Checkpoint(address=_RELEASE + file)
        for what, file in {
            "cityscapes, w48": "hrnet_cs_8090_torch11.pth",
            "pascal-context (59 classes), w48": "hrnet_pascal_ctx_5410_torch11.pth",
            "coco-stuff, w48": "hrnet_cocostuff_3617_torch04.pth",
            "ade20k, w48": "hrnet_ade20k_4312_torch04.pth",
            "lip, w48": "hrnet_lip_5583_torch04.pth",
        }.items()
    },
    notes=(
        "W18-small is the authors' Small-v2. Coarse branches are enlarged with half-pixel centres, "
        "as for the authors' Cityscapes, LIP and PASCAL-Context weights; those of ADE20K and "
        "COCO-Stuff want align_corners=True."
    ),
    from_reference=from_reference,
)
