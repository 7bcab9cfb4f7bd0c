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

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Network, Published
from maskwright.architectures.encoders import EncoderSettings, create_encoder
from maskwright.architectures.renaming import rename, rename_detector
from maskwright.core.errors import ConfigError
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.deformable import DeformableConv
from maskwright.layers.feature_pyramid import FeaturePyramid
from maskwright.layers.initialise import initialise
from maskwright.layers.solo_grid import (
    answer_objects,
    best_cells,
    grid_levels,
    group_norm,
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
"""Of the masks' loss beside that of the classes (equation 5)."""


@dataclass(frozen=True, kw_only=True)
class SOLOv2Config(EncoderSettings):
    """Sizes; the defaults are those of SOLOv2 on ResNet-50.

    Attributes:
        width: C of the pyramid.
        head_width: C of the heads' convolutions.
        depth: 3x3 convolutions of a head.
        deformable: the last of them moves its taps.
        mask_width: C of the mask branch's convolutions.
        mask_channels: E.
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
    head_width: int = 512
    depth: int = 4
    deformable: bool = False
    mask_width: int = 128
    mask_channels: int = 256
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
        widths = (self.head_width, self.mask_width, self.mask_channels)
        if self.output_stride != 32 or any(width % self.groups for width in widths):
            raise ConfigError(
                f"expected output_stride 32 and head_width, mask_width and mask_channels that are "
                f"multiples of groups, got {self.output_stride}, {widths} and {self.groups}."
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


class SOLOv2(Network):
    """Encoder, pyramid, heads for classes and kernels on five levels, mask features."""

    def __init__(self, config: SOLOv2Config) -> None:
        encoder = create_encoder(config)
        super().__init__(config, encoder.mean, encoder.std)
        self.sizes = config
        self.encoder = encoder
        self.levels = tuple(encoder.level(stride) for stride in STRIDES)
        inside = [encoder.channels[level] for level in self.levels]
        self.pyramid = FeaturePyramid(inside, config.width, extra=1)
        self.class_convs = _tower(config.width, config)
        self.kernel_convs = _tower(config.width + 2, config)
        self.classify = nn.Conv2d(config.head_width, config.classes, 3, padding=1)
        self.kernels = nn.Conv2d(config.head_width, config.mask_channels, 3, padding=1)
        self.mask_branch = _MaskBranch(config)
        for part in (self.pyramid, self.class_convs, self.kernel_convs, self.mask_branch):
            part.apply(initialise)
            for module in part.modules():
                if isinstance(module, DeformableConv):
                    module.reset_offset()
        for layer, bias in ((self.classify, -4.6), (self.kernels, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]

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

    def features(self, images_B3HW: Tensor) -> list[Tensor]:
        """The pyramid's five levels, finest first."""
        every = self.encoder(images_B3HW)
        return self.pyramid([every[level] for level in self.levels])

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Focal loss of classes by the number of cells with an object, Dice of masks by theirs."""
        size = tuple(4 * side for side in outputs["mask_features"].shape[-2:])
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
        kernels_QE = at_least_float32(outputs[f"kernels.{number}"][image]).flatten(1).T[cells_Q]
        features_Ehw = at_least_float32(outputs["mask_features"][image])
        return torch.einsum("qe,ehw->qhw", kernels_QE, features_Ehw).sigmoid()

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores, class_ids and masks of `slots` objects."""
        images = self.normalise(images_B3HW)
        outputs = self(images)
        count = len(self.sizes.grids)
        chances = [local_maxima(outputs[f"classes.{i}"].sigmoid()) for i in range(count)]
        scores_BN, cells_BN, class_ids_BN = best_cells(chances, self.sizes.candidates)
        every = torch.cat([outputs[f"kernels.{i}"].flatten(2) for i in range(count)], dim=2)
        kernels_BNE = rows_at(every.transpose(1, 2), cells_BN)
        features_BEP = outputs["mask_features"].flatten(2)
        masks_BNP = (kernels_BNE @ features_BEP).sigmoid()
        masks_BNhw = masks_BNP.unflatten(2, tuple(outputs["mask_features"].shape[-2:]))
        return answer_objects(
            masks_BNhw, scores_BN, class_ids_BN, images.shape[-2:], self.sizes.slots,
            self.sizes.mask_stride,
        )  # fmt: skip

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolution of the class head."""
        return ("classify.",)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The encoder's, where ImageNet weights were asked for."""
        return list(self.encoder.parameters()) if self.sizes.pretrained else []


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


def _tower(inside: int, config: SOLOv2Config) -> nn.Sequential:
    convs = group_tower(inside, config.head_width, config.depth, config.groups)
    if config.deformable:
        convs[-1] = _MovingConv(config.head_width, config.groups)
    return convs


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
    published=(
        Published(
            what="mask AP COCO val2017, 448 pixels", value=33.7, source="the authors' README",
            variant="solov2-light-resnet50",
        ),
        Published(
            what="mask AP COCO val2017, 512 pixels", value=36.4, source="the authors' README",
            variant="solov2-light-resnet50-dcn",
        ),
    ),
    notes="Sizes of objects grow with the input, so that any input has objects on every level. "
    "Crowds teach no cell.",
)  # fmt: skip
