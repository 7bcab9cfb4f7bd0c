"""Real-time Joint Object Detection and Semantic Segmentation Network for Automated Driving.

Ganesh Sistu, Isabelle Leang, Senthil Yogamani, 2019, arXiv 1901.03912.

Notable: one small encoder, two light decoders, made for a low-power chip: a residual network of ten
layers; boxes as YOLOv2 has them, on the coarsest map; FCN-8s's sums of scores. The encoder is
computed once for both. No widths were published, so this is an interpretation.

Legend: B images, 3 colours (RGB), C channels, K classes, H W of the input, h w of a map, P priors a
cell, N of all cells, M slots of objects; xyxy in the input's pixels; a number behind h w is the
stride.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures import josn_losses as losses
from maskwright.architectures.contract import (
    Card,
    Published,
    best_classes,
)
from maskwright.architectures.encoders.resnet import ResNet, ResNetConfig
from maskwright.architectures.several_tasks import SeveralTasks, TaskSettings
from maskwright.architectures.sizes import require_lengths, require_positive
from maskwright.core.errors import ConfigError
from maskwright.layers.anchor_cells import anchor_cells, decode_cells
from maskwright.layers.anchors import by_place
from maskwright.layers.boxes import clip_boxes
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise, initialise_scores
from maskwright.layers.skip_scores import SkipScores
from maskwright.layers.suppression import distinct_objects
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

STRIDE = 32
"""Of the cells."""


@dataclass(frozen=True, kw_only=True)
class JOSNConfig(TaskSettings):
    """Sizes; the defaults are our reading of the paper.

    Attributes:
        widths: C of the encoder's four stages.
        depths: basic blocks of each.
        box_width: C of the convolutions in front of the boxes.
        passed_width: C that the map of stride 16 is narrowed to before it joins them.
        priors: width and height of each of a cell's P boxes, in pixels. Those of one's own data
            are best found by clustering its boxes.
        candidates: boxes that meet in the suppression.
        overlap: IoU above which the lower score of a class goes.
        slots: M.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (1, 1, 1, 1)
    box_width: int = 256
    passed_width: int = 32
    priors: tuple[tuple[float, float], ...] = (
        (16.0, 32.0),
        (40.0, 40.0),
        (48.0, 112.0),
        (112.0, 80.0),
        (240.0, 176.0),
    )
    candidates: int = 1000
    overlap: float = 0.5
    slots: int = 100

    def __post_init__(self) -> None:
        require_lengths(self, widths=4, depths=4)
        require_positive(self, "box_width", "passed_width", "candidates", "slots")
        if not self.priors or min(side for prior in self.priors for side in prior) <= 0:
            raise ConfigError(
                f"expected priors of some width and height, in pixels, got {self.priors}."
            )


class JOSN(SeveralTasks):
    """Encoder, boxes, scores of pixels."""

    def __init__(self, config: JOSNConfig) -> None:
        super().__init__(config)
        self.sizes = config
        self.encoder = ResNet(
            ResNetConfig(depths=config.depths, widths=config.widths, bottleneck=False)
        )
        self.segment = SkipScores(config.widths[1:], config.classes)
        self.detect = _Boxes(config)
        for part in (self.segment, self.detect):
            part.apply(initialise)
        initialise_scores(self.segment)
        self.detect.initialise()

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> the raw tensors.

        Returns:
            "logits" [B, K, H, W]; of each prior "offsets_BN4", "objectness_BN" and
            "class_logits_BNK", logits; and "cells_N5", the cell and the prior of each.
        """
        fine_BChw8, middle_BChw16, coarse_BChw32 = self.encoder(images_B3HW)[2:]
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        return {
            "logits": self.segment((fine_BChw8, middle_BChw16, coarse_BChw32), size),
            **self.detect(middle_BChw16, coarse_BChw32),
        }

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Pixels, boxes, objectness, classes of the objects; "total" their sum."""
        truths = object_truths(targets, outputs["offsets_BN4"])
        pixels = self.pixel_term(outputs["logits"], targets)
        boxes = losses.box_losses(outputs, truths)
        return self.weighted({"semantic": pixels, "boxes": boxes}, targets)

    def answer(self, images_B3HW: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """uint8 RGB -> class_map; boxes, scores, class_ids of `slots` objects; and logits."""
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        outputs = self(self.normalise(images_B3HW))
        objects = self._objects(outputs, size)
        return {"class_map": best_classes(outputs["logits"]), **objects}, outputs["logits"]

    def _objects(self, outputs: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Each prior's best class, scored by its objectness, too; then suppression."""
        chances_BNK = at_least_float32(outputs["class_logits_BNK"]).softmax(dim=-1)
        own_BN, class_ids_BN = chances_BNK.max(dim=-1)
        chances_BN = own_BN * at_least_float32(outputs["objectness_BN"]).sigmoid()
        boxes_BN4 = decode_cells(at_least_float32(outputs["offsets_BN4"]), outputs["cells_N5"])
        boxes_BN4 = clip_boxes(boxes_BN4, size)
        limits = self.sizes.candidates, self.sizes.overlap, self.sizes.slots
        return distinct_objects(boxes_BN4, chances_BN, class_ids_BN, *limits).to_dict()

    def head_prefixes(self) -> tuple[str, ...]:
        """The segmentation, and the last layer of the classes of objects."""
        return ("segment.", "detect.classes.")


class _Boxes(nn.Module):
    """YOLOv2's head: the finer map joins as four channels a pixel, then one layer tells all."""

    def __init__(self, config: JOSNConfig) -> None:
        super().__init__()
        *_, middle, coarse = config.widths
        width, passed = config.box_width, config.passed_width
        self.priors = config.priors
        self.before = ConvNormAct(coarse, width)
        self.narrow = ConvNormAct(middle, passed, 1)
        self.join = ConvNormAct(width + 4 * passed, width)
        self.boxes = nn.Conv2d(width, 5 * len(config.priors), 1)
        self.classes = nn.Conv2d(width, config.classes * len(config.priors), 1)

    def initialise(self) -> None:
        """Boxes begin as their priors, and few of them with an object."""
        for layer in (self.boxes, self.classes):
            nn.init.normal_(layer.weight, std=0.01)
        if self.boxes.bias is not None:
            with torch.no_grad():
                self.boxes.bias.view(-1, 5)[:, 4] = math.log(0.1 / 0.9)

    def forward(self, middle_BChw16: Tensor, coarse_BChw32: Tensor) -> dict[str, Tensor]:
        """Maps of strides 16 and 32 -> as `JOSN.forward` tells."""
        height, width = coarse_BChw32.shape[-2:]
        passed_BChw16 = self.narrow(middle_BChw16)
        odd = (0, 2 * width - passed_BChw16.shape[3], 0, 2 * height - passed_BChw16.shape[2])
        passed_BChw32 = F.pixel_unshuffle(F.pad(passed_BChw16, odd), 2)
        seen_BChw32 = self.join(torch.cat([self.before(coarse_BChw32), passed_BChw32], dim=1))
        told_BN5 = by_place(self.boxes(seen_BChw32), 5)
        kinds = self.classes.out_channels // len(self.priors)
        return {
            "offsets_BN4": told_BN5[..., :4],
            "objectness_BN": told_BN5[..., 4],
            "class_logits_BNK": by_place(self.classes(seen_BChw32), kinds),
            "cells_N5": anchor_cells(
                (height, width),
                STRIDE,
                self.priors,
                # half precision can't count so far
                at_least_float32(coarse_BChw32[:1, :1, :1, :1]).detach(),
            ),
        }


VARIANTS = {
    "josn": JOSNConfig(),
    "josn-small": JOSNConfig(widths=(32, 64, 128, 256), box_width=128),
}
"""By name."""


def tiny(classes: int) -> JOSN:
    """0.1 M parameters, for 64x64 images."""
    return JOSN(
        JOSNConfig(
            classes=classes, widths=(8, 12, 16, 24), box_width=32, passed_width=4,
            priors=((16.0, 16.0), (32.0, 32.0), (16.0, 48.0)), slots=10,
        )
    )  # fmt: skip


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """There is no reference: names are ours already."""
    return dict(weights)


CARD = Card(
    title="JOSN",
    paper="Sistu, Leang, Yogamani: Real-time Joint Object Detection and Semantic Segmentation "
    "Network for Automated Driving, 2019, arXiv 1901.03912",
    tasks=("semantic", "boxes"),
    repository="none: the authors published no code",
    licence="none",
    published=(
        Published(
            what="images a second, 1280x384, the authors' chip", value=30, source="abstract",
            variant="josn",
        ),
    ),
    notes="An interpretation: no widths, priors or weights of the losses were published. The "
    "encoder is a ResNet of basic blocks, one a stage; the segmentation sums scores of strides 8, "
    "16 and 32 as FCN-8s does; the boxes are YOLOv2's, with its passage from stride 16. Their "
    "losses have the weights of YOLO's equation 3; where two objects want one prior, the larger "
    "has it.",
    from_reference=from_reference,
)  # fmt: skip
