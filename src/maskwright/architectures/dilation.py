"""Multi-Scale Context Aggregation by Dilated Convolutions.

Fisher Yu, Vladlen Koltun, ICLR 2016, arXiv 1511.07122.

Notable: pooling throws places away, so the last two of VGG's poolings go and what follows them is
dilated instead, 2 and then 4 times: the same field of view at stride 8, no padding inside (the
front end). Behind it stands a context module: 3x3 convolutions whose dilation doubles from layer to
layer, so that the view grows exponentially with depth while the map keeps its size. It starts as
the identity (equations 4 and 5) and learns what to add. The image is padded by its own reflection.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map; a
number behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, SemanticNetwork
from maskwright.architectures.encoders.vgg import (
    VGG16_DEPTHS,
    VGG16_WIDTHS,
    from_caffe,
    vgg_stage,
)
from maskwright.architectures.renaming import rename
from maskwright.architectures.sizes import require_lengths
from maskwright.core.errors import ConfigError
from maskwright.layers.context import MultiScaleDilation
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise, initialise_scores
from maskwright.layers.reflect import reflect_pad
from maskwright.layers.upsample import bilinear_upsampling, enlarge_and_crop

STRIDE = 8

BASIC = (1, 1, 1, 1, 1, 1, 1)
LARGE = (2, 2, 4, 8, 16, 32, 32)
"""Channels of the context module's layers, in multiples of K (table 1)."""


@dataclass(frozen=True, kw_only=True)
class DilationConfig:
    """Sizes; the defaults are those of Dilation8 with the basic context module.

    Attributes:
        classes: K.
        widths: C of VGG's five stages.
        depths: convolutions of each.
        fc_width: C of the two convolutions that were fully connected layers.
        fc_kernel: side of the first of them.
        context_dilations: of the context module's 3x3 layers; none leaves the front end alone.
        context_multiples: C of each, in multiples of K.
        context_pads_once: pad the module's input by the sum of its dilations, as the authors' large
            one does, instead of each layer's by its own.
        learned_enlargement: a transposed convolution, a kernel a class, brings the scores to the
            pixels, instead of bilinear interpolation.
        dropout: of whole channels behind each of the two wide convolutions.
        mean: RGB in 0..1 that the image is reduced by.
    """

    classes: int = 11
    widths: tuple[int, ...] = VGG16_WIDTHS
    depths: tuple[int, ...] = VGG16_DEPTHS
    fc_width: int = 4096
    fc_kernel: int = 7
    context_dilations: tuple[int, ...] = (1, 1, 2, 4, 8, 16, 1)
    context_multiples: tuple[int, ...] = BASIC
    context_pads_once: bool = False
    learned_enlargement: bool = False
    dropout: float = 0.5
    mean: tuple[float, float, float] = (105.41212523 / 255, 108.77808759 / 255, 110.70313206 / 255)

    def __post_init__(self) -> None:
        require_lengths(self, widths=5, depths=5)
        if len(self.context_dilations) != len(self.context_multiples):
            raise ConfigError(
                "DilationConfig expects as many context_multiples as context_dilations, got "
                f"{self.context_multiples} and {self.context_dilations}."
            )
        if min((1, *self.context_dilations, *self.context_multiples)) < 1 or not self.fc_kernel % 2:
            raise ConfigError(
                "DilationConfig expects positive context_dilations and context_multiples and an "
                f"odd fc_kernel, got {self.context_dilations}, {self.context_multiples} and "
                f"{self.fc_kernel}."
            )


class Dilation(SemanticNetwork):
    """Front end, context module, enlargement by 8 (sections 3 and 4)."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"front_end": 1.0}

    def __init__(self, config: DilationConfig) -> None:
        super().__init__(config, mean=config.mean)
        classes = config.classes
        self.front_end = FrontEnd(config)
        self.front_end.apply(initialise)
        initialise_scores(self.front_end.classify)
        self.context: nn.Module = nn.Identity()
        if config.context_dilations:
            self.context = MultiScaleDilation(
                classes,
                config.context_dilations,
                config.context_multiples,
                config.context_pads_once,
            )
        self.enlarge: nn.Module = nn.Identity()
        if config.learned_enlargement:
            self.enlarge = bilinear_upsampling(classes, STRIDE, padding=STRIDE // 2, separate=True)
        self.margin = self.front_end.margin

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKHW} in the pixels of the image.

        In training, where there is a context module, also "front_end": BKHW.
        """
        size = images_B3HW.shape[-2:]
        below, right = (self.margin + -side % STRIDE for side in size)
        padded_B3HW = reflect_pad(images_B3HW, (self.margin, below), (self.margin, right))
        scores_BKhw8 = self.front_end(padded_B3HW)
        outputs = {"logits": self._at_pixels(self.context(scores_BKhw8), size)}
        if self.training and isinstance(self.context, MultiScaleDilation):
            outputs["front_end"] = enlarge_and_crop(scores_BKhw8, STRIDE, size)
        return outputs

    def _at_pixels(self, scores_BKhw8: Tensor, size: Sequence[int]) -> Tensor:
        if isinstance(self.enlarge, nn.Identity):
            return enlarge_and_crop(scores_BKhw8, STRIDE, size)
        return self.enlarge(scores_BKhw8)[:, :, : size[0], : size[1]]

    def head_prefixes(self) -> tuple[str, ...]:
        """All that counts in classes: the front end's scores and the whole context module."""
        enlarge = () if isinstance(self.enlarge, nn.Identity) else ("enlarge.",)
        if isinstance(self.context, nn.Identity):
            return ("front_end.classify.", *enlarge)
        return ("context.project.", "context.layers.", "front_end.classify.", *enlarge)


class FrontEnd(nn.Module):
    """VGG at stride 8, nothing padded (section 4).

    Attributes:
        margin: rows and columns that an image must have more on each side, so that h = H / 8.
    """

    def __init__(self, config: DilationConfig) -> None:
        super().__init__()
        widths, wide = config.widths, config.fc_width
        self.stages = nn.ModuleList(
            vgg_stage(inside, width, depth, padding=0, dilation=dilation)
            for inside, width, depth, dilation in zip(
                (3, *widths), widths, config.depths, (1, 1, 1, 1, 2)
            )
        )
        self.fc6 = ConvNormAct(
            widths[4], wide, config.fc_kernel, padding=0, dilation=4, bias=True, norm=None
        )
        self.fc7 = ConvNormAct(wide, wide, 1, bias=True, norm=None)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classify = nn.Conv2d(wide, config.classes, 1)
        strides = (1, 2, 4, 8, 16)  # a dilation of 2 at stride 8 takes as much as a stride of 16
        lost = sum(depth * stride for depth, stride in zip(config.depths, strides))
        self.margin = lost + 4 * STRIDE * (config.fc_kernel - 1) // 2

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """[B, 3, 8 h + 2 margin, 8 w + 2 margin] -> scores [B, K, h, w]."""
        features_BChw = images_B3HW
        for number, stage in enumerate(self.stages):
            features_BChw = stage(features_BChw)
            if number < 3:
                features_BChw = F.max_pool2d(features_BChw, 2, stride=2, ceil_mode=True)
        wide_BChw8 = self.dropout(self.fc6(features_BChw))
        wide_BChw8 = self.dropout(self.fc7(wide_BChw8))
        return self.classify(wide_BChw8)


_VOC_MEAN = (116.52 / 255, 111.36 / 255, 102.93 / 255)
VARIANTS = {
    "-frontend": DilationConfig(
        classes=21, context_dilations=(), context_multiples=(), mean=_VOC_MEAN
    ),
    "7": DilationConfig(
        context_dilations=(1, 1, 2, 4, 8, 1),
        context_multiples=(1,) * 6,
        mean=(91.34692262 / 255, 95.55136972 / 255, 96.19429688 / 255),
    ),
    "8": DilationConfig(),
    "8-large": DilationConfig(
        classes=21, context_multiples=LARGE, context_pads_once=True, mean=_VOC_MEAN
    ),
    "10": DilationConfig(
        classes=19,
        context_dilations=(1, 1, 2, 4, 8, 16, 32, 64, 1),
        context_multiples=(1,) * 9,
        learned_enlargement=True,
        mean=(73.16 / 255, 82.91 / 255, 72.39 / 255),
    ),
}
"""What follows "dilation" in the name -> the authors' sizes: PASCAL VOC without context, KITTI,
CamVid, PASCAL VOC with the large module, Cityscapes."""


def tiny(classes: int) -> Dilation:
    """The smallest useful Dilation8, for tests: 0.03 M parameters, a margin of 63."""
    return Dilation(
        DilationConfig(
            classes=classes,
            widths=(8, 12, 16, 24, 32),
            depths=(1, 1, 1, 1, 1),
            fc_width=32,
            fc_kernel=3,
            context_dilations=(1, 1, 2, 1),
            context_multiples=(2, 2, 4, 2),
            learned_enlargement=True,
            dropout=0.0,
        )
    )


_NAMES = (
    (r"^(fc[67])\.", r"front_end.\1.conv."),
    (r"^(final|fc-final)\.", "front_end.classify."),
    (r"^ctx?_final\.", "context.project."),
    (r"^ctx?_upsample\.", "enlarge."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fyu/dilation's names, of any of its four networks or a part -> ours; the colours too."""
    names = [name for name in weights if name.startswith(("ct_", "ctx_"))]
    layers = sorted({name.rpartition(".")[0] for name in names if "_conv" in name})
    layers += sorted({name.rpartition(".")[0] for name in names if "_fc" in name})
    renamed = rename(from_caffe(weights, "front_end.stages"), *_NAMES)
    for number, layer in enumerate(layers):
        for leaf in ("weight", "bias"):
            renamed[f"context.layers.{number}.conv.{leaf}"] = renamed.pop(f"{layer}.{leaf}")
    return renamed


CARD = Card(
    title="Dilation",
    paper=(
        "Yu, Koltun: Multi-Scale Context Aggregation by Dilated Convolutions, ICLR 2016, "
        "arXiv 1511.07122"
    ),
    tasks=("semantic",),
    repository="https://github.com/fyu/dilation",
    licence="MIT",
    notes=(
        "The number counts layers of the context module. The authors train the front end from "
        "ImageNet weights first, the context module after it; here both learn at once: the module "
        "starts as the identity, and the front end's scores have a loss of their own, or the "
        "module's ReLUs can cut a class off before it was learnt. Their weights take BGR 0..255 "
        "less a mean: from_reference turns the first convolution round. Unpadded convolutions need "
        "186 reflected pixels on every side: at 360x480 the network computes 3.6 times the image."
    ),
    from_reference=from_reference,
)
