"""Detectors with anchors in cells: they differ in what makes their maps.

Legend: B images, 3 colours (RGB), K classes, H W of the input, h w of a map, A anchors of a cell, N
anchors of all cells, M slots of objects; xyxy in the input's pixels.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from maskwright.architectures.anchor_losses import anchor_losses
from maskwright.architectures.contract import Network
from maskwright.architectures.encoders import Encoder
from maskwright.core.errors import ConfigError
from maskwright.layers.anchor_cells import anchor_cells, decode_cells
from maskwright.layers.anchors import by_place
from maskwright.layers.boxes import clip_boxes
from maskwright.layers.suppression import distinct_objects
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

Anchors = tuple[tuple[float, float], ...]
"""(width, height) of each, in pixels."""


@dataclass(frozen=True, kw_only=True)
class AnchorSettings:
    """What all of them can be set to.

    Attributes:
        classes: K.
        anchors: of each map, coarsest first; all maps have as many.
        sensitivity: what the sigmoid of a box's middle is stretched by.
        exclusive: whether classes compete in a softmax (YOLOv2).
        candidates: anchors that meet in the suppression.
        overlap: IoU above which the lower score of a class goes.
        slots: M.
    """

    classes: int = 80
    anchors: tuple[Anchors, ...] = ()
    sensitivity: float = 1.0
    exclusive: bool = False
    candidates: int = 1000
    overlap: float = 0.5
    slots: int = 100

    def require_maps(self, count: int) -> None:
        """Hold the anchors against the number of maps.

        Raises:
            ConfigError: others, or sides that are not above zero.
        """
        alike = len({len(own) for own in self.anchors}) == 1
        fine = all(len(pair) == 2 and min(pair) > 0 for own in self.anchors for pair in own)
        if len(self.anchors) != count or not alike or not self.anchors[0] or not fine:
            raise ConfigError(
                f"expected anchors of {count} maps, as many (width, height) above 0 for each, got "
                f"{self.anchors}."
            )

    @property
    def values(self) -> int:
        """C of a map: x, y, width, height, objectness and classes of each anchor."""
        return len(self.anchors[0]) * (5 + self.classes)


class AnchorDetector(Network):
    """An encoder, maps of anchors, and what is told of them.

    Args:
        config: sizes.
        encoder: its normalisation is the network's.
    """

    def __init__(self, config: AnchorSettings, encoder: Encoder) -> None:
        super().__init__(config, encoder.mean, encoder.std)
        self.sizes = config
        self.encoder = encoder

    @abstractmethod
    def file_order(self) -> tuple[str, ...]:
        """Names of the convolutions, as they follow each other in Darknet's files."""

    def told(self, maps: Sequence[Tensor], strides: Sequence[float]) -> dict[str, Tensor]:
        """Maps [B, A (5 + K), h, w] -> "told_BNV" of V = 5 + K values and "cells_N5"."""
        like = at_least_float32(maps[0][:1, :1, :1, :1]).detach()  # half can't count so far
        cells = [
            anchor_cells(one.shape[-2:], stride, own, like)
            for one, stride, own in zip(maps, strides, self.sizes.anchors)
        ]
        rows = [by_place(one, 5 + self.sizes.classes) for one in maps]
        return {"told_BNV": torch.cat(rows, dim=1), "cells_N5": torch.cat(cells)}

    def box_losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Of the anchors: "boxes", "objectness", "classes"."""
        truths = object_truths(targets, outputs["told_BNV"])
        sizes = self.sizes
        return anchor_losses(
            outputs["told_BNV"], outputs["cells_N5"], truths, sizes.sensitivity, sizes.exclusive
        )

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Boxes, objectness and classes; "total" their sum."""
        terms = self.box_losses(outputs, targets)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores and class_ids of `slots` objects."""
        outputs = self(self.normalise(images_B3HW))
        return self.objects(outputs, (images_B3HW.shape[-2], images_B3HW.shape[-1]))

    def objects(self, outputs: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """The best class of each anchor, without doubles."""
        told_BNV = at_least_float32(outputs["told_BNV"])
        boxes_BN4 = decode_cells(told_BNV[..., :4], outputs["cells_N5"], self.sizes.sensitivity)
        boxes_BN4 = clip_boxes(boxes_BN4, size)
        logits_BNK = told_BNV[..., 5:]
        chances_BNK = logits_BNK.softmax(dim=-1) if self.sizes.exclusive else logits_BNK.sigmoid()
        chances_BN, class_ids_BN = (told_BNV[..., 4:5].sigmoid() * chances_BNK).max(dim=-1)
        limits = self.sizes.candidates, self.sizes.overlap, self.sizes.slots
        return distinct_objects(boxes_BN4, chances_BN, class_ids_BN, *limits).to_dict()


def answer_layer(inside: int, config: AnchorSettings) -> nn.Conv2d:
    """The last convolution of a map; an object is first expected in one anchor of a hundred."""
    layer = nn.Conv2d(inside, config.values, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(cast(Tensor, layer.bias))
    with torch.no_grad():
        cast(Tensor, layer.bias).view(len(config.anchors[0]), -1)[:, 4] = -math.log(99)
    return layer
