"""SOLO: Segmenting Objects by Locations, plain, decoupled and decoupled-light.

Xinlong Wang, Tao Kong, Chunhua Shen, Yuning Jiang, Lei Li, ECCV 2020, arXiv 1912.04488.

Notable: no boxes and no anchors. The image is a grid; the cell in which an object's centre lies
tells its class, and a channel of its own answers the object's mask in the whole image. Convolutions
are told where they are, as what they answer depends on the place. Decoupled, a mask is the product
of a channel for the cell's column and one for its row: 2 S channels instead of S squared.

Legend: B images, 3 colours (RGB), C channels, K classes, H W of the input, S cells a side of a
level's grid, N candidates, h w of a feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Network, Published
from maskwright.architectures.encoders import EncoderSettings, create_encoder
from maskwright.architectures.renaming import rename, rename_detector
from maskwright.core.errors import ConfigError
from maskwright.layers.feature_pyramid import FeaturePyramid
from maskwright.layers.initialise import initialise
from maskwright.layers.solo_grid import (
    answer_objects,
    best_cells,
    grid_levels,
    group_tower,
    local_maxima,
    places_behind,
    resized,
    twice,
)
from maskwright.layers.suppression import rows_at
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.grid_objects import grid_losses, scaled_sizes
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

STRIDES = (4, 8, 16, 32)
"""Of the encoder's features that the pyramid is built on."""

MASK_WEIGHT = 3.0
"""Of the masks' loss beside that of the classes (equation 4)."""


@dataclass(frozen=True, kw_only=True)
class SOLOConfig(EncoderSettings):
    """Sizes; the defaults are those of SOLO on ResNet-50.

    Attributes:
        kind: how a cell answers its mask: in a channel of its own; as a product of its column's and
            its row's, from two towers; or from one ("light").
        width: C of the pyramid.
        head_width: C of the heads' convolutions.
        depth: 3x3 convolutions of a head.
        grids: S of each of the five levels.
        sizes: of each level, lowest and highest root of an object's width times height, in pixels
            of an input whose shorter side is `reference`; they grow with the input.
        reference: in pixels.
        groups: of group norm.
        candidates: (cell, class) pairs that meet in Matrix NMS.
        slots: of objects.
        mask_stride: of the masks, by the input.
    """

    classes: int = 80
    output_stride: int = 32
    kind: Literal["plain", "decoupled", "light"] = "plain"
    width: int = 256
    head_width: int = 256
    depth: int = 7
    grids: tuple[int, ...] = (40, 36, 24, 16, 12)
    sizes: tuple[tuple[float, float], ...] = (
        (1, 96), (48, 192), (96, 384), (192, 768), (384, 2048),
    )  # fmt: skip
    reference: int = 800
    groups: int = 32
    candidates: int = 500
    slots: int = 100
    mask_stride: int = 2

    def __post_init__(self) -> None:
        if len(self.grids) != 5 or len(self.sizes) != 5:
            raise ConfigError(
                f"expected grids and sizes of five levels, got {self.grids} and {self.sizes}."
            )
        if self.output_stride != 32 or self.head_width % self.groups:
            raise ConfigError(
                f"expected output_stride 32 and a head_width that is a multiple of groups, got "
                f"{self.output_stride}, {self.head_width} and {self.groups}."
            )


_LIGHT_SIZES = ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))

VARIANTS = {
    "solo-resnet50": SOLOConfig(),
    "solo-resnet101": SOLOConfig(encoder="resnet101"),
    "solo-decoupled-resnet50": SOLOConfig(kind="decoupled"),
    "solo-decoupled-light-resnet50": SOLOConfig(
        kind="light", depth=4, sizes=_LIGHT_SIZES, reference=512
    ),
    # ours, for processors
    "solo-decoupled-light-lite0": SOLOConfig(
        kind="light", depth=3, sizes=_LIGHT_SIZES, reference=512, width=96, head_width=96,
        encoder="tf_efficientnet_lite0", candidates=200,
    ),
}  # fmt: skip
"""By name."""


class SOLO(Network):
    """Encoder, pyramid, and on five levels a head for classes and one for masks."""

    def __init__(self, config: SOLOConfig) -> None:
        encoder = create_encoder(config)
        super().__init__(config, encoder.mean, encoder.std)
        self.sizes = config
        self.encoder = encoder
        self.levels = tuple(encoder.level(stride) for stride in STRIDES)
        inside = [encoder.channels[level] for level in self.levels]
        self.pyramid = FeaturePyramid(inside, config.width, extra=1)
        self.class_convs = self._tower(config.width)
        self.classify = nn.Conv2d(config.head_width, config.classes, 3, padding=1)
        towers = 2 if config.kind == "decoupled" else 1
        places = 1 if config.kind == "decoupled" else 2
        self.mask_convs = nn.ModuleList(self._tower(config.width + places) for _ in range(towers))
        self.masks = nn.ModuleList(
            nn.ModuleList(self._last(cells) for cells in config.grids)
            for _ in range(1 if config.kind == "plain" else 2)
        )
        for part in (self.pyramid, self.class_convs, self.mask_convs):
            part.apply(initialise)
        for layer in (self.classify, *(one for own in self.masks for one in own)):  # type: ignore[attr-defined]
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, -4.6 if layer is self.classify else 0.0)

    def _tower(self, inside: int) -> nn.Sequential:
        return group_tower(inside, self.sizes.head_width, self.sizes.depth, self.sizes.groups)

    def _last(self, cells: int) -> nn.Conv2d:
        width = self.sizes.head_width
        if self.sizes.kind == "plain":
            return nn.Conv2d(width, cells**2, 1)
        return nn.Conv2d(width, cells, 3, padding=1)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> of each level, logits of cells and of masks at twice its resolution.

        Returns:
            "classes.I" [B, K, S, S] and "masks.I" [B, S squared, h, w], or, decoupled,
            "columns.I" and "rows.I" [B, S, h, w].
        """
        outputs = {}
        for number, features in enumerate(grid_levels(self.features(images_B3HW))):
            cells = self.sizes.grids[number]
            on_grid = resized(features, (cells, cells))
            outputs[f"classes.{number}"] = self.classify(self.class_convs(on_grid))
            outputs |= {f"{k}.{number}": v for k, v in self._masks(features, number).items()}
        return outputs

    def features(self, images_B3HW: Tensor) -> list[Tensor]:
        """The pyramid's five levels, finest first."""
        every = self.encoder(images_B3HW)
        return self.pyramid([every[level] for level in self.levels])

    def _masks(self, features_BChw: Tensor, number: int) -> dict[str, Tensor]:
        placed = places_behind(features_BChw)
        if self.sizes.kind == "decoupled":
            features, x, y = placed.split([placed.shape[1] - 2, 1, 1], dim=1)
            towers = zip(self.mask_convs, (x, y))
            seen = [twice(convs(torch.cat([features, one], dim=1))) for convs, one in towers]
        else:
            seen = [twice(self.mask_convs[0](placed))] * len(self.masks)
        names = ("masks",) if self.sizes.kind == "plain" else ("columns", "rows")
        return {
            name: own[number](one)  # type: ignore[index]
            for name, own, one in zip(names, self.masks, seen)
        }

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Focal loss of classes by the number of cells with an object, Dice of masks by theirs."""
        first = outputs["masks.0" if self.sizes.kind == "plain" else "columns.0"]
        size = (4 * first.shape[-2], 4 * first.shape[-1])
        terms = grid_losses(
            [outputs[f"classes.{number}"] for number in range(len(self.sizes.grids))],
            partial(self.mask_chances, outputs),
            object_truths(targets, outputs["classes.0"]),
            scaled_sizes(self.sizes.sizes, size, self.sizes.reference),
            size,
        )
        unused = torch.stack([value.sum() for value in outputs.values()]).sum() * 0
        terms["masks"] = MASK_WEIGHT * terms["masks"] + unused
        return {**terms, "total": terms["classes"] + terms["masks"]}

    def mask_chances(
        self, outputs: Mapping[str, Tensor], number: int, image: int, cells_Q: Tensor
    ) -> Tensor:
        """Probabilities of the masks of some cells of a level and image, [Q, h, w]."""
        if self.sizes.kind == "plain":
            return at_least_float32(outputs[f"masks.{number}"][image][cells_Q]).sigmoid()
        grid = self.sizes.grids[number]
        columns = at_least_float32(outputs[f"columns.{number}"][image][cells_Q % grid]).sigmoid()
        rows = outputs[f"rows.{number}"][image][cells_Q.div(grid, rounding_mode="floor")]
        return columns * at_least_float32(rows).sigmoid()

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores, class_ids and masks of `slots` objects."""
        images = self.normalise(images_B3HW)
        outputs = self(images)
        count = len(self.sizes.grids)
        chances = [local_maxima(outputs[f"classes.{i}"].sigmoid()) for i in range(count)]
        scores_BN, cells_BN, class_ids_BN = best_cells(chances, self.sizes.candidates)
        masks_BNhw = self._candidate_masks(outputs, cells_BN)
        return answer_objects(
            masks_BNhw, scores_BN, class_ids_BN, images.shape[-2:], self.sizes.slots,
            self.sizes.mask_stride,
        )  # fmt: skip

    def _candidate_masks(self, outputs: Mapping[str, Tensor], cells_BN: Tensor) -> Tensor:
        """Masks of candidates of any level, at the finest level's resolution, [B, N, h, w]."""
        first = outputs["masks.0" if self.sizes.kind == "plain" else "columns.0"]
        grid = first.shape[-2:]
        start = 0
        found_BNhw = first.new_zeros((*cells_BN.shape, *grid))
        for number, cells in enumerate(self.sizes.grids):
            inside_BN = (cells_BN >= start) & (cells_BN < start + cells**2)
            own_BN = (cells_BN - start).clamp(0, cells**2 - 1)
            masks_BNhw = resized(self._level_masks(outputs, number, own_BN), grid)
            found_BNhw = torch.where(inside_BN[..., None, None], masks_BNhw, found_BNhw)
            start += cells**2
        return found_BNhw

    def _level_masks(self, outputs: Mapping[str, Tensor], number: int, own_BN: Tensor) -> Tensor:
        if self.sizes.kind == "plain":
            return rows_at(outputs[f"masks.{number}"], own_BN).sigmoid()
        grid = self.sizes.grids[number]
        row_BN = own_BN.div(grid, rounding_mode="floor")
        columns = rows_at(outputs[f"columns.{number}"], own_BN - row_BN * grid).sigmoid()
        return columns * rows_at(outputs[f"rows.{number}"], row_BN).sigmoid()

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolution of the class head."""
        return ("classify.",)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The encoder's, where ImageNet weights were asked for."""
        return list(self.encoder.parameters()) if self.sizes.pretrained else []


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names, of all three kinds -> ours."""
    return rename(
        rename_detector(weights),
        (r"^bbox_head\.ins_convs_x\.", "mask_convs.0."),
        (r"^bbox_head\.ins_convs_y\.", "mask_convs.1."),
        (r"^bbox_head\.ins_convs\.", "mask_convs.0."),
        (r"^bbox_head\.cate_convs\.", "class_convs."),
        (r"^bbox_head\.d?solo_cate\.", "classify."),
        (r"^bbox_head\.solo_ins_list\.", "masks.0."),
        (r"^bbox_head\.dsolo_ins_list_x\.", "masks.0."),
        (r"^bbox_head\.dsolo_ins_list_y\.", "masks.1."),
    )


_TINY_SIZES = ((1, 32), (24, 48), (40, 64), (56, 96), (80, 128))


def _tiny(classes: int, kind: Literal["plain", "decoupled", "light"]) -> SOLO:
    return SOLO(
        SOLOConfig(
            classes=classes, encoder="resnet18", encoder_width=0.125, width=24, head_width=24,
            depth=2, groups=4, kind=kind, grids=(10, 8, 8, 6, 4), sizes=_TINY_SIZES, reference=64,
            candidates=40, slots=12,
        )
    )  # fmt: skip


def tiny(classes: int) -> SOLO:
    """0.2 M parameters, for 64x64 images."""
    return _tiny(classes, "plain")


def tiny_decoupled(classes: int) -> SOLO:
    """0.2 M parameters, for 64x64 images."""
    return _tiny(classes, "decoupled")


def tiny_light(classes: int) -> SOLO:
    """0.2 M parameters, for 64x64 images."""
    return _tiny(classes, "light")


LICENCE = (
    "2-clause BSD for academic use, commercial use by contact with the authors; ours is written "
    "from the paper"
)

CARD = Card(
    title="SOLO",
    paper="Wang, Kong, Shen, Jiang, Li: SOLO: Segmenting Objects by Locations, ECCV 2020, arXiv "
    "1912.04488",
    tasks=("instances",),
    repository="https://github.com/WXinlong/SOLO, commit f4cd03b",
    licence=LICENCE,
    from_reference=from_reference,
    published=(
        Published(
            what="mask AP COCO minival, 800 pixels, 12 epochs", value=32.9,
            source="the authors' README", variant="solo-resnet50",
        ),
    ),
    notes="Sizes of objects grow with the input, so that any input has objects on every level. "
    "Crowds teach no cell. Suppression is SOLOv2's Matrix NMS, as in the authors' code.",
)  # fmt: skip
