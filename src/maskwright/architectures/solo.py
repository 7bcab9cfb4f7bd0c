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
from typing import Literal, cast

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Published
from maskwright.architectures.grid_network import GridNetwork, GridSettings
from maskwright.architectures.renaming import rename, rename_detector
from maskwright.layers.initialise import initialise
from maskwright.layers.solo_grid import grid_levels, places_behind, resized, twice
from maskwright.layers.suppression import rows_at
from maskwright.losses.cross_entropy import at_least_float32


@dataclass(frozen=True, kw_only=True)
class SOLOConfig(GridSettings):
    """Sizes; the defaults are those of SOLO on ResNet-50.

    Attributes:
        kind: how a cell answers its mask: in a channel of its own; as a product of its column's and
            its row's, from two towers; or from one ("light").
    """

    kind: Literal["plain", "decoupled", "light"] = "plain"


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


class SOLO(GridNetwork):
    """Encoder, pyramid, and on five levels a head for classes and one for masks."""

    def __init__(self, config: SOLOConfig) -> None:
        super().__init__(config)
        self.kind = config.kind
        towers = 2 if config.kind == "decoupled" else 1
        places = 1 if config.kind == "decoupled" else 2
        self.mask_convs = nn.ModuleList(self.tower(config.width + places) for _ in range(towers))
        self.mask_convs.apply(initialise)
        self.masks = nn.ModuleList(
            nn.ModuleList(self._last(cells) for cells in config.grids)
            for _ in range(1 if config.kind == "plain" else 2)
        )

    def _last(self, cells: int) -> nn.Conv2d:
        width = self.sizes.head_width
        plain = self.kind == "plain"
        layer = nn.Conv2d(width, cells**2, 1) if plain else nn.Conv2d(width, cells, 3, padding=1)
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, layer.bias))
        return layer

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

    def _masks(self, features_BChw: Tensor, number: int) -> dict[str, Tensor]:
        placed = places_behind(features_BChw)
        if self.kind == "decoupled":
            features, x, y = placed.split([placed.shape[1] - 2, 1, 1], dim=1)
            towers = zip(self.mask_convs, (x, y))
            seen = [twice(convs(torch.cat([features, one], dim=1))) for convs, one in towers]
        else:
            seen = [twice(self.mask_convs[0](placed))] * len(self.masks)
        names = ("masks",) if self.kind == "plain" else ("columns", "rows")
        return {
            name: own[number](one)  # type: ignore[index]
            for name, own, one in zip(names, self.masks, seen)
        }

    def finest(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """The masks of the first level."""
        return outputs["masks.0" if self.kind == "plain" else "columns.0"]

    def mask_chances(
        self, outputs: Mapping[str, Tensor], number: int, image: int, cells_Q: Tensor
    ) -> Tensor:
        """A channel each, or a product of two."""
        if self.kind == "plain":
            return at_least_float32(outputs[f"masks.{number}"][image][cells_Q]).sigmoid()
        grid = self.sizes.grids[number]
        columns = at_least_float32(outputs[f"columns.{number}"][image][cells_Q % grid]).sigmoid()
        rows = outputs[f"rows.{number}"][image][cells_Q.div(grid, rounding_mode="floor")]
        return columns * at_least_float32(rows).sigmoid()

    def candidate_masks(self, outputs: Mapping[str, Tensor], cells_BN: Tensor) -> Tensor:
        """Each level's own, brought to the finest's resolution."""
        first = self.finest(outputs)
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
        if self.kind == "plain":
            return rows_at(outputs[f"masks.{number}"], own_BN).sigmoid()
        grid = self.sizes.grids[number]
        row_BN = own_BN.div(grid, rounding_mode="floor")
        columns = rows_at(outputs[f"columns.{number}"], own_BN - row_BN * grid).sigmoid()
        return columns * rows_at(outputs[f"rows.{number}"], row_BN).sigmoid()


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


CARD = Card(
    title="SOLO",
    paper="Wang, Kong, Shen, Jiang, Li: SOLO: Segmenting Objects by Locations, ECCV 2020, arXiv "
    "1912.04488",
    tasks=("instances",),
    repository="https://github.com/WXinlong/SOLO, commit f4cd03b",
    licence="2-clause BSD for academic use, commercial use by contact with the authors; ours is "
    "written from the paper",
    from_reference=from_reference,
    published=tuple(
        Published(what=what, value=value, source="the authors' README", variant=variant)
        for variant, what, value in (
            ("solo-resnet50", "mask AP COCO minival, 800 pixels, 12 epochs", 32.9),
            ("solo-resnet50", "mask AP COCO minival, 800 pixels, 36 epochs", 35.8),
            ("solo-resnet101", "mask AP COCO minival, 800 pixels, 36 epochs", 37.1),
            ("solo-decoupled-resnet50", "mask AP COCO minival, 800 pixels, 12 epochs", 33.9),
            ("solo-decoupled-resnet50", "mask AP COCO minival, 800 pixels, 36 epochs", 36.4),
            ("solo-decoupled-light-resnet50", "mask AP COCO minival, 512 pixels, 36 epochs", 33.0),
        )
    ),
    notes="Sizes of objects grow with the input, so that any input has objects on every level. "
    "Crowds teach no cell; the smaller of two objects gets a cell that both want. No score is cut "
    "off. Suppression is SOLOv2's Matrix NMS, as in the authors' code.",
)  # fmt: skip
