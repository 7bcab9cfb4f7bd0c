"""Fully Convolutional Networks for Semantic Segmentation.

Jonathan Long, Evan Shelhamer, Trevor Darrell, CVPR 2015, arXiv 1411.4038 (with Shelhamer first:
TPAMI 2017, arXiv 1605.06211).

Notable: a classifier's fully connected layers are convolutions whose kernel fits the map once; as
convolutions they take any image and answer with a map of scores. Transposed convolutions, bilinear
at first and then learned, bring the scores to the pixels. Skips add scores that were made from
earlier, finer pooling layers: FCN-32s has none, FCN-16s one, FCN-8s two. The image is padded by 100
so that the smallest one passes the 7x7 layer; what that adds is cropped away at each sum.

`EncoderFCN` is the same head on any timm encoder.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map; a
number behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Published, SemanticNetwork
from maskwright.architectures.encoders.vgg import (
    VGG16_DEPTHS,
    VGG16_WIDTHS,
    from_caffe,
    vgg_stage,
)
from maskwright.architectures.renaming import rename
from maskwright.architectures.sizes import require_lengths
from maskwright.core.errors import ConfigError
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise, initialise_scores
from maskwright.layers.upsample import bilinear_upsampling

COARSEST = 32
"""Stride of VGG's last pooling layer."""


@dataclass(frozen=True, kw_only=True)
class FCNConfig:
    """Sizes; the defaults are those of FCN-8s on VGG-16 for PASCAL VOC.

    Attributes:
        classes: K.
        stride: of the finest map that scores are made from: 32, 16 or 8.
        widths: C of VGG's five stages.
        depths: convolutions of each.
        fc_width: C of the two convolutions that were fully connected layers.
        fc_kernel: side of the first of them, 4 or more, so that the skips' maps are large enough.
        padding: zeros around the image. Too few and the enlarged scores don't cover the image.
        skip_scales: factors on the maps that the scores of strides 16 and 8 are made from; (0.01,
            0.0001) is the authors' way to train all skips at once.
        dropout: of whole channels behind each of the two wide convolutions.
        mean: RGB in 0..1 that the image is reduced by.
    """

    classes: int = 21
    stride: Literal[8, 16, 32] = 8
    widths: tuple[int, ...] = VGG16_WIDTHS
    depths: tuple[int, ...] = VGG16_DEPTHS
    fc_width: int = 4096
    fc_kernel: int = 7
    padding: int = 100
    skip_scales: tuple[float, float] = (1.0, 1.0)
    dropout: float = 0.5
    mean: tuple[float, float, float] = (
        122.67891434 / 255,
        116.66876762 / 255,
        104.00698793 / 255,
    )

    def __post_init__(self) -> None:
        require_lengths(self, widths=5, depths=5)
        offsets = crop_offsets(self)
        if self.fc_kernel < 4 or min(offsets) < 0:
            raise ConfigError(
                f"FCNConfig expects fc_kernel >= 4 and enough padding that the scores cover the "
                f"image, got fc_kernel {self.fc_kernel} and padding {self.padding}: crops would "
                f"begin at {offsets}."
            )


def crop_offsets(config: FCNConfig) -> tuple[int, ...]:
    """Where the crops begin that lay one map on another: at each skip, then at the image.

    Every map's first cell has a place in the image; each layer moves it in a known way, and the
    offset is what two places differ by. The authors' sizes give 19 (32s), 5 and 27 (16s), 5, 9 and
    31 (8s).
    """
    stride = COARSEST
    place = _first_cell(stride, config) + stride * (config.fc_kernel - 1) / 2
    offsets = []
    while stride > config.stride:
        stride //= 2
        place -= 1.5 * stride
        offsets.append(int((place - _first_cell(stride, config)) // stride))
    return (*offsets, int(stride - 0.5 - place))


def _first_cell(stride: int, config: FCNConfig) -> float:
    """The centre, in pixels of the image, of the first cell after pooling to this stride."""
    return (stride - 1) / 2 - (config.padding - 1)


class FCN(SemanticNetwork):
    """VGG made convolutional, scores at one to three strides, learned enlargement (figure 3)."""

    def __init__(self, config: FCNConfig) -> None:
        super().__init__(config, mean=config.mean)
        classes, widths, wide = config.classes, config.widths, config.fc_width
        self.stages = nn.ModuleList(
            vgg_stage(inside, width, depth)
            for inside, width, depth in zip((3, *widths), widths, config.depths)
        )
        # padded by more than keeps the size
        first = ConvNormAct(3, widths[0], padding=config.padding, bias=True, norm=None)
        self.stages[0] = nn.Sequential(
            first, *vgg_stage(widths[0], widths[0], config.depths[0] - 1)
        )
        self.fc6 = ConvNormAct(widths[4], wide, config.fc_kernel, padding=0, bias=True, norm=None)
        self.fc7 = ConvNormAct(wide, wide, 1, bias=True, norm=None)
        self.dropout = nn.Dropout2d(config.dropout)
        self.score32 = nn.Conv2d(wide, classes, 1)
        self.skips = nn.ModuleDict()
        self.doubles = nn.ModuleDict()
        for stride, width in ((16, widths[3]), (8, widths[2])):
            if stride >= config.stride:
                self.skips[f"score{stride}"] = nn.Conv2d(width, classes, 1)
                self.doubles[f"to{stride}"] = bilinear_upsampling(classes, 2)
        self.enlarge = bilinear_upsampling(classes, config.stride)
        self.offsets = crop_offsets(config)
        self.scales = config.skip_scales
        self.apply(initialise)
        for scores in (self.score32, self.skips):
            initialise_scores(scores)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKHW} in the pixels of the image."""
        pooled_BChw8, pooled_BChw16, pooled_BChw32 = self._pyramid(images_B3HW)
        wide_BChw32 = self.dropout(self.fc6(pooled_BChw32))
        wide_BChw32 = self.dropout(self.fc7(wide_BChw32))
        scores_BKhw = self.score32(wide_BChw32)
        *skip_offsets, image_offset = self.offsets
        finer = zip(
            self.doubles.values(),
            self.skips.values(),
            (pooled_BChw16, pooled_BChw8),
            self.scales,
            skip_offsets,
        )
        for double, skip, pooled_BChw, scale, offset in finer:
            scores_BKhw = double(scores_BKhw)
            skip_BKhw = skip(pooled_BChw if scale == 1.0 else pooled_BChw * scale)
            scores_BKhw = scores_BKhw + _crop(skip_BKhw, offset, scores_BKhw.shape[-2:])
        logits_BKHW = self.enlarge(scores_BKhw)
        return {"logits": _crop(logits_BKHW, image_offset, images_B3HW.shape[-2:])}

    def head_prefixes(self) -> tuple[str, ...]:
        """Scores and enlargements: all of them have a channel a class."""
        return ("score32.", *(("skips.", "doubles.") if self.skips else ()), "enlarge.")

    def _pyramid(self, images_B3HW: Tensor) -> list[Tensor]:
        """The maps behind the last three pooling layers, at strides 8, 16 and 32."""
        features_BChw, pooled = images_B3HW, []
        for stage in self.stages:
            features_BChw = F.max_pool2d(stage(features_BChw), 2, stride=2, ceil_mode=True)
            pooled.append(features_BChw)
        return pooled[2:]


def _crop(maps_BKhw: Tensor, offset: int, size: Sequence[int]) -> Tensor:
    return maps_BKhw[:, :, offset : offset + size[0], offset : offset + size[1]]


def tiny(classes: int) -> FCN:
    """The smallest useful FCN-8s, for tests: 0.05 M parameters."""
    return FCN(
        FCNConfig(
            classes=classes,
            widths=(8, 12, 16, 24, 32),
            depths=(1, 1, 1, 1, 1),
            fc_width=48,
            fc_kernel=4,
            padding=34,
            dropout=0.1,
        )
    )


_NAMES = (
    (r"^(fc[67])\.", r"\1.conv."),
    (r"^score_fr\.", "score32."),
    (r"^score_pool4\.", "skips.score16."),
    (r"^score_pool3\.", "skips.score8."),
    (r"^upscore2\.", "doubles.to16."),
    (r"^upscore_pool4\.", "doubles.to8."),
    (r"^upscore(8|16|)\.", "enlarge."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """wkentaro/pytorch-fcn's names (Caffe's, with underscores) -> ours; the colours too."""
    return rename(from_caffe(weights, "stages"), *_NAMES)


_PAPER = (
    "Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, "
    "arXiv 1411.4038"
)
_README = "README of wkentaro/pytorch-fcn at 4b98850"
_CAFFE = f"the authors' Caffe weights, {_README}"

CARD = Card(
    title="FCN",
    paper=_PAPER,
    tasks=("semantic",),
    repository="https://github.com/wkentaro/pytorch-fcn",
    licence="MIT",
    published=tuple(
        Published(what="mIoU PASCAL VOC 2011 val (seg11valid)", value=v, source=s, variant=name)
        for name, own, theirs in (
            ("fcn32s", 62.84, 63.63),
            ("fcn16s", 64.91, 65.01),
            ("fcn8s", 65.49, 65.51),
        )
        for v, s in ((own, _README), (theirs, _CAFFE))
    ),
    notes=(
        "The reference is a re-implementation that runs the authors' Caffe weights. They take BGR "
        "0..255 less a mean: from_reference turns the first convolution round, so that they take "
        "RGB here. The authors start from ImageNet weights and train 32s, then 16s, then 8s; "
        "skip_scales = (0.01, 0.0001) trains all at once. Padding by 100 and two layers of 4096 "
        "channels are what it costs: 134 M parameters, and small images cost as much as large."
    ),
    from_reference=from_reference,
)
