"""What SOLO and SOLOv2 share: settings, the head of classes on five grids, losses, deployment.

Wang, Kong, Shen, Jiang, Li: SOLO, ECCV 2020, arXiv 1912.04488; Wang, Zhang, Kong, Li, Shen: SOLOv2,
NeurIPS 2020, arXiv 2003.10152.

Legend: B images, 3 colours (RGB), C channels, K classes, S cells a side of a level's grid, N
candidates, Q cells with an object, h w of masks at stride 4 of the input H W.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from maskwright.architectures.encoders import EncoderSettings
from maskwright.architectures.pyramid_network import PyramidNetwork
from maskwright.core.errors import ConfigError
from maskwright.layers.initialise import initialise
from maskwright.layers.solo_grid import answer_objects, best_cells, group_tower, local_maxima
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.grid_objects import grid_losses, scaled_sizes
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

STRIDES = (4, 8, 16, 32)
"""Of the encoder's features that the pyramid is built on."""

MASK_WEIGHT = 3.0
"""Of the masks' loss beside that of the classes (SOLO's equation 4)."""

RARELY = -4.6
"""Where the scores' biases begin: a chance of one in a hundred."""


@dataclass(frozen=True, kw_only=True)
class GridSettings(EncoderSettings):
    """Sizes of both; configurations inherit it.

    Attributes:
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


class GridNetwork(PyramidNetwork):
    """Encoder, pyramid, and on five levels a head for classes; how masks are found is the rest."""

    def __init__(self, config: GridSettings) -> None:
        super().__init__(config, config.width, STRIDES, extra=1)
        self.sizes = config
        self.class_convs = self.tower(config.width)
        self.classify = nn.Conv2d(config.head_width, config.classes, 3, padding=1)
        for part in (self.pyramid, self.class_convs):
            part.apply(initialise)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.constant_(self.classify.bias, RARELY)  # type: ignore[arg-type]

    def tower(self, inside: int) -> nn.Sequential:
        """The convolutions of a head."""
        return group_tower(inside, self.sizes.head_width, self.sizes.depth, self.sizes.groups)

    @abstractmethod
    def mask_chances(
        self, outputs: Mapping[str, Tensor], number: int, image: int, cells_Q: Tensor
    ) -> Tensor:
        """Probabilities of the masks of some cells of a level and image, float32 [Q, h, w]."""

    @abstractmethod
    def candidate_masks(self, outputs: Mapping[str, Tensor], cells_BN: Tensor) -> Tensor:
        """Probabilities of the masks of cells, counted over levels, at stride 4 [B, N, h, w]."""

    @abstractmethod
    def finest(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """One of the outputs that has stride 4."""

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Focal loss of classes by the number of cells with an object, Dice of masks by theirs."""
        height, width = (4 * side for side in self.finest(outputs).shape[-2:])
        terms = grid_losses(
            [outputs[f"classes.{number}"] for number in range(len(self.sizes.grids))],
            partial(self.mask_chances, outputs),
            object_truths(targets, outputs["classes.0"]),
            scaled_sizes(self.sizes.sizes, (height, width), self.sizes.reference),
            (height, width),
        )
        # what no object learns is connected; in half precision, sums of whole maps would overflow
        sums = torch.stack([at_least_float32(value).sum() for value in outputs.values()])
        terms["masks"] = MASK_WEIGHT * terms["masks"] + sums.sum() * 0
        return {**terms, "total": terms["classes"] + terms["masks"]}

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores, class_ids and masks of `slots` objects."""
        images = self.normalise(images_B3HW)
        outputs = self(images)
        levels = [outputs[f"classes.{number}"] for number in range(len(self.sizes.grids))]
        chances = [local_maxima(one.sigmoid()) for one in levels]
        scores_BN, cells_BN, class_ids_BN = best_cells(chances, self.sizes.candidates)
        masks_BNhw = self.candidate_masks(outputs, cells_BN)
        return answer_objects(
            masks_BNhw, scores_BN, class_ids_BN, images.shape[-2:], self.sizes.slots,
            self.sizes.mask_stride,
        )  # fmt: skip

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolution of the class head."""
        return ("classify.",)
