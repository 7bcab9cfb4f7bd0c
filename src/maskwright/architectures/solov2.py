"""SOLOv2: Dynamic and Fast Instance Segmentation.

Xinlong Wang, Rufeng Zhang, Tao Kong, Lei Li, Chunhua Shen, NeurIPS 2020, arXiv 2003.10152.

Notable: the cell of SOLO's grid doesn't answer a mask, but the kernel of a convolution that finds
it in one map of mask features of the whole image: what is redundant among S squared channels isn't
computed. Matrix NMS lowers the scores of covered masks by one product of matrices.

Legend: B images, 3 colours (RGB), C channels, E of the mask features, K classes, S cells a side of
a level's grid, N candidates, h w of a feature map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Published
from maskwright.architectures.grid_network import GridNetwork, GridSettings
from maskwright.architectures.renaming import rename, rename_detector
from maskwright.core.errors import ConfigError
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.deformable import DeformableConv
from maskwright.layers.initialise import initialise
from maskwright.layers.solo_grid import (
    grid_levels,
    group_norm,
    places_behind,
    resized,
    twice,
)
from maskwright.layers.suppression import rows_at
from maskwright.losses.cross_entropy import at_least_float32


@dataclass(frozen=True, kw_only=True)
class SOLOv2Config(GridSettings):
    """Sizes; the defaults are those of SOLOv2 on ResNet-50.

    Attributes:
        deformable: the last convolution of a head moves its taps.
        mask_width: C of the mask branch's convolutions.
        mask_channels: E.
    """

    head_width: int = 512
    depth: int = 4
    deformable: bool = False
    mask_width: int = 128
    mask_channels: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_width % self.groups or self.mask_channels % self.groups:
            raise ConfigError(
                f"expected mask_width and mask_channels that are multiples of groups, got "
                f"{self.mask_width}, {self.mask_channels} and {self.groups}."
            )


_LIGHT = SOLOv2Config(
    head_width=256, depth=2, mask_channels=128, reference=448,
    sizes=((1, 56), (28, 112), (56, 224), (112, 448), (224, 896)),
)  # fmt: skip

VARIANTS = {
    "solov2-resnet50": SOLOv2Config(),
    "solov2-resnet101": SOLOv2Config(encoder="resnet101"),
    "solov2-light-resnet50": _LIGHT,
    "solov2-light-resnet50-dcn": SOLOv2Config(
        encoder="resnet50-dcnv2", head_width=256, depth=3, deformable=True, mask_channels=128,
        reference=512, sizes=((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048)),
    ),
    # ours, for processors
    "solov2-light-lite0": SOLOv2Config(
        encoder="tf_efficientnet_lite0", width=96, head_width=96, depth=2, mask_width=64,
        mask_channels=64, reference=448, sizes=_LIGHT.sizes, candidates=200,
    ),
}  # fmt: skip
"""By name."""


class SOLOv2(GridNetwork):
    """Encoder, pyramid, heads for classes and kernels on five levels, mask features."""

    def __init__(self, config: SOLOv2Config) -> None:
        self.deformable = config.deformable
        super().__init__(config)
        self.kernel_convs = self.tower(config.width + 2)
        self.kernels = nn.Conv2d(config.head_width, config.mask_channels, 3, padding=1)
        self.mask_branch = _MaskBranch(config)
        for part in (self.kernel_convs, self.mask_branch):
            part.apply(initialise)
        for module in self.modules():
            if isinstance(module, DeformableConv):
                module.reset_offset()
        nn.init.normal_(self.kernels.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.kernels.bias))

    def tower(self, inside: int) -> nn.Sequential:
        """The convolutions of a head; the last may move its taps."""
        convs = super().tower(inside)
        if self.deformable:
            convs[-1] = _MovingConv(self.sizes.head_width, self.sizes.groups)
        return convs

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> of each level "classes.I" [B, K, S, S] and "kernels.I" [B, E, S, S].

        And "mask_features" [B, E, h, w] at stride 4.
        """
        pyramid = self.features(images_B3HW)
        outputs = {"mask_features": self.mask_branch(pyramid[:4])}
        for number, features in enumerate(grid_levels(pyramid)):
            cells = self.sizes.grids[number]
            on_grid = resized(places_behind(features), (cells, cells))
            outputs[f"classes.{number}"] = self.classify(self.class_convs(on_grid[:, :-2]))
            outputs[f"kernels.{number}"] = self.kernels(self.kernel_convs(on_grid))
        return outputs

    def finest(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """The mask features."""
        return outputs["mask_features"]

    def mask_chances(
        self, outputs: Mapping[str, Tensor], number: int, image: int, cells_Q: Tensor
    ) -> Tensor:
        """The mask features, convolved with each cell's kernel."""
        kernels_QE = at_least_float32(outputs[f"kernels.{number}"][image]).flatten(1).T[cells_Q]
        features_Ehw = at_least_float32(outputs["mask_features"][image])
        return torch.einsum("qe,ehw->qhw", kernels_QE, features_Ehw).sigmoid()

    def candidate_masks(self, outputs: Mapping[str, Tensor], cells_BN: Tensor) -> Tensor:
        """One product of all kernels with the mask features."""
        count = len(self.sizes.grids)
        every = torch.cat([outputs[f"kernels.{i}"].flatten(2) for i in range(count)], dim=2)
        kernels_BNE = rows_at(every.transpose(1, 2), cells_BN)
        features_BEhw = outputs["mask_features"]
        masks_BNP = (kernels_BNE @ features_BEhw.flatten(2)).sigmoid()
        return masks_BNP.unflatten(2, tuple(features_BEhw.shape[-2:]))


class _MaskBranch(nn.Module):
    """Four levels, each brought to stride 4 by convolutions and enlargements, summed (figure 3)."""

    def __init__(self, config: SOLOv2Config) -> None:
        super().__init__()
        norm = partial(group_norm, groups=config.groups)
        width = config.mask_width
        self.levels = nn.ModuleList(
            nn.ModuleList(
                ConvNormAct(
                    (config.width + (2 if level == 3 else 0)) if step == 0 else width,
                    width,
                    norm=norm,
                )
                for step in range(max(1, level))
            )
            for level in range(4)
        )
        self.last = ConvNormAct(width, config.mask_channels, 1, norm=norm)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """At strides 4, 8, 16, 32 -> [B, E, h, w] at stride 4."""
        levels = [*pyramid[:3], places_behind(pyramid[3])]
        total: Tensor | None = None
        for number, (features, steps) in enumerate(zip(levels, self.levels)):
            for step in steps:  # type: ignore[attr-defined]
                features = step(features)
                if number:
                    features = twice(features)
            if total is not None and features.shape != total.shape:
                features = resized(features, total.shape[-2:])
            total = features if total is None else total + features
        summed: Tensor = self.last(total)
        return summed


class _MovingConv(nn.Module):
    """A deformable convolution, group norm, ReLU; named as `ConvNormAct` has them."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv = DeformableConv(width, width, modulated=True, bias=False)
        self.norm = nn.GroupNorm(groups, width)

    def forward(self, features_BChw: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(features_BChw))
        return normed.relu()


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names -> ours."""
    return rename(
        rename_detector(weights),
        (r"^mask_feat_head\.convs_all_levels\.(\d)\.conv(\d)\.", r"mask_branch.levels.\1.\2."),
        (r"^mask_feat_head\.conv_pred\.0\.", "mask_branch.last."),
        (r"^bbox_head\.cate_convs\.", "class_convs."),
        (r"^bbox_head\.kernel_convs\.", "kernel_convs."),
        (r"^bbox_head\.solo_cate\.", "classify."),
        (r"^bbox_head\.solo_kernel\.", "kernels."),
    )


def tiny(classes: int) -> SOLOv2:
    """0.2 M parameters, for 64x64 images."""
    return SOLOv2(
        SOLOv2Config(
            classes=classes, encoder="resnet18", encoder_width=0.125, width=24, head_width=24,
            depth=2, groups=4, mask_width=16, mask_channels=16, grids=(10, 8, 8, 6, 4),
            sizes=((1, 12), (8, 20), (16, 30), (24, 48), (40, 96)), reference=64, candidates=40,
            slots=12,
        )
    )  # fmt: skip


CARD = Card(
    title="SOLOv2",
    paper="Wang, Zhang, Kong, Li, Shen: SOLOv2: Dynamic and Fast Instance Segmentation, NeurIPS "
    "2020, arXiv 2003.10152",
    tasks=("instances",),
    repository="https://github.com/WXinlong/SOLO, commit f4cd03b",
    licence="2-clause BSD for academic use, commercial use by contact with the authors; ours is "
    "written from the paper",
    from_reference=from_reference,
    published=tuple(
        Published(what=what, value=value, source="the authors' README", variant=variant)
        for variant, what, value in (
            ("solov2-resnet50", "mask AP COCO val2017, 800 pixels, 12 epochs", 34.8),
            ("solov2-resnet50", "mask AP COCO val2017, 800 pixels, 36 epochs", 37.5),
            ("solov2-resnet101", "mask AP COCO val2017, 800 pixels, 36 epochs", 39.1),
            ("solov2-light-resnet50", "mask AP COCO val2017, 448 pixels", 33.7),
            ("solov2-light-resnet50-dcn", "mask AP COCO val2017, 512 pixels", 36.4),
        )
    ),
    notes="Sizes of objects grow with the input, so that any input has objects on every level. "
    "Crowds teach no cell; the smaller of two objects gets a cell that both want. No score is cut "
    "off.",
)  # fmt: skip
