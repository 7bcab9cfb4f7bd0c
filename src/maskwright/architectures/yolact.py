"""YOLACT and YOLACT++: Real-time Instance Segmentation.

Daniel Bolya, Chong Zhou, Fanyi Xiao, Yong Jae Lee: YOLACT, ICCV 2019, arXiv 1904.02689; YOLACT++,
PAMI 2020, arXiv 1912.06218.

Notable: two tasks side by side instead of one after the other. A fully convolutional branch answers
prototypes, masks of the whole image; a one-stage detector answers a class, a box and coefficients
of the prototypes for each prior. A mask is the sum of prototypes by these coefficients, cut at the
box: one product of matrices. Suppression is a product of matrices, too (Fast NMS). YOLACT++ moves
the taps of the encoder's convolutions, has more priors, and scores a mask by its own shape.

Legend: B images, 3 colours (RGB), K classes, C = K + 1 of them with the background, H W of the
input, h w of a feature map, N priors, P prototypes, M slots of objects; xyxy in the input's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures import yolact_losses as losses
from maskwright.architectures.contract import Card, Published
from maskwright.architectures.encoders import EncoderSettings
from maskwright.architectures.pyramid_network import PyramidNetwork
from maskwright.architectures.renaming import rename
from maskwright.core.errors import ConfigError
from maskwright.layers.anchors import by_place
from maskwright.layers.box_offsets import decode_boxes
from maskwright.layers.boxes import clip_boxes, inside_boxes
from maskwright.layers.fast_nms import fast_nms
from maskwright.layers.suppression import best, rows_at
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

STRIDES = (8, 16, 32)
"""Of the encoder's features; the pyramid adds two coarser levels."""

OFFSET_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""Of dx, dy, dw, dh: SSD's variances of 0.1 and 0.2."""

_MEAN = tuple(value / 255 for value in (123.68, 116.78, 103.94))
_STD = tuple(value / 255 for value in (58.40, 57.12, 57.38))
"""The authors', of ResNets' inputs."""


@dataclass(frozen=True, kw_only=True)
class YOLACTConfig(EncoderSettings):
    """Sizes; the defaults are those of YOLACT on ResNet-101.

    Attributes:
        encoder: ResNets are normalised as the reference does, others by their own.
        output_stride: of the encoder; its features at strides 8, 16 and 32 are used.
        width: C of the pyramid, and of all heads.
        prior_scales: of each of the five levels, sides of priors for inputs of `prior_size`; they
            grow with the input.
        prior_size: in pixels.
        aspects: of priors, width by height; the root of one multiplies the width.
        square: priors are as high as they are wide, as the reference's were by an oversight.
        prototypes: P.
        scores_masks: whether a small network scores masks by their shape (YOLACT++).
        compared: candidates of each class that meet in Fast NMS.
        overlap: IoU above which the lower score of a class goes.
        slots: M.
        mask_stride: of the masks, by the input: 4, 2 or 1.
    """

    classes: int = 80
    encoder: str = "resnet101"
    output_stride: int = 32
    width: int = 256
    prior_scales: tuple[tuple[float, ...], ...] = ((24,), (48,), (96,), (192,), (384,))
    prior_size: int = 550
    aspects: tuple[float, ...] = (1.0, 0.5, 2.0)
    square: bool = True
    prototypes: int = 32
    scores_masks: bool = False
    compared: int = 200
    overlap: float = 0.5
    slots: int = 100
    mask_stride: int = 2

    def __post_init__(self) -> None:
        if len(self.prior_scales) != len(STRIDES) + 2 or not all(self.prior_scales):
            raise ConfigError(
                f"expected prior_scales of {len(STRIDES) + 2} levels, got {self.prior_scales}."
            )
        if len({len(scales) for scales in self.prior_scales}) > 1:
            raise ConfigError(
                f"expected as many prior_scales on every level, got {self.prior_scales}."
            )
        if self.output_stride != 32 or self.mask_stride not in (1, 2, 4):
            raise ConfigError(
                f"expected output_stride 32 and mask_stride 1, 2 or 4, got {self.output_stride} "
                f"and {self.mask_stride}."
            )

    @property
    def priors(self) -> int:
        """Of a place."""
        return len(self.prior_scales[0]) * len(self.aspects)


_PLUS_SCALES = tuple(
    tuple(side * 2 ** (third / 3) for third in range(3)) for side in (24, 48, 96, 192, 384)
)

VARIANTS = {
    "yolact-resnet50": YOLACTConfig(encoder="resnet50"),
    "yolact-resnet101": YOLACTConfig(),
    "yolact-darknet53": YOLACTConfig(encoder="darknet53"),
    # ours, for processors
    "yolact-lite0": YOLACTConfig(encoder="tf_efficientnet_lite0", width=96),
    "yolactpp-resnet50": YOLACTConfig(
        encoder="resnet50-dcnv2b", prior_scales=_PLUS_SCALES, square=False, scores_masks=True
    ),
    "yolactpp-resnet101": YOLACTConfig(
        encoder="resnet101-dcnv2b-sparse",
        prior_scales=_PLUS_SCALES,
        square=False,
        scores_masks=True,
    ),
}
"""By name."""


class YOLACT(PyramidNetwork):
    """Encoder, pyramid, one head on all of its levels, prototypes."""

    def __init__(self, config: YOLACTConfig) -> None:
        super().__init__(
            config,
            config.width,
            STRIDES,
            normalisation=(_MEAN, _STD) if config.encoder.startswith("resnet") else None,
            extra=2,
            strided=True,
            enlargement="bilinear",
            activation=nn.ReLU,
        )
        self.sizes = config
        self.head = _Head(config)
        self.prototypes = _prototype_layers(config.width, config.prototypes)
        self.areas = nn.Conv2d(config.width, config.classes, 1)
        self.scorer = _mask_scorer(config.classes) if config.scores_masks else None
        for part in (self.pyramid, self.head, self.prototypes, self.areas, self.scorer):
            for module in part.modules() if part is not None else ():
                if isinstance(module, nn.Conv2d):
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if self.scorer is not None:  # a ReLU that begins below 0 for a class would learn nothing
            nn.init.constant_(self.scorer[10].bias, 0.5)  # type: ignore[arg-type]
        self._expect_background()

    def _expect_background(self) -> None:
        """Scores begin as those of a prior that shows nothing, but for one in a hundred."""
        with torch.no_grad():
            bias_AC = self.head.scores.get_parameter("bias").view(self.sizes.priors, -1)
            bias_AC[:, 0] = math.log(99 * self.sizes.classes)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> every prior's answers, and what is told of the image.

        Returns:
            "offsets_BN4" from "priors_N4" (xyxy), "class_logits_BNC" of which the first is the
            background, "coefficients_BNP" in -1..1, "prototypes_BPhw" >= 0 at stride 4, and
            "area_logits_BKhw" at stride 8, of each class on its own.
        """
        features = self.features(images_B3HW)
        offsets, logits, coefficients = zip(*(self.head(one) for one in features))
        classes = self.sizes.classes + 1
        return {
            "offsets_BN4": torch.cat([by_place(one, 4) for one in offsets], dim=1),
            "class_logits_BNC": torch.cat([by_place(one, classes) for one in logits], dim=1),
            "coefficients_BNP": torch.cat(
                [by_place(one, self.sizes.prototypes).tanh() for one in coefficients], dim=1
            ),
            "priors_N4": self.priors(features, images_B3HW),
            "prototypes_BPhw": self.prototypes(features[0]),
            "area_logits_BKhw": self.areas(features[0]),
        }

    def priors(self, features: Sequence[Tensor], images_B3HW: Tensor) -> Tensor:
        """xyxy [N, 4] of all levels: rows, columns, scales, aspects."""
        height, width = images_B3HW.shape[-2:]
        size = images_B3HW.new_tensor([width, height, width, height])
        shares = [
            relative_priors(one.shape[-2:], scales, self.sizes, images_B3HW)
            for one, scales in zip(features, self.sizes.prior_scales)
        ]
        middle, sides = (torch.cat(shares) * size).chunk(2, dim=1)
        return torch.cat([middle - sides / 2, middle + sides / 2], dim=1)

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Section 3: classes, boxes, masks, and areas of the classes; "total" their sum."""
        truths = object_truths(targets, outputs["class_logits_BNC"])
        terms = losses.yolact_losses(outputs, truths, OFFSET_WEIGHTS, self.scorer)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores, class_ids and masks of `slots` objects."""
        images = self.normalise(images_B3HW)
        size = (images.shape[-2], images.shape[-1])
        outputs = self(images)
        chances_BNK = outputs["class_logits_BNC"].softmax(dim=-1)[..., 1:]
        boxes_BN4 = decode_boxes(outputs["offsets_BN4"], outputs["priors_N4"], OFFSET_WEIGHTS)
        boxes_BN4 = clip_boxes(boxes_BN4, size)
        compared = min(self.sizes.compared, boxes_BN4.shape[1])
        scores_BKT, places_BKT = fast_nms(
            boxes_BN4, chances_BNK.transpose(1, 2), compared, self.sizes.overlap
        )
        scores_BM, chosen_BM = best(scores_BKT.flatten(1), self.sizes.slots)
        places_BM = rows_at(places_BKT.flatten(1), chosen_BM)
        class_ids_BM = chosen_BM.div(compared, rounding_mode="floor")
        boxes_BM4 = rows_at(boxes_BN4, places_BM)
        own_BMP = rows_at(outputs["coefficients_BNP"], places_BM)
        masks_BMhw = losses.assemble(outputs["prototypes_BPhw"], own_BMP)
        stride = size[0] / masks_BMhw.shape[-2]
        inside_BMhw = inside_boxes(boxes_BM4, masks_BMhw.shape[-2:], stride)
        if self.scorer is not None:
            seen_BMhw = masks_BMhw * inside_BMhw
            scores_BM = scores_BM * _mask_quality(self.scorer, seen_BMhw, class_ids_BM)
            scores_BM, order_BM = scores_BM.sort(dim=1, descending=True)
            boxes_BM4, class_ids_BM = rows_at(boxes_BM4, order_BM), rows_at(class_ids_BM, order_BM)
            masks_BMhw = rows_at(masks_BMhw, order_BM)
        return {
            "boxes": boxes_BM4,
            "scores": scores_BM,
            "class_ids": class_ids_BM.to(torch.int32),
            "masks": self._enlarged(masks_BMhw, boxes_BM4, size),
        }

    def _enlarged(self, masks_BMhw: Tensor, boxes_BM4: Tensor, size: tuple[int, int]) -> Tensor:
        stride = self.sizes.mask_stride
        grid = (-(-size[0] // stride), -(-size[1] // stride))
        if masks_BMhw.shape[-2:] != grid:
            masks_BMhw = F.interpolate(masks_BMhw, grid, mode="bilinear", align_corners=False)
        inside_BMhw = inside_boxes(boxes_BM4, grid, stride)
        return ((masks_BMhw > 0.5) & inside_BMhw).to(torch.uint8)

    def head_prefixes(self) -> tuple[str, ...]:
        """What depends on the number of classes."""
        return ("head.scores.", "areas.", *(("scorer.10.",) if self.scorer is not None else ()))


def _mask_quality(scorer: nn.Module, masks_BMhw: Tensor, class_ids_BM: Tensor) -> Tensor:
    """The IoU that a mask's shape promises, of its own class [B, M] (section 3.2 of ++)."""
    batch, slots = class_ids_BM.shape
    cut_N1hw = (masks_BMhw > 0.5).to(masks_BMhw.dtype).flatten(0, 1).unsqueeze(1)
    promised_NK = losses.mask_ious(scorer, cut_N1hw)
    return promised_NK.gather(1, class_ids_BM.reshape(-1, 1)).view(batch, slots).clamp(0, 1)


def relative_priors(
    grid: Sequence[int], scales: Sequence[float], config: YOLACTConfig, like: Tensor
) -> Tensor:
    """Centre x, y, width, height of a level's priors as shares of the image, [h w A, 4].

    Args:
        grid: (h, w).
        scales: of the level.
        config: with aspects.
        like: whose type and device they get.
    """
    height, width = (int(side) for side in grid)
    rows_h = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) / height
    columns_w = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) / width
    y_hw, x_hw = torch.meshgrid(rows_h, columns_w, indexing="ij")
    sides = []
    for scale in scales:
        for aspect in config.aspects:
            wide = scale * math.sqrt(aspect) / config.prior_size
            high = scale / math.sqrt(aspect) / config.prior_size
            sides.append((wide, wide if config.square else high))
    sides_A2 = like.new_tensor(sides)
    count = len(sides)
    middle_NA2 = torch.stack([x_hw, y_hw], dim=-1).reshape(-1, 1, 2).expand(-1, count, -1)
    sides_NA2 = sides_A2.expand(height * width, -1, -1)
    return torch.cat([middle_NA2, sides_NA2], dim=-1).reshape(-1, 4)


class _Head(nn.Module):
    """Class, box and coefficients of each prior of a place; the same on every level (figure 4)."""

    def __init__(self, config: YOLACTConfig) -> None:
        super().__init__()
        width, priors = config.width, config.priors
        self.shared = nn.Conv2d(width, width, 3, padding=1)
        self.offsets = nn.Conv2d(width, 4 * priors, 3, padding=1)
        self.scores = nn.Conv2d(width, (config.classes + 1) * priors, 3, padding=1)
        self.coefficients = nn.Conv2d(width, config.prototypes * priors, 3, padding=1)

    def forward(self, features_BChw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen_BChw = self.shared(features_BChw).relu()
        return self.offsets(seen_BChw), self.scores(seen_BChw), self.coefficients(seen_BChw)


class _Enlarge(nn.Module):
    """Twice as high and wide, bilinear."""

    def forward(self, features_BChw: Tensor) -> Tensor:
        return F.interpolate(features_BChw, scale_factor=2, mode="bilinear", align_corners=False)


def _prototype_layers(width: int, count: int) -> nn.Sequential:
    """Figure 3; they are no less than 0."""
    convs = [
        layer for _ in range(3) for layer in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
    ]
    return nn.Sequential(
        *convs, _Enlarge(), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        nn.Conv2d(width, count, 1), nn.ReLU(),
    )  # fmt: skip


def _mask_scorer(classes: int) -> nn.Sequential:
    """Fast mask re-scoring: a mask of one channel -> a map of K, whose maxima are its IoUs."""
    layers: list[nn.Module] = []
    inside = 1
    for width in (8, 16, 32, 64, 128):
        layers += [nn.Conv2d(inside, width, 3, 2), nn.ReLU()]
        inside = width
    return nn.Sequential(*layers, nn.Conv2d(inside, classes, 1), nn.ReLU())


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names -> ours."""
    lateral = {2 - i: i for i in range(3)}  # theirs begin with the coarsest
    order = [
        rule
        for theirs, ours in lateral.items()
        for rule in (
            (rf"^fpn\.lat_layers\.{theirs}\.", f"pyramid.lateral.{ours}.conv."),
            (rf"^fpn\.pred_layers\.{theirs}\.", f"pyramid.smooth.{ours}.conv."),
        )
    ]
    darknet = any(name.startswith("backbone._preconv.") for name in weights)
    encoder = [
        (r"^backbone\._preconv\.0\.", "encoder.stem.conv."),
        (r"^backbone\._preconv\.1\.", "encoder.stem.norm."),
        (r"^backbone\.layers\.(\d+)\.(\d+)\.conv1\.0\.", r"encoder.stages.\1.\2.narrow.conv."),
        (r"^backbone\.layers\.(\d+)\.(\d+)\.conv1\.1\.", r"encoder.stages.\1.\2.narrow.norm."),
        (r"^backbone\.layers\.(\d+)\.(\d+)\.conv2\.0\.", r"encoder.stages.\1.\2.widen.conv."),
        (r"^backbone\.layers\.(\d+)\.(\d+)\.conv2\.1\.", r"encoder.stages.\1.\2.widen.norm."),
        (r"^backbone\.layers\.(\d+)\.(\d+)\.0\.", r"encoder.stages.\1.\2.conv."),
        (r"^backbone\.layers\.(\d+)\.(\d+)\.1\.", r"encoder.stages.\1.\2.norm."),
    ] if darknet else [
        *((rf"^backbone\.layers\.{i}\.", f"encoder.layer{i + 1}.") for i in range(4)),
        (r"^backbone\.", "encoder."),
        (r"\.conv_offset_mask\.", ".offset."),
    ]  # fmt: skip
    return rename(
        weights,
        *encoder,
        *order,
        (r"^fpn\.downsample_layers\.(\d+)\.", r"pyramid.further.\1.conv."),
        (r"^prediction_layers\.0\.upfeature\.0\.", "head.shared."),
        (r"^prediction_layers\.0\.bbox_layer\.", "head.offsets."),
        (r"^prediction_layers\.0\.conf_layer\.", "head.scores."),
        (r"^prediction_layers\.0\.mask_layer\.", "head.coefficients."),
        (r"^proto_net\.", "prototypes."),
        (r"^semantic_seg_conv\.", "areas."),
        (r"^maskiou_net\.maskiou_net\.", "scorer."),
    )


def tiny(classes: int) -> YOLACT:
    """0.3 M parameters, for 64x64 images."""
    return YOLACT(
        YOLACTConfig(
            classes=classes, encoder="resnet18", encoder_width=0.125, width=32, prototypes=8,
            prior_scales=((60,), (120,), (240,), (360,), (480,)), compared=40, slots=12,
        )
    )  # fmt: skip


def tiny_plus(classes: int) -> YOLACT:
    """YOLACT++: 0.5 M parameters, for 64x64 images."""
    sizes = replace(
        tiny(2).sizes, classes=classes, encoder="resnet50-dcnv2b-sparse", encoder_width=0.0625,
        width=24, square=False, scores_masks=True,
    )  # fmt: skip
    return YOLACT(sizes)


def _card(plus: bool) -> Card:
    return Card(
        title="YOLACT++" if plus else "YOLACT",
        paper="Bolya, Zhou, Xiao, Lee: YOLACT, ICCV 2019, arXiv 1904.02689"
        + ("; YOLACT++, PAMI 2020, arXiv 1912.06218" if plus else ""),
        tasks=("instances",),
        repository="https://github.com/dbolya/yolact, commit 902073d",
        licence="MIT",
        from_reference=from_reference,
        published=tuple(
            Published(what=what, value=value, source="the authors' README", variant=variant)
            for variant, values in (_PLUS if plus else _PLAIN).items()
            for what, value in zip(("mask AP COCO test-dev, 550x550", "fps, Titan Xp"), values)
        ),
        notes="Priors grow with the input; the reference has one input size. A mask is cut at its "
        "box after it was enlarged. The background's scores begin high. Masks of less than 95 "
        "pixels a side are padded for the small network of YOLACT++ that scores them.",
    )


_PLAIN = {
    "yolact-resnet50": (28.2, 42.5),
    "yolact-darknet53": (28.7, 40.0),
    "yolact-resnet101": (29.8, 33.5),
}
_PLUS = {"yolactpp-resnet50": (34.1, 33.5), "yolactpp-resnet101": (34.6, 27.3)}

CARD, PLUS_CARD = _card(plus=False), _card(plus=True)
