"""Tiny-YOLOv2 and YOLO-LITE.

Joseph Redmon, Ali Farhadi: YOLO9000: Better, Faster, Stronger, CVPR 2017, arXiv 1612.08242; Rachel
Huang, Jonathan Pedoeem, Cuixian Chen: YOLO-LITE: A Real-Time Object Detection Algorithm Optimized
for Non-GPU Computers, IEEE Big Data 2018, arXiv 1811.05588.

Notable: a plain chain of convolutions and maxima, and one map of five anchors a cell, whose classes
compete. YOLO-LITE is a seventh as deep in channels and has no batch norm: it was made for laptops.

Legend: B images, 3 colours (RGB).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maskwright.architectures.anchor_detector import (
    AnchorDetector,
    Anchors,
    AnchorSettings,
    answer_layer,
)
from maskwright.architectures.contract import Card, Published
from maskwright.architectures.encoders.darknet_tiny import (
    TINY_YOLOV2,
    YOLO_LITE,
    Chain,
    ChainConfig,
)
from maskwright.architectures.renaming import rename
from maskwright.architectures.yolov4_tiny import section_rules

VOC_ANCHORS: Anchors = tuple(
    (32 * width, 32 * height)
    for width, height in (
        (1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52),
    )
)  # fmt: skip
"""Of tiny-YOLOv2 on PASCAL VOC, in 416x416; the file tells them in cells of 32 pixels."""


@dataclass(frozen=True, kw_only=True)
class YOLOv2Config(AnchorSettings):
    """Sizes; the defaults are those of YOLO-LITE.

    Attributes:
        widths, norms, pool_last: of the chain, see `encoders.darknet_tiny.ChainConfig`; the first
            five convolutions are followed by a stride of 2.
    """

    classes: int = 20
    anchors: tuple[Anchors, ...] = (VOC_ANCHORS,)
    exclusive: bool = True
    widths: tuple[int, ...] = YOLO_LITE.widths
    norms: tuple[bool, ...] = YOLO_LITE.norms
    pool_last: bool = False

    def __post_init__(self) -> None:
        self.require_maps(1)


VARIANTS = {
    "yolo-lite": YOLOv2Config(),
    "tiny-yolov2": YOLOv2Config(
        widths=TINY_YOLOV2.widths, norms=TINY_YOLOV2.norms, pool_last=TINY_YOLOV2.pool_last
    ),
}
"""By name."""


class YOLOv2(AnchorDetector):
    """A chain, and one map of anchors at stride 32."""

    def __init__(self, config: YOLOv2Config) -> None:
        chain = ChainConfig(widths=config.widths, norms=config.norms, pool_last=config.pool_last)
        super().__init__(config, Chain(chain))
        self.widths = config.widths
        self.answer = answer_layer(config.widths[-1], config)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB 0..1 -> "told_BNV" of all anchors and their "cells_N5"."""
        return self.told([self.answer(self.encoder(images_B3HW)[-1])], (32,))

    def file_order(self) -> tuple[str, ...]:
        """The chain, then the answer."""
        return (*(f"encoder.convs.{place}" for place in range(len(self.widths))), "answer")

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolution."""
        return ("answer.",)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sections of the file, as "layers.NUMBER.conv" and ".bn" -> ours, in their order."""
    numbers = sorted({int(name.split(".")[1]) for name in weights if name.startswith("layers.")})
    *convs, answer = numbers
    places = {number: f"encoder.convs.{place}" for place, number in enumerate(convs)}
    return rename(weights, *section_rules({**places, answer: "answer"}, ("answer",)))


def tiny(classes: int) -> YOLOv2:
    """0.1 M parameters, for 64x64 images."""
    return YOLOv2(
        YOLOv2Config(
            classes=classes, widths=(8, 16, 24, 32, 48, 64), norms=(True,) * 6, slots=12,
            candidates=100, anchors=(((26, 26), (14, 56), (10, 10), (48, 48), (30, 14)),),
        )
    )  # fmt: skip


CARD = Card(
    title="tiny-YOLOv2 and YOLO-LITE",
    paper="Redmon, Farhadi: YOLO9000, CVPR 2017, arXiv 1612.08242; Huang, Pedoeem, Chen: "
    "YOLO-LITE, IEEE Big Data 2018, arXiv 1811.05588",
    tasks=("boxes",),
    repository="https://github.com/reu2018DL/YOLO-LITE, commit 5a96f4f, "
    "cfg/tiny-yolov2-trial3-noBatch.cfg",
    licence="none given",
    from_reference=from_reference,
    published=tuple(
        Published(what=what, value=value, source="the authors' README", variant="yolo-lite")
        for what, value in (
            ("AP50 PASCAL VOC, 224x224", 33.57),
            ("AP50 COCO, 224x224", 12.26),
            ("fps, laptop's processor (Dell XPS 13)", 21),
        )
    ),
    notes="The losses are those of YOLOv4's paper, with classes that compete, not the squared "
    "errors of 2017. Anchors are told in pixels. An anchor answers its best class.",
)
