"""YOEO: You Only Encode Once.

Florian Vahl, Jan Gutsche, Marc Bestmann, Jianwei Zhang: YOEO -- You Only Encode Once: A CNN for
Embedded Object Detection and Semantic Segmentation, ROBIO 2021.

Notable: a robot looks once. YOLOv4-tiny's encoder feeds its detector and a decoder of U-Net's kind,
whose every step sees the first convolution of a block beside what comes from below, so that balls
and robots are boxes, and lines and field are pixels, for little more than the price of either.

Legend: B images, 3 colours (RGB), C channels, K classes, H W of the input, h w of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.anchor_detector import AnchorDetector, Anchors, AnchorSettings
from maskwright.architectures.contract import (
    Card,
    Published,
    best_classes,
)
from maskwright.architectures.encoders.darknet_tiny import LeakyConv, TinyCSP, TinyCSPConfig
from maskwright.architectures.renaming import rename
from maskwright.architectures.several_tasks import SeveralTasks, TaskSettings
from maskwright.architectures.yolov4_tiny import (
    ANSWERS,
    ENCODER_PLACES,
    NECK_PLACES,
    STRIDES,
    TinyNeck,
    section_rules,
)
from maskwright.layers.conv import ConvNormAct
from maskwright.losses.targets import Targets

ANCHORS: tuple[Anchors, ...] = (
    ((30, 224), (69, 112), (116, 212)),
    ((17, 32), (13, 171), (37, 67)),
)
"""Of the authors' file, for inputs of 416x416: balls, robots and goal posts."""


@dataclass(frozen=True, kw_only=True)
class YOEOConfig(AnchorSettings, TaskSettings):
    """Sizes; the defaults are the authors'.

    Attributes:
        classes: K, of boxes and of the class map.
        map_classes: of the class map, where they are others; 0: K.
        width: C of the first convolution; all others follow from it.
    """

    classes: int = 3
    map_classes: int = 0
    anchors: tuple[Anchors, ...] = ANCHORS
    width: int = 32

    def __post_init__(self) -> None:
        self.require_maps(len(STRIDES))


class YOEO(AnchorDetector, SeveralTasks):
    """An encoder, two maps of anchors, and a decoder to the input's resolution."""

    def __init__(self, config: YOEOConfig) -> None:
        super().__init__(config, TinyCSP(TinyCSPConfig(width=config.width)))
        self.neck = TinyNeck(config, config.width, whole=True)
        self.decoder = _Decoder(config.width, config.map_classes or config.classes)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB 0..1 -> "told_BNV" of all anchors, their "cells_N5", and "logits" BKHW."""
        features = self.encoder(images_B3HW)
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        logits_BKHW = self.decoder(features, size)
        return {**self.told(self.neck(features), STRIDES), "logits": logits_BKHW}

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Of the boxes, of the class map ("pixels"), and "total", both weighted."""
        pixels = self.pixel_term(outputs["logits"], targets)
        boxes = self.box_losses(outputs, targets)
        return self.weighted({"semantic": pixels, "boxes": boxes}, targets)

    deploy = SeveralTasks.deploy

    def answer(self, images_B3HW: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """uint8 RGB -> boxes, scores and class_ids of `slots` objects, "class_map"; and logits."""
        outputs = self(self.normalise(images_B3HW))
        objects = self.objects(outputs, (images_B3HW.shape[-2], images_B3HW.shape[-1]))
        return {**objects, "class_map": best_classes(outputs["logits"])}, outputs["logits"]

    def file_order(self) -> tuple[str, ...]:
        """As in the authors' file."""
        return tuple({**ENCODER_PLACES, **NECK_PLACES, **_DECODER_PLACES}.values())

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolutions of both tasks."""
        return ("neck.coarse.1.", "neck.fine.1.", "decoder.classify.")


class _Decoder(nn.Module):
    """Doubles the resolution four times, from stride 16 to the input's."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        below = (8 * width, 8 * width, 4 * width, 2 * width)
        above = (4 * width, 2 * width, width, width)
        self.steps = nn.ModuleList(LeakyConv(one, other) for one, other in zip(below, above))
        # as the authors' file: a norm and a leaky ReLU on the logits, too
        self.classify = ConvNormAct(width, classes, 1, activation=partial(nn.LeakyReLU, 0.1))

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """The encoder's features at strides 2, 4, 8, 16 -> logits [B, K, H, W]."""
        stem_BChw, *blocks = features[:4]
        # a block's features begin with its first convolution
        skips = [stem_BChw, *(one[:, : one.shape[1] // 2] for one in blocks)]
        rising_BChw = skips.pop()
        for step in self.steps:
            beside = skips.pop() if skips else None
            target = size if beside is None else (beside.shape[-2], beside.shape[-1])
            rising_BChw = step(F.interpolate(rising_BChw, target, mode="nearest"))
            if beside is not None:
                rising_BChw = torch.cat([rising_BChw, beside], dim=1)
        logits_BKHW: Tensor = self.classify(rising_BChw)
        return logits_BKHW


_DECODER_PLACES = {
    40: "decoder.steps.0", 43: "decoder.steps.1", 46: "decoder.steps.2", 49: "decoder.steps.3",
    50: "decoder.classify",
}  # fmt: skip


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names -> ours; the anchors are told by the configuration."""
    known = {name: one for name, one in weights.items() if ".yolo_" not in name}
    sections = rename(
        known,
        (r"^module_list\.(\d+)\.conv_\d+\.", r"layers.\1.conv."),
        (r"^module_list\.(\d+)\.batch_norm_\d+\.", r"layers.\1.bn."),
    )
    places = {**ENCODER_PLACES, **NECK_PLACES, **_DECODER_PLACES}
    return rename(sections, *section_rules(places, ANSWERS))


def tiny(classes: int) -> YOEO:
    """0.2 M parameters, for 64x64 images."""
    return YOEO(
        YOEOConfig(
            classes=classes, width=6, slots=12, candidates=100,
            anchors=(((26, 26), (14, 56), (48, 48)), ((8, 8), (16, 16), (30, 14))),
        )
    )  # fmt: skip


CARD = Card(
    title="YOEO",
    paper="Vahl, Gutsche, Bestmann, Zhang: YOEO - You Only Encode Once: A CNN for Embedded Object "
    "Detection and Semantic Segmentation, ROBIO 2021",
    tasks=("boxes", "semantic"),
    repository="https://github.com/bit-bots/YOEO, commit 6a3ce22",
    licence="GPL-3.0",
    from_reference=from_reference,
    published=tuple(
        Published(what=what, value=value, source="the paper's table I", variant="yoeo")
        for what, value in (
            ("AP50 TORSO-21 test, 416x416", 83.36),
            ("IoU TORSO-21 test, 416x416", 85.02),
            ("fps, RTX 2080 Ti", 137.14),
            ("fps, Intel NCS2", 6.7),
        )
    ),
    notes="Written from the paper and recorded outputs, not from the authors' code. Boxes learn as "
    "those of our YOLOv4-tiny. Both tasks share one list of classes, unless `map_classes` tells "
    "another number. Their losses are added with fixed weights, or with learnt ones.",
)
