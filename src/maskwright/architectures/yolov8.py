"""YOLOv8 and YOLO11, detection and segmentation.

Glenn Jocher, Ayush Chaurasia, Jing Qiu: Ultralytics YOLOv8, 2023; Glenn Jocher, Jing Qiu: YOLO11,
2024. Software without papers; written from the facts that are published of it and from recorded
outputs. The parts have papers: distributions of box sides are Li et al.: Generalized Focal Loss,
NeurIPS 2020, arXiv 2006.04388; the assignment is Feng et al.: TOOD, ICCV 2021, arXiv 2108.07755;
prototypes and coefficients are Bolya et al.: YOLACT, ICCV 2019, arXiv 1904.02689.

Notable: no anchors. Each place of three maps tells the distance to the four sides of a box, as a
distribution over 16 steps, and a score for each class, without an objectness. A mask is a sum of 32
prototypes of the whole image, weighted by what the place tells, cut at the box. YOLO11 nests its
blocks, looks over the coarsest map by attention, and tells classes by depth-wise convolutions.

Legend: B images, 3 colours (RGB), C channels, K classes, H W of the input, h w of a feature map,
A places of all maps, R steps of a side's distribution, P prototypes, M slots of objects; xyxy in
the input's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures import yolov8_losses as losses
from maskwright.architectures.contract import Card, Network, Published
from maskwright.architectures.sizes import require_lengths
from maskwright.architectures.yolov8_names import from_reference
from maskwright.core.errors import ConfigError
from maskwright.core.sample import Task
from maskwright.layers.boxes import clip_boxes, inside_boxes
from maskwright.layers.cross_stage import (
    ConvSiLU,
    CrossStage,
    NestedPairs,
    PooledPyramid,
    PositionSensitiveAttention,
    ResidualPair,
)
from maskwright.layers.suppression import distinct_objects, rows_at
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

STRIDES = (8, 16, 32)
"""Of the three maps."""


@dataclass(frozen=True, kw_only=True)
class YOLOv8Config:
    """Sizes; the defaults are those of YOLOv8n with masks.

    Attributes:
        classes: K.
        widths: C behind each of the five convolutions of stride 2.
        stage_widths: C of the stages behind the last four of them.
        depths: steps of these stages.
        neck_widths: C of the blocks of the way back up (strides 16, 8) and down again (16, 32).
        neck_depth: steps of each of them.
        inner: C of a half inside the first two stages, by their output's; 0.5 in all others.
        nested: for stages and neck, whether a step is a nested pair; empty: none is, and this is
            YOLOv8, where the neck's steps add no input.
        attention: attention blocks behind the coarsest stage; 0: YOLOv8.
        steps: R.
        prototypes: P; 0: boxes without masks.
        prototype_width: C in front of them.
        box_width, class_width, mask_width: C of the heads; 0: as the reference derives it from the
            finest map's, R, K and P.
        candidates: places that meet in the suppression.
        overlap: IoU above which the lower score of a class goes.
        slots: M.
        mask_stride: of the masks, by the input: 4, 2 or 1.
    """

    classes: int = 80
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    stage_widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 2, 1)
    neck_widths: tuple[int, ...] = (128, 64, 128, 256)
    neck_depth: int = 1
    inner: tuple[float, ...] = (0.5, 0.5)
    nested: tuple[bool, ...] = ()
    attention: int = 0
    steps: int = 16
    prototypes: int = 32
    prototype_width: int = 64
    box_width: int = 0
    class_width: int = 0
    mask_width: int = 0
    candidates: int = 1000
    overlap: float = 0.7
    slots: int = 100
    mask_stride: int = 2

    def __post_init__(self) -> None:
        require_lengths(self, widths=5, stage_widths=4, depths=4, neck_widths=4)
        if len(self.inner) != 2 or len(self.nested) not in (0, 8):
            raise ConfigError(
                f"expected 2 entries of inner and 8 of nested, or none, got {self.inner} and "
                f"{self.nested}."
            )
        if self.mask_stride not in (1, 2, 4):
            raise ConfigError(f"expected mask_stride 1, 2 or 4, got {self.mask_stride}.")

    @property
    def later(self) -> bool:
        """Whether it is of the form of YOLO11."""
        return bool(self.nested)


class YOLOv8(Network):
    """Encoder, a way up and a way down, three heads a map, prototypes."""

    def __init__(self, config: YOLOv8Config) -> None:
        super().__init__(config, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.sizes = config
        inside = (3, config.widths[0], *config.stage_widths[:3])
        self.downs = nn.ModuleList(
            ConvSiLU(before, width, 3, 2) for before, width in zip(inside, config.widths)
        )
        self.stages = nn.ModuleList(_stage(config, number) for number in range(4))
        coarsest = config.stage_widths[3]
        self.pool = PooledPyramid(coarsest)
        self.attend = (
            PositionSensitiveAttention(coarsest, config.attention) if config.attention else None
        )
        self.neck = _Neck(config)
        self.heads = _Heads(config)
        self.initialise()

    def initialise(self) -> None:
        """Biases such that a class is seen at 5 places of an image of 640x640, and boxes are small.

        Lin et al.: Focal Loss, ICCV 2017, section 4.1: else the background's places would drown the
        first steps.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for stride, boxes, classes in zip(STRIDES, self.heads.boxes, self.heads.classes):
            sides, scores = (cast(list[nn.Conv2d], one)[-1] for one in (boxes, classes))
            chance = 5 / self.sizes.classes / (640 / stride) ** 2
            for layer, bias in ((sides, 1.0), (scores, math.log(chance))):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(cast(Tensor, layer.bias), bias)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB 0..1 -> the raw tensors of every place.

        Returns:
            "sides_BA4R": logits of the distances to left, top, right, bottom, in strides;
            "class_logits_BAK"; "places_A2" (x, y, in pixels) and "strides_A"; and of masks
            "coefficients_BAP" and "prototypes_BPhw" at stride 4.
        """
        return self.heads(self.features(images_B3HW))

    def features(self, images_B3HW: Tensor) -> list[Tensor]:
        """BChw at strides 8, 16, 32."""
        features_BChw = self.downs[0](images_B3HW)
        seen = []
        for down, stage in zip(self.downs[1:], self.stages):
            features_BChw = stage(down(features_BChw))
            seen.append(features_BChw)
        deepest_BChw = self.pool(seen[-1])
        if self.attend is not None:
            deepest_BChw = self.attend(deepest_BChw)
        return self.neck([*seen[1:3], deepest_BChw])

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Boxes, distributions of their sides, classes and masks; "total" their weighted sum."""
        truths = object_truths(targets, outputs["class_logits_BAK"])
        terms = losses.yolo_losses(outputs, truths)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores, class_ids (and masks) of `slots` objects."""
        images = self.normalise(images_B3HW)
        size = (images.shape[-2], images.shape[-1])
        outputs = self(images)
        chances_BA, class_ids_BA = outputs["class_logits_BAK"].sigmoid().max(dim=-1)
        boxes_BA4 = clip_boxes(losses.decode(outputs), size)
        limits = self.sizes.candidates, self.sizes.overlap, self.sizes.slots
        found = distinct_objects(boxes_BA4, chances_BA, class_ids_BA, *limits)
        if not self.sizes.prototypes:
            return found.to_dict()
        own_BMP = rows_at(outputs["coefficients_BAP"], found.places_BM)
        masks = self._masks(outputs["prototypes_BPhw"], own_BMP, found.boxes_BM4, size)
        return {**found.to_dict(), "masks": masks}

    def _masks(
        self, prototypes_BPhw: Tensor, own_BMP: Tensor, boxes_BM4: Tensor, size: Sequence[int]
    ) -> Tensor:
        """Sums of prototypes, enlarged, above 0 and inside the box: uint8 [B, M, h, w]."""
        logits_BMhw = torch.einsum("bmp,bphw->bmhw", own_BMP, prototypes_BPhw)
        stride = self.sizes.mask_stride
        height, width = (-(-side // stride) for side in size)
        if logits_BMhw.shape[-2:] != (height, width):
            logits_BMhw = F.interpolate(
                logits_BMhw, (height, width), mode="bilinear", align_corners=False
            )
        inside_BMhw = inside_boxes(boxes_BM4, (height, width), stride)
        return ((logits_BMhw > 0) & inside_BMhw).to(torch.uint8)

    def head_prefixes(self) -> tuple[str, ...]:
        """The heads of classes: their width follows from the number of classes, too."""
        return tuple(f"heads.classes.{level}." for level in range(len(STRIDES)))


class _Neck(nn.Module):
    """Coarse features are enlarged and joined to finer ones, and back (Liu et al.: PANet, 2018)."""

    def __init__(self, config: YOLOv8Config) -> None:
        super().__init__()
        _, fine, middle, coarse = config.stage_widths
        up16, up8, down16, down32 = config.neck_widths
        self.ups = nn.ModuleList(
            (
                _neck_block(config, 0, coarse + middle, up16),
                _neck_block(config, 1, up16 + fine, up8),
            )
        )
        self.downs = nn.ModuleList((ConvSiLU(up8, up8, 3, 2), ConvSiLU(down16, down16, 3, 2)))
        self.outs = nn.ModuleList(
            (
                _neck_block(config, 2, up8 + up16, down16),
                _neck_block(config, 3, down16 + coarse, down32),
            )
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """At strides 8, 16, 32 -> the same strides."""
        fine, middle, coarse = features
        middle = self.ups[0](torch.cat([_enlarged(coarse, middle), middle], dim=1))
        fine = self.ups[1](torch.cat([_enlarged(middle, fine), fine], dim=1))
        middle = self.outs[0](torch.cat([self.downs[0](fine), middle], dim=1))
        coarse = self.outs[1](torch.cat([self.downs[1](middle), coarse], dim=1))
        return [fine, middle, coarse]


def _enlarged(coarse: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(coarse, (like.shape[-2], like.shape[-1]), mode="nearest")


def _stage(config: YOLOv8Config, number: int) -> CrossStage:
    width = config.stage_widths[number]
    inner = int(width * (config.inner[number] if number < 2 else 0.5))
    steps = _steps(config, number, inner, config.depths[number], around=True)
    return CrossStage(config.widths[number + 1], width, inner, steps)


def _neck_block(config: YOLOv8Config, number: int, inside: int, width: int) -> CrossStage:
    steps = _steps(config, 4 + number, width // 2, config.neck_depth, around=config.later)
    return CrossStage(inside, width, width // 2, steps)


def _steps(
    config: YOLOv8Config, place: int, channels: int, depth: int, around: bool
) -> list[nn.Module]:
    """Of a block, of the kind that stands at a place of the network."""
    if config.later and config.nested[place]:
        return [NestedPairs(channels, around) for _ in range(depth)]
    inner = channels // 2 if config.later else channels
    return [ResidualPair(channels, inner, around) for _ in range(depth)]


class _Heads(nn.Module):
    """Sides of boxes, classes and coefficients of each place; prototypes of the image."""

    def __init__(self, config: YOLOv8Config) -> None:
        super().__init__()
        self.steps = config.steps
        inside = config.neck_widths[1:]
        box = config.box_width or max(16, inside[0] // 4, 4 * config.steps)
        kind = config.class_width or max(inside[0], min(config.classes, 100))
        self.boxes = nn.ModuleList(_head(one, box, 4 * config.steps) for one in inside)
        head = _light_head if config.later else _head
        self.classes = nn.ModuleList(head(one, kind, config.classes) for one in inside)
        self.coefficients: nn.ModuleList | None = None
        self.prototypes: _Prototypes | None = None
        if config.prototypes:
            mask = config.mask_width or max(inside[0] // 4, config.prototypes)
            self.coefficients = nn.ModuleList(_head(one, mask, config.prototypes) for one in inside)
            self.prototypes = _Prototypes(inside[0], config.prototype_width, config.prototypes)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """At strides 8, 16, 32 -> as `YOLOv8.forward` tells."""
        batch = features[0].shape[0]
        sides_BAS = _listed(self.boxes, features)
        places, strides = zip(
            *(losses.places_of(one, stride) for one, stride in zip(features, STRIDES))
        )
        outputs = {
            "sides_BA4R": sides_BAS.view(batch, -1, 4, self.steps),
            "class_logits_BAK": _listed(self.classes, features),
            "places_A2": torch.cat(places),
            "strides_A": torch.cat(strides),
        }
        if self.coefficients is not None and self.prototypes is not None:
            outputs["coefficients_BAP"] = _listed(self.coefficients, features)
            outputs["prototypes_BPhw"] = self.prototypes(features[0])
        return outputs


def _listed(heads: nn.ModuleList, features: Sequence[Tensor]) -> Tensor:
    """Each head's map, all places in a row: [B, A, C]."""
    maps = [head(one).flatten(2) for head, one in zip(heads, features)]
    return torch.cat(maps, dim=2).transpose(1, 2)


def _head(inside: int, width: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        ConvSiLU(inside, width), ConvSiLU(width, width), nn.Conv2d(width, outside, 1)
    )


def _light_head(inside: int, width: int, outside: int) -> nn.Sequential:
    """Each 3x3 convolution of `_head` as a depth-wise one and a 1x1."""
    return nn.Sequential(
        nn.Sequential(ConvSiLU(inside, inside, groups=inside), ConvSiLU(inside, width, 1)),
        nn.Sequential(ConvSiLU(width, width, groups=width), ConvSiLU(width, width, 1)),
        nn.Conv2d(width, outside, 1),
    )


class _Prototypes(nn.Module):
    """Masks of the whole image, at twice the resolution of the finest map."""

    def __init__(self, inside: int, width: int, count: int) -> None:
        super().__init__()
        self.first = ConvSiLU(inside, width)
        self.enlarge = nn.ConvTranspose2d(width, width, 2, 2)
        self.second = ConvSiLU(width, width)
        self.third = ConvSiLU(width, count, 1)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """At stride 8 -> [B, P, 2 h, 2 w]."""
        masks_BPhw: Tensor = self.third(self.second(self.enlarge(self.first(features_BChw))))
        return masks_BPhw


def _even(number: float) -> int:
    """The next multiple of 8."""
    return 8 * math.ceil(number / 8)


def _v8_sizes(depth: float, width: float, highest: int) -> YOLOv8Config:
    """As the published scales of depth, width and highest C make it."""
    c64, c128, c256, c512, c1024 = (
        _even(min(c, highest) * width) for c in (64, 128, 256, 512, 1024)
    )
    three, six = max(1, round(3 * depth)), max(1, round(6 * depth))
    return YOLOv8Config(
        widths=(c64, c128, c256, c512, c1024),
        stage_widths=(c128, c256, c512, c1024),
        depths=(three, six, six, three),
        neck_widths=(c512, c256, c512, c1024),
        neck_depth=three,
        prototype_width=_even(min(256, highest) * width),
    )


def _v11_sizes(depth: float, width: float, highest: int, nested: bool) -> YOLOv8Config:
    c64, c128, c256, c512, c1024 = (
        _even(min(c, highest) * width) for c in (64, 128, 256, 512, 1024)
    )
    steps = max(1, round(2 * depth))
    return YOLOv8Config(
        widths=(c64, c128, c256, c512, c1024),
        stage_widths=(c256, c512, c512, c1024),
        depths=(steps,) * 4,
        neck_widths=(c512, c256, c512, c1024),
        neck_depth=steps,
        inner=(0.25, 0.25),
        nested=(nested, nested, True, True, nested, nested, nested, True),
        attention=steps,
        prototype_width=_even(min(256, highest) * width),
    )


VARIANTS = {
    **{
        f"yolov8{name}": _v8_sizes(*scales)
        for name, scales in {
            "n": (0.33, 0.25, 1024), "s": (0.33, 0.5, 1024), "m": (0.67, 0.75, 768),
            "l": (1.0, 1.0, 512), "x": (1.0, 1.25, 512),
        }.items()
    },
    **{
        f"yolo11{name}": _v11_sizes(*scales)
        for name, scales in {
            "n": (0.5, 0.25, 1024, False), "s": (0.5, 0.5, 1024, False),
            "m": (0.5, 1.0, 512, True), "l": (1.0, 1.0, 512, True), "x": (1.0, 1.5, 512, True),
        }.items()
    },
}  # fmt: skip
"""With masks, by name."""


def tiny(classes: int) -> YOLOv8:
    """0.2 M parameters, for 64x64 images."""
    return YOLOv8(
        YOLOv8Config(
            classes=classes, widths=(8, 8, 16, 24, 32), stage_widths=(8, 16, 24, 32),
            depths=(1, 1, 1, 1), neck_widths=(24, 24, 24, 32), steps=8, prototypes=8,
            prototype_width=16, slots=12, candidates=100,
        )
    )  # fmt: skip


def tiny_later(classes: int) -> YOLOv8:
    """YOLO11: 0.2 M parameters, for 64x64 images."""
    return YOLOv8(
        YOLOv8Config(
            classes=classes, widths=(8, 8, 16, 24, 32), stage_widths=(16, 16, 24, 32),
            depths=(1, 1, 1, 1), neck_widths=(24, 24, 24, 32), inner=(0.25, 0.5),
            nested=(False, False, True, True, False, False, False, True), attention=1, steps=8,
            prototypes=8, prototype_width=16, slots=12, candidates=100,
        )
    )  # fmt: skip


def tiny_boxes(classes: int) -> YOLOv8:
    """Without masks: 0.2 M parameters, for 64x64 images."""
    return YOLOv8(
        YOLOv8Config(
            classes=classes, widths=(8, 8, 16, 24, 32), stage_widths=(8, 16, 24, 32),
            depths=(1, 1, 1, 1), neck_widths=(24, 24, 24, 32), steps=8, prototypes=0, slots=12,
            candidates=100,
        )
    )  # fmt: skip


_PUBLISHED = {
    # as _MEASURED, of the networks with masks; yolo11l-seg's parameters are told of the folded one
    "yolov8n-seg": (3.4, 36.7, 30.5), "yolov8s-seg": (11.8, 44.6, 36.8),
    "yolov8m-seg": (27.3, 49.9, 40.8), "yolov8l-seg": (46.0, 52.3, 42.6),
    "yolov8x-seg": (71.8, 53.4, 43.4), "yolo11n-seg": (2.9, 38.9, 32.0),
    "yolo11s-seg": (10.1, 46.6, 37.8), "yolo11m-seg": (22.4, 51.5, 41.5),
    "yolo11l-seg": (0, 53.4, 42.9), "yolo11x-seg": (62.1, 54.7, 43.8),
}  # fmt: skip
_MEASURED = (
    "parameters, millions",
    "box AP COCO val2017, 640x640",
    "mask AP COCO val2017, 640x640",
)
_SOURCE = "docs.ultralytics.com, as remembered when the golden was recorded"


def _card(task: Task) -> Card:
    return Card(
        title="YOLOv8 and YOLO11",
        paper="none; Jocher, Chaurasia, Qiu: Ultralytics YOLOv8, 2023; Jocher, Qiu: YOLO11, 2024 "
        "(software)",
        tasks=(task,),
        repository="ultralytics/ultralytics, PyPI 8.4.190",
        licence="AGPL-3.0 or Ultralytics Enterprise, code and weights",
        from_reference=from_reference,
        published=tuple(
            Published(what=what, value=value, source=_SOURCE, variant=name)
            for name, values in _PUBLISHED.items()
            for what, value in zip(_MEASURED, values)
            if value
        ),
        notes="Written from published facts and recorded outputs, not from the reference's code. "
        "The gains of the losses are the reference's. An object smaller than a place of the finest "
        "map is taken for one of that size when places are assigned. A place answers its best "
        "class.",
    )


CARD, BOX_CARD = _card("instances"), _card("boxes")
"""With masks, and without."""
