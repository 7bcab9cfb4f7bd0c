"""MultiNet: Real-time Joint Semantic Reasoning for Autonomous Driving.

Marvin Teichmann, Michael Weber, Marius Zoellner, Roberto Cipolla, Raquel Urtasun, IEEE Intelligent
Vehicles 2018, arXiv 1612.07695.

Notable: one encoder, three decoders, one pass. Street type: the coarse map is narrowed and read by
one dense layer. Objects: each cell of 32x32 pixels tells one box and how sure it is, without
anchors; then the box is used to look again at a finer map ("rezoom"), at places inside of it, and
what is seen there corrects both. Segmentation is FCN-8s. The encoder is VGG-16, whose dense layers
the segmentation keeps as convolutions, or a ResNet.

Legend: B images, 3 colours (RGB), C channels, K classes, H W of the input, h w of a map; G cells,
row by row, N classes of objects, M slots of objects; a number
behind h w is the stride; xyxy in the input's pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.architectures import multinet_losses as losses
from maskwright.architectures.contract import (
    Card,
    Published,
    best_classes,
)
from maskwright.architectures.encoders.vgg import (
    SMALL_DEPTHS,
    SMALL_WIDTHS,
    VGG16_DEPTHS,
    VGG16_WIDTHS,
    for_rgb,
    from_caffe,
)
from maskwright.architectures.multinet_parts import (
    STRIDE,
    Cells,
    Labels,
    ResNetFeatures,
    VGGFeatures,
)
from maskwright.architectures.renaming import rename
from maskwright.architectures.several_tasks import SeveralTasks, TaskSettings
from maskwright.architectures.sizes import require_lengths, require_positive
from maskwright.core.errors import ConfigError
from maskwright.layers.boxes import clip_boxes
from maskwright.layers.initialise import initialise, initialise_scores
from maskwright.layers.skip_scores import SkipScores
from maskwright.layers.suppression import best, kept_by_class, rows_at
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

MEANS = {
    "vgg": (123.68 / 255, 116.779 / 255, 103.939 / 255),
    "resnet": (123.151630838 / 255, 115.902882574 / 255, 103.062623801 / 255),
}
"""RGB in 0..1 that the authors reduce images by."""


@dataclass(frozen=True, kw_only=True)
class MultiNetConfig(TaskSettings):
    """Sizes; the defaults are those of the paper's VGG network, for KITTI's images of 384x1248.

    Attributes:
        encoder: "vgg" or "resnet".
        widths: C of VGG's five stages, or inside the bottlenecks of the ResNet's four.
        depths: convolutions or blocks of each.
        fc_width: C of VGG's two layers that were dense; a ResNet has none.
        fc_kernel: side of the first of them, odd.
        from_dense: objects and labels are read from behind these two layers, not from before.
        hidden: C of a cell's features.
        early_width: the first so many C of the early map are looked at again.
        second_width: C of the layer that joins both looks.
        rezoom: places inside a box at which it is looked at again, both sideways and down, as
            shares of its sides from its middle.
        scale_down: of the coarse map in front of the cells.
        labels: whether the network labels the image.
        label_width: C of a cell in front of the labels.
        grid: (rows, columns) of cells that the labels are read from; other sizes are resized.
        pixel_classes: the first so many of K are told of pixels; 0: K.
        box_classes: N, the last so many of K are found as objects; 0: K.
        label_classes: the last so many of K label images; 0: K.
        overlap: IoU above which the lower score of a class goes.
        slots: M.
    """

    encoder: Literal["vgg", "resnet"] = "vgg"
    widths: tuple[int, ...] = VGG16_WIDTHS
    depths: tuple[int, ...] = VGG16_DEPTHS
    fc_width: int = 4096
    fc_kernel: int = 7
    from_dense: bool = False
    hidden: int = 500
    early_width: int = 256
    second_width: int = 128
    rezoom: tuple[float, ...] = (-0.25, 0.0, 0.25)
    scale_down: float = 0.1
    labels: bool = True
    label_width: int = 100
    grid: tuple[int, int] = (12, 39)
    pixel_classes: int = 0
    box_classes: int = 0
    label_classes: int = 0
    overlap: float = 0.5
    slots: int = 100

    def __post_init__(self) -> None:
        stages = 5 if self.encoder == "vgg" else 4
        require_lengths(self, widths=stages, depths=stages, grid=2)
        require_positive(
            self, "fc_width", "fc_kernel", "hidden", "early_width", "second_width", "label_width"
        )
        counts = self.pixel_classes, self.box_classes, self.label_classes
        if min(counts) < 0 or max(counts) > self.classes:
            raise ConfigError(
                f"expected pixel_classes, box_classes and label_classes of 0 to the number of "
                f"classes, {self.classes}, got {counts}."
            )
        finest = self.widths[3] if self.encoder == "vgg" else 4 * self.widths[1]
        if self.early_width > finest or not self.rezoom or self.fc_kernel % 2 == 0:
            raise ConfigError(
                f"expected early_width of {finest} at most, places in rezoom and an odd fc_kernel, "
                f"got {self.early_width}, {self.rezoom} and {self.fc_kernel}."
            )
        if self.from_dense and self.encoder != "vgg":
            raise ConfigError("expected from_dense with the encoder vgg alone, got it with resnet.")


class MultiNet(SeveralTasks):
    """An encoder, and decoders of pixels, of objects and of labels (figure 2)."""

    def __init__(self, config: MultiNetConfig) -> None:
        super().__init__(config, mean=MEANS[config.encoder], labels=config.labels)
        self.sizes = config
        self.encoder = _encoder(config)
        *seen, deep = self.encoder.channels
        self.segment = SkipScores(seen, config.pixel_classes or config.classes)
        self.detect = _cells(config, deep)
        self.label = _labels(config, deep) if config.labels else None
        self.apply(initialise)
        initialise_scores(self.segment)
        self.detect.initialise()

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> the raw tensors.

        Returns:
            "logits" [B, K, H, W]; "centres_G2", of the cells (x, y, in pixels); of each cell
            "boxes_BG4" (its middle from the cell's centre, width, height, in pixels) and
            "confidences_BGN" (logits of no object and of N classes), and both as the second look
            corrects them, "second_boxes_BG4" and "second_confidences_BGN"; "labels_BK", logits.
        """
        features = self.encoder(images_B3HW)
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        seen = (features.fine_BChw8, features.middle_BChw16, features.coarse_BChw32)
        outputs = {
            "logits": self.segment(seen, size),
            **self.detect(features.deep_BChw32, features.early_BChw8),
        }
        if self.label is not None:
            outputs["labels_BK"] = self.label(features.deep_BChw32)
        return outputs

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Pixels, both looks at the objects, labels; "total" their sum (section 3.4)."""
        truths = object_truths(targets, outputs["boxes_BG4"])
        unseen = self.sizes.classes - (outputs["confidences_BGN"].shape[-1] - 1)
        terms = {
            "semantic": self.pixel_term(outputs["logits"], targets),
            "boxes": losses.cell_losses(outputs, truths, STRIDE, unseen),
        }
        if "labels_BK" in outputs:
            terms["labels"] = {"labels": losses.label_loss(outputs["labels_BK"], targets)}
        return self.weighted(terms, targets)

    def answer(self, images_B3HW: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """uint8 RGB -> class_map; boxes, scores, class_ids of `slots` objects; labels; logits."""
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        outputs = self(self.normalise(images_B3HW))
        answer = {
            "class_map": best_classes(outputs["logits"]),
            **self._objects(outputs, size),
        }
        if "labels_BK" in outputs:
            chances_BK = outputs["labels_BK"].float().softmax(dim=1)
            answer["labels"] = F.pad(chances_BK, (self.sizes.classes - chances_BK.shape[1], 0))
        return answer, outputs["logits"]

    def _objects(self, outputs: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Each cell's best class and corrected box, then suppression."""
        chances_BGN = at_least_float32(outputs["second_confidences_BGN"]).softmax(dim=-1)[..., 1:]
        scores_BG, class_ids_BG = chances_BGN.max(dim=-1)
        boxes_BG4 = losses.decode(outputs["second_boxes_BG4"], outputs["centres_G2"])
        boxes_BG4 = clip_boxes(boxes_BG4, size)
        stays_BG = kept_by_class(boxes_BG4, scores_BG, class_ids_BG, self.sizes.overlap)
        scores_BM, chosen_BM = best(scores_BG * stays_BG, self.sizes.slots)
        unseen = self.sizes.classes - chances_BGN.shape[-1]
        return {
            "boxes": rows_at(boxes_BG4, chosen_BM),
            "scores": scores_BM,
            "class_ids": (rows_at(class_ids_BG, chosen_BM) + unseen).to(torch.int32),
        }

    def head_prefixes(self) -> tuple[str, ...]:
        """The segmentation, the confidences of both looks, and the last layer of the labels."""
        confidences = ("detect.confidences.", "detect.second_confidences.")
        return ("segment.", *confidences, *(("label.scores.",) if self.label is not None else ()))


def _encoder(config: MultiNetConfig) -> VGGFeatures | ResNetFeatures:
    if config.encoder == "resnet":
        return ResNetFeatures(config.widths, config.depths)
    return VGGFeatures(
        config.widths, config.depths, config.fc_width, config.fc_kernel, config.from_dense
    )


def _cells(config: MultiNetConfig, inside: int) -> Cells:
    return Cells(
        inside,
        config.hidden,
        config.early_width,
        config.second_width,
        classes=config.box_classes or config.classes,
        shares=config.rezoom,
        scale_down=config.scale_down,
    )


def _labels(config: MultiNetConfig, inside: int) -> Labels:
    classes = config.label_classes or config.classes
    return Labels(inside, config.label_width, classes, config.grid)


_RESNET_WIDTHS = (64, 128, 256, 512)
_LABELLED = {
    "multinet-vgg": MultiNetConfig(),
    "multinet-vgg-small": MultiNetConfig(
        widths=SMALL_WIDTHS, depths=SMALL_DEPTHS, fc_width=256, early_width=64, hidden=128,
        label_width=32,
    ),
    "multinet-resnet50": MultiNetConfig(
        encoder="resnet", widths=_RESNET_WIDTHS, depths=(3, 4, 6, 3)
    ),
    "multinet-resnet101": MultiNetConfig(
        encoder="resnet", widths=_RESNET_WIDTHS, depths=(3, 4, 23, 3)
    ),
}  # fmt: skip
VARIANTS = _LABELLED | {
    f"{name}-pair": replace(config, labels=False) for name, config in _LABELLED.items()
}
"""By name; a pair has pixels and objects, and no labels."""


def tiny(classes: int) -> MultiNet:
    """VGG: 0.2 M parameters, for 64x64 images."""
    return MultiNet(
        MultiNetConfig(
            classes=classes, widths=(8, 16, 24, 32, 48), depths=(1, 1, 1, 1, 1), fc_width=48,
            fc_kernel=3, hidden=64, early_width=24, second_width=32, label_width=16, grid=(2, 2),
            slots=12,
        )
    )  # fmt: skip


def tiny_resnet(classes: int) -> MultiNet:
    """ResNet: 0.2 M parameters, for 64x64 images."""
    return MultiNet(
        MultiNetConfig(
            classes=classes, encoder="resnet", widths=(8, 12, 16, 24), depths=(1, 1, 1, 1),
            hidden=64, early_width=24, second_width=32, label_width=16, grid=(2, 2), slots=12,
        )
    )  # fmt: skip


def tiny_pair(classes: int) -> MultiNet:
    """`tiny` without labels."""
    return MultiNet(replace(tiny(classes).sizes, labels=False))


_NAMES = (
    (r"^(fc[67])\.", r"encoder.\1.conv."),
    (r"^segdec\.", ""),
    (r"^score_fr\.", "segment.score32."),
    (r"^score_(pool4|feed2)\.", "segment.score16."),
    (r"^score_(pool3|feed4)\.", "segment.score8."),
    (r"^upscore2\.", "segment.to16."),
    (r"^upscore4\.", "segment.to8."),
    (r"^upscore32\.", "segment.to1."),
    (r"^decoder\.Overfeat\.ip\.", "detect.hidden."),
    (r"^decoder\.box_out\.", "detect.boxes."),
    (r"^decoder\.confs_out\.", "detect.confidences."),
    (r"^decoder\.delta1\.", "detect.second."),
    (r"^decoder\.delta2\.", "detect.second_confidences."),
    (r"^decoder\.delta_boxes\.", "detect.second_boxes."),
    (r"^decoder_inner\.", "label.narrow."),
    (r"^logits\.", "label.scores."),
    (r"^scale1\.bn\.", "encoder.body.stem.norm."),
    (r"^scale1\.conv\.", "encoder.body.stem.conv."),
    (r"^(scale\d+\.block\d+\.\w+)\.bn\.", r"\1.norm."),
)
_BLOCK = re.compile(r"scale(\d+)\.block(\d+)\.(.*)")


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The golden's names of the authors' TensorFlow variables -> ours; the colours too."""
    ours = {}
    for name, tensor in rename(from_caffe(weights, "encoder.stages"), *_NAMES).items():
        found = _BLOCK.fullmatch(name)
        if found:
            name = f"encoder.body.stages.{int(found[1]) - 2}.{int(found[2]) - 1}.{found[3]}"
        ours[name] = for_rgb(tensor) if name == "encoder.body.stem.conv.weight" else tensor
    return ours


_README = "README of MarvinTeichmann/KittiBox at 86d7ac6"

CARD = Card(
    title="MultiNet",
    paper="Teichmann, Weber, Zoellner, Cipolla, Urtasun: MultiNet: Real-time Joint Semantic "
    "Reasoning for Autonomous Driving, IEEE IV 2018, arXiv 1612.07695",
    tasks=("semantic", "boxes", "labels"),
    repository="https://github.com/MarvinTeichmann/MultiNet",
    licence="MIT",
    from_reference=from_reference,
    published=(
        *(
            Published(
                what=f"AP KITTI val, cars, {hard}", value=value, source=_README,
                variant="multinet-vgg",
            )
            for hard, value in (("moderate", 86.45), ("easy", 92.80), ("hard", 67.59))
        ),
        Published(
            what="images a second, detection alone, their GPU", value=27.97, source=_README,
            variant="multinet-vgg",
        ),
    ),
    notes="The reference finds cars and segments roads; here objects of all classes are found, a "
    "confidence each, and `box_classes` says how many. Which labels the second confidences learn "
    "isn't in the paper: those of the first. The absolute differences of boxes are rounded at 0, "
    "or they would swing around it at rates above the authors'. The second look reads at the first "
    "box without teaching it. Labels exclude each other, as street types do: of an image with "
    "several, each is taught an equal share. The authors' ResNet has another decoder of labels, of "
    "which nothing was recorded; here it is that of VGG. The dense layer of the labels reads a "
    "fixed grid of cells: the map of an image of another size is resized to it.",
)  # fmt: skip
PAIR_CARD = replace(CARD, tasks=("semantic", "boxes"))
"""Of a network without labels."""
