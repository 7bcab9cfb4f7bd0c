"""YOLOv4-tiny.

Chien-Yao Wang, Alexey Bochkovskiy, Hong-Yuan Mark Liao: Scaled-YOLOv4: Scaling Cross Stage Partial
Network, CVPR 2021, arXiv 2011.08036, section 4.3; the training is that of Bochkovskiy, Wang, Liao:
YOLOv4, 2020, arXiv 2004.10934.

Notable: an encoder of cross stage partial blocks, which is all of it but a few convolutions: two
maps of three anchors a cell, at strides 32 and 16.

Legend: B images, 3 colours (RGB), C channels, h w of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.anchor_detector import (
    AnchorDetector,
    Anchors,
    AnchorSettings,
    answer_layer,
)
from maskwright.architectures.contract import Card, Published
from maskwright.architectures.encoders.darknet_tiny import LeakyConv, TinyCSP, TinyCSPConfig
from maskwright.architectures.renaming import rename

STRIDES = (32, 16)
"""Of the two maps."""

ANCHORS: tuple[Anchors, ...] = (
    ((81, 82), (135, 169), (344, 319)),
    ((23, 27), (37, 58), (81, 82)),
)
"""Of the published file, for inputs of 416x416."""


@dataclass(frozen=True, kw_only=True)
class YOLOv4TinyConfig(AnchorSettings):
    """Sizes; the defaults are those of the published file.

    Attributes:
        width: C of the first convolution; all others follow from it.
    """

    anchors: tuple[Anchors, ...] = ANCHORS
    sensitivity: float = 1.05
    width: int = 32

    def __post_init__(self) -> None:
        self.require_maps(len(STRIDES))


class YOLOv4Tiny(AnchorDetector):
    """Encoder, and two maps of anchors."""

    def __init__(self, config: YOLOv4TinyConfig) -> None:
        super().__init__(config, TinyCSP(TinyCSPConfig(width=config.width)))
        self.neck = TinyNeck(config, config.width, whole=False)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB 0..1 -> "told_BNV" of all anchors and their "cells_N5"."""
        return self.told(self.neck(self.encoder(images_B3HW)), STRIDES)

    def file_order(self) -> tuple[str, ...]:
        """As in the published file."""
        return tuple({**ENCODER_PLACES, **NECK_PLACES}.values())

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolutions."""
        return ("neck.coarse.1.", "neck.fine.1.")


class TinyNeck(nn.Module):
    """From the encoder's two deepest features to maps of anchors, at strides 32 and 16.

    Args:
        config: of the anchors.
        width: C of the encoder's first convolution.
        whole: whether the finer map sees both halves of the encoder's features (YOEO) or the
            block's result alone.
    """

    def __init__(self, config: AnchorSettings, width: int, whole: bool) -> None:
        super().__init__()
        self.whole = whole
        self.reduce = LeakyConv(16 * width, 8 * width, 1)
        self.coarse = nn.Sequential(
            LeakyConv(8 * width, 16 * width), answer_layer(16 * width, config)
        )
        self.bridge = LeakyConv(8 * width, 4 * width, 1)
        inside = (20 if whole else 12) * width
        self.fine = nn.Sequential(LeakyConv(inside, 8 * width), answer_layer(8 * width, config))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The encoder's -> [B, A (5 + K), h, w], the coarser first."""
        block_BChw, deepest_BChw = features[-2:]
        reduced_BChw = self.reduce(deepest_BChw)
        beside = block_BChw if self.whole else block_BChw[:, block_BChw.shape[1] // 2 :]
        size = (beside.shape[-2], beside.shape[-1])
        grown_BChw = F.interpolate(self.bridge(reduced_BChw), size, mode="nearest")
        fine_BChw = self.fine(torch.cat([grown_BChw, beside], dim=1))
        return [self.coarse(reduced_BChw), fine_BChw]


ENCODER_PLACES = {
    0: "encoder.stem", 1: "encoder.second",
    **{
        first + shift: f"encoder.stages.{block}.{name}"
        for block, first in enumerate((2, 10, 18))
        for shift, name in ((0, "first"), (2, "inner.0"), (3, "inner.1"), (5, "merge"))
    },
    26: "encoder.last",
}  # fmt: skip
NECK_PLACES = {
    27: "neck.reduce", 28: "neck.coarse.0", 29: "neck.coarse.1", 32: "neck.bridge",
    35: "neck.fine.0", 36: "neck.fine.1",
}  # fmt: skip
"""Number of a section in the published file -> ours."""

ANSWERS = ("neck.coarse.1", "neck.fine.1")
"""Convolutions without a norm: their parameters stand in the network itself."""


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sections of the file, as "layers.NUMBER.conv" and ".bn" -> ours."""
    return rename(weights, *section_rules({**ENCODER_PLACES, **NECK_PLACES}, ANSWERS))


def section_rules(places: Mapping[int, str], bare: Sequence[str]) -> list[tuple[str, str]]:
    """Rules of `rename` from "layers.NUMBER.conv" and ".bn" to our places.

    Args:
        places: number -> ours.
        bare: places that are a convolution and nothing else.
    """
    return [
        rule
        for number, ours in places.items()
        for rule in (
            (rf"^layers\.{number}\.conv\.", f"{ours}." if ours in bare else f"{ours}.conv."),
            (rf"^layers\.{number}\.bn\.", f"{ours}.norm."),
        )
    ]


def tiny(classes: int) -> YOLOv4Tiny:
    """0.2 M parameters, for 64x64 images."""
    return YOLOv4Tiny(
        YOLOv4TinyConfig(
            classes=classes, width=6, slots=12, candidates=100,
            anchors=(((26, 26), (14, 56), (48, 48)), ((8, 8), (16, 16), (30, 14))),
        )
    )  # fmt: skip


CARD = Card(
    title="YOLOv4-tiny",
    paper="Wang, Bochkovskiy, Liao: Scaled-YOLOv4: Scaling Cross Stage Partial Network, CVPR 2021, "
    "arXiv 2011.08036",
    tasks=("boxes",),
    repository="https://github.com/AlexeyAB/darknet, commit 59596d7, cfg/yolov4-tiny.cfg",
    licence="Darknet's: public domain",
    from_reference=from_reference,
    published=(
        Published(what="AP50 COCO test-dev, 416x416", value=40.2, source="the authors' README",
                  variant="yolov4-tiny"),
        Published(what="fps, GTX 1080 Ti, 416x416", value=371, source="the authors' README",
                  variant="yolov4-tiny"),
    ),
    notes="The losses are those of YOLOv4's paper: several anchors learn an object whose sides are "
    "within a factor of 4 of theirs, by complete IoU; Darknet's own weights of the terms were not "
    "published in a paper, and ours are 2, 1 and 1. An anchor answers its best class.",
)  # fmt: skip
