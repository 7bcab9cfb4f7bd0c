"""SparseInst: sparse instance activation for real-time instance segmentation.

Tianheng Cheng, Xinggang Wang, Shaoyu Chen, Wenqiang Zhang, Qian Zhang, Chang Huang, Zhaoxiang
Zhang, Wenyu Liu, CVPR 2022, arXiv 2203.12827.

Notable: no boxes, no anchors, no suppression. Each of N instance activation maps lights up where
one object tells most of itself; the features under the map are summed to one vector, which gives
class, objectness and the kernel that makes the object's mask from shared mask features. In training
the objects are matched to the instances one to one, so that each is found once. The objectness
learns the IoU of its mask and corrects the class's confidence.

Legend: B images, 3 colours (RGB), C channels, D C of an instance's vector, K classes, N instances,
G groups, H W of the input, h w of a feature map, P = h w of one, M slots of objects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Network, Published
from maskwright.architectures.encoders import EncoderSettings, create_encoder
from maskwright.architectures.renaming import rename
from maskwright.architectures.sparseinst_context import ContextEncoder
from maskwright.architectures.sparseinst_losses import set_losses
from maskwright.core.errors import ConfigError
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.frozen_norm import freeze_norms
from maskwright.layers.initialise import initialise
from maskwright.layers.mask_extents import mask_extents, mean_inside
from maskwright.layers.places import with_places
from maskwright.layers.suppression import best, rows_at
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

STRIDES = (8, 16, 32)
"""Of the encoder's features that are fused."""

PRIOR = 0.01
"""Probability that class scores and activation maps begin with."""


@dataclass(frozen=True, kw_only=True)
class SparseInstConfig(EncoderSettings):
    """Sizes; the defaults are those of ResNet-50 with plain activation maps (IAM).

    Attributes:
        output_stride: of the encoder; its features at strides 8, 16 and 32 are used.
        frozen_norm: the encoder's batch norms learn nothing and measure nothing, as detectors keep
            those of ImageNet weights. Set it False where the encoder starts from nothing.
        instances: N, the most objects that can be found.
        groups: G activation maps an instance: 1 is the plain form, 4 that of G-IAM, whose vectors
            are G times as long and go through a linear layer.
        softmax: maps are normalised by a softmax over the pixels instead of sigmoid and sum.
        width: C of the context encoder.
        instance_width, mask_width: C of the two branches.
        convs: 3x3 convolutions of each branch.
        kernel_width: C of the mask features, and of each instance's kernel.
        slots: M.
        mask_stride: of the masks, by the input.
        mask_threshold: probability above which a pixel is the object's.
    """

    classes: int = 80
    output_stride: int = 32
    frozen_norm: bool = False
    instances: int = 100
    groups: int = 1
    softmax: bool = False
    width: int = 256
    instance_width: int = 256
    mask_width: int = 256
    convs: int = 4
    kernel_width: int = 128
    slots: int = 100
    mask_stride: int = 2
    mask_threshold: float = 0.45

    def __post_init__(self) -> None:
        if self.output_stride != 32:
            raise ConfigError(f"SparseInst takes output_stride 32, got {self.output_stride}.")
        if self.instance_width % self.groups:
            raise ConfigError(
                f"expected an instance_width that the groups divide, got instance_width "
                f"{self.instance_width} and groups {self.groups}."
            )
        if not 0 < self.mask_threshold < 1:
            raise ConfigError(
                f"mask_threshold is a probability between 0 and 1, got {self.mask_threshold}."
            )


VARIANTS = {
    "resnet50": SparseInstConfig(frozen_norm=True),
    "resnet50-giam": SparseInstConfig(frozen_norm=True, groups=4),
    "resnet50vd-giam": SparseInstConfig(encoder="resnet50vd", frozen_norm=True, groups=4),
    "resnet50vd-dcn-giam": SparseInstConfig(encoder="resnet50vd-dcn", frozen_norm=True, groups=4),
    # ours, for processors: half the width of everything behind the encoder
    "lite0": SparseInstConfig(
        encoder="tf_efficientnet_lite0",
        groups=4,
        width=128,
        instance_width=128,
        mask_width=128,
        kernel_width=64,
        mask_stride=4,
    ),
}
"""By the end of their name in `ARCHITECTURES`."""


class SparseInst(Network):
    """Encoder, context encoder, and a decoder of two branches (figure 3)."""

    def __init__(self, config: SparseInstConfig) -> None:
        encoder = create_encoder(config)
        super().__init__(config, encoder.mean, encoder.std)
        self.sizes = config
        if config.frozen_norm:
            freeze_norms(encoder)
        self.encoder = encoder
        self.levels = tuple(encoder.level(stride) for stride in STRIDES)
        inside = [encoder.channels[level] for level in self.levels]
        self.context = ContextEncoder(inside, config.width)
        self.instances = _InstanceBranch(config)
        self.masks = _MaskBranch(config)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> every instance.

        Returns:
            "logits_BNK" of the classes, "objectness_BN1", "mask_logits_BNhw" at stride 4, and
            "size_2", the input's height and width.
        """
        features_BChw = self.fuse(images_B3HW)
        vectors_BND = self.instances.describe(self.instances.see(features_BChw))
        logits_BNK, objectness_BN1, kernels_BNC = self.instances(vectors_BND)
        return {
            "logits_BNK": logits_BNK,
            "objectness_BN1": objectness_BN1,
            "mask_logits_BNhw": make_masks(kernels_BNC, self.masks(with_places(features_BChw))),
            "size_2": torch.tensor(images_B3HW.shape[-2:]),
        }

    def fuse(self, images_B3HW: Tensor) -> Tensor:
        """RGB, normalised -> the context encoder's features at stride 8."""
        every = self.encoder(images_B3HW)
        features: Tensor = self.context([every[level] for level in self.levels])
        return features

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Section 3.3: classes, dice, masks and objectness of the matched; "total" their sum.

        An object without a mask can't be matched: its box is a region where nothing is known.
        """
        return set_losses(outputs, object_truths(targets, outputs["logits_BNK"]))

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores, class_ids and masks of `slots` objects.

        A score is sqrt(class * objectness) of the instance's best class, times the mean probability
        inside its mask. Boxes are the masks' extents; an instance without mask has score 0.
        """
        outputs = self(self.normalise(images_B3HW))
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        scores_BN, class_ids_BN = final_scores(outputs).max(dim=-1)
        mask_logits = at_least_float32(outputs["mask_logits_BNhw"])
        scores_BN = scores_BN * mean_inside(mask_logits.sigmoid(), self.sizes.mask_threshold)
        stride = self.sizes.mask_stride
        if any(side % stride for side in size):
            raise ConfigError(f"expected images of sides that {stride} divides, got {size}.")
        small = (size[0] // stride, size[1] // stride)
        if tuple(mask_logits.shape[-2:]) == small:
            chances = mask_logits.sigmoid()
        else:
            chances = F.interpolate(mask_logits.sigmoid(), small, mode="bilinear")
        masks_BNhw = chances > self.sizes.mask_threshold
        boxes_BN4, any_BN = mask_extents(masks_BNhw, stride)
        scores_BM, places_BM = best(scores_BN * any_BN, self.sizes.slots)
        return {
            "boxes": rows_at(boxes_BN4, places_BM),
            "scores": scores_BM,
            "class_ids": rows_at(class_ids_BN, places_BM).to(torch.int32),
            "masks": rows_at(masks_BNhw.to(torch.uint8), places_BM),
        }

    def head_prefixes(self) -> tuple[str, ...]:
        """The linear layer to the classes."""
        return ("instances.classify.",)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The encoder's, where ImageNet weights were asked for."""
        return list(self.encoder.parameters()) if self.sizes.pretrained else []


def final_scores(outputs: Mapping[str, Tensor]) -> Tensor:
    """sqrt(sigmoid(class) * sigmoid(objectness)), 0..1 (section 3.2): [B, N, K]."""
    classes_BNK = at_least_float32(outputs["logits_BNK"]).sigmoid()
    return (classes_BNK * at_least_float32(outputs["objectness_BN1"]).sigmoid()).sqrt()


def make_masks(kernels_BNC: Tensor, features_BChw: Tensor) -> Tensor:
    """Each kernel's products with the mask features, at twice their size: logits [B, N, 2h, 2w]."""
    height, width = features_BChw.shape[-2:]
    masks_BNP = kernels_BNC @ features_BChw.flatten(2)
    return twice(masks_BNP.unflatten(-1, (height, width)))


def twice(maps_BNhw: Tensor) -> Tensor:
    """Maps at twice their size, bilinear: [B, N, 2h, 2w]."""
    size = (2 * maps_BNhw.shape[-2], 2 * maps_BNhw.shape[-1])
    return F.interpolate(maps_BNhw, size, mode="bilinear", align_corners=False)


def _branch(inside: int, width: int, count: int) -> nn.Sequential:
    widths = [inside, *[width] * count]
    return nn.Sequential(
        *(ConvNormAct(own, width, bias=True, norm=None) for own, width in pairwise(widths))
    )


class _InstanceBranch(nn.Module):
    """Activation maps, and what the features under each tell (section 3.1)."""

    def __init__(self, config: SparseInstConfig) -> None:
        super().__init__()
        width, groups = config.instance_width, config.groups
        self.groups = groups
        self.convs = _branch(config.width + 2, width, config.convs)
        self.activate = nn.Conv2d(width, groups * config.instances, 3, padding=1, groups=groups)
        self.mix = nn.Linear(groups * width, groups * width) if groups > 1 else nn.Identity()
        self.classify = nn.Linear(groups * width, config.classes)
        self.objectness = nn.Linear(groups * width, 1)
        self.kernels = nn.Linear(groups * width, config.kernel_width)
        # a softmax doesn't see it, but the authors' weights have it
        self.softmax_bias = nn.Parameter(torch.zeros(1)) if config.softmax else None
        self._initialise()

    def _initialise(self) -> None:
        self.apply(initialise)
        prior = -math.log((1 - PRIOR) / PRIOR)
        for layer in (self.activate, self.classify, self.kernels):
            nn.init.normal_(layer.weight, std=0.01)
        for bias in (self.activate.bias, self.classify.bias):
            if bias is not None:
                nn.init.constant_(bias, prior)

    def see(self, features_BChw: Tensor) -> Tensor:
        """Features with places in front, through the branch's convolutions."""
        seen: Tensor = self.convs(with_places(features_BChw))
        return seen

    def describe(self, seen_BChw: Tensor) -> Tensor:
        """Features -> vectors [B, N, D] of the instances, D = G C: their groups' side by side."""
        weights_BQP = at_least_float32(self.activate(seen_BChw).flatten(2))
        if self.softmax_bias is not None:
            weights_BQP = (weights_BQP + self.softmax_bias).softmax(dim=-1)
        else:
            weights_BQP = weights_BQP.sigmoid()
            weights_BQP = weights_BQP / weights_BQP.sum(dim=-1, keepdim=True).clamp_min(1e-6)
        features_BPC = seen_BChw.flatten(2).transpose(1, 2)
        vectors_BQC = weights_BQP.to(features_BPC.dtype) @ features_BPC
        if self.groups == 1:
            return vectors_BQC
        vectors_BND = vectors_BQC.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(2)
        mixed: Tensor = self.mix(vectors_BND)
        return mixed.relu()

    def forward(self, vectors_BND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> class logits [B, N, K], objectness [B, N, 1], kernels [B, N, kernel_width]."""
        return self.classify(vectors_BND), self.objectness(vectors_BND), self.kernels(vectors_BND)


class _MaskBranch(nn.Module):
    """Features that all instances' masks are made of."""

    def __init__(self, config: SparseInstConfig) -> None:
        super().__init__()
        self.convs = _branch(config.width + 2, config.mask_width, config.convs)
        self.project = nn.Conv2d(config.mask_width, config.kernel_width, 1)
        self.apply(initialise)

    def forward(self, placed_BChw: Tensor) -> Tensor:
        """Features with places in front -> [B, kernel_width, h, w]."""
        features: Tensor = self.project(self.convs(placed_BChw))
        return features


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names, of detectron2's residual network and of their own "vd" form -> ours."""
    bottleneck = r"^(encoder\.layer\d\.\d+)\."
    return rename(
        weights,
        # the context encoder's name is what ours calls the whole backbone
        (r"^encoder\.fpn_laterals\.", "context.laterals."),
        (r"^encoder\.fpn_outputs\.", "context.outputs."),
        (r"^encoder\.ppm\.stages\.(\d)\.1\.", r"context.pooled.\1."),
        (r"^encoder\.ppm\.bottleneck\.", "context.bottleneck."),
        (r"^encoder\.fusion\.", "context.fuse."),
        (r"^backbone\.stem\.conv1\.norm\.", "encoder.bn1."),
        (r"^backbone\.stem\.conv1\.", "encoder.conv1."),
        *((rf"^backbone\.res{stage + 1}\.", f"encoder.layer{stage}.") for stage in range(1, 5)),
        (r"^backbone\.", "encoder."),
        (bottleneck + r"conv(\d)\.norm\.", r"\1.bn\2."),
        (bottleneck + r"shortcut\.norm\.", r"\1.downsample.1."),
        (bottleneck + r"shortcut\.", r"\1.downsample.0."),
        (bottleneck + r"conv2_offset\.", r"\1.conv2.offset."),
        (r"^decoder\.inst_branch\.iam_conv\.", "instances.activate."),
        (r"^decoder\.inst_branch\.fc\.", "instances.mix."),
        (r"^decoder\.inst_branch\.cls_score\.", "instances.classify."),
        (r"^decoder\.inst_branch\.mask_kernel\.", "instances.kernels."),
        (r"^decoder\.inst_branch\.", "instances."),
        (r"^decoder\.mask_branch\.projection\.", "masks.project."),
        *(
            (
                rf"^(decoder\.mask_branch|instances)\.(inst|mask)_convs\.{2 * i}\.",
                rf"\1.convs.{i}.conv.",
            )
            for i in range(20)
        ),
        (r"^decoder\.mask_branch\.", "masks."),
    )


def tiny(classes: int) -> SparseInst:
    """0.4 M parameters, for 64x64 images."""
    return SparseInst(
        SparseInstConfig(
            classes=classes,
            encoder="resnet18",
            encoder_width=0.125,
            instances=12,
            groups=4,
            width=32,
            instance_width=32,
            mask_width=32,
            convs=2,
            kernel_width=16,
            slots=10,
            mask_stride=2,
        )
    )


_README = "the authors' README"
_PUBLISHED = (
    ("sparseinst-resnet50", "mask AP COCO val2017, 640 pixels", 32.8),
    ("sparseinst-resnet50", "mask AP COCO test-dev, 640 pixels", 33.2),
    ("sparseinst-resnet50", "fps, RTX 2080 Ti, 640 pixels", 44.3),
    ("sparseinst-resnet50-giam", "mask AP COCO val2017, 608 pixels", 33.4),
    ("sparseinst-resnet50-giam", "mask AP COCO test-dev, 608 pixels", 34.0),
    ("sparseinst-resnet50-giam", "fps, RTX 2080 Ti, 608 pixels", 44.6),
    ("sparseinst-resnet50-giam", "mask AP COCO val2017, crops in training", 34.2),
    ("sparseinst-resnet50-giam", "mask AP COCO val2017, softmax (softmax=True)", 33.6),
    ("sparseinst-resnet50vd-giam", "mask AP COCO val2017, crops in training", 35.6),
    ("sparseinst-resnet50vd-giam", "mask AP COCO test-dev, crops in training", 36.1),
    ("sparseinst-resnet50vd-dcn-giam", "mask AP COCO val2017, 608 pixels", 37.4),
    ("sparseinst-resnet50vd-dcn-giam", "mask AP COCO val2017, 640 pixels", 37.7),
)

CARD = Card(
    title="SparseInst",
    paper="Cheng, Wang, Chen, Zhang, Zhang, Huang, Zhang, Liu: Sparse Instance Activation for "
    "Real-Time Instance Segmentation, CVPR 2022, arXiv 2203.12827",
    tasks=("instances",),
    repository="https://github.com/hustvl/SparseInst, commit a899015",
    licence="MIT",
    published=tuple(
        Published(variant=variant, what=what, value=value, source=_README)
        for variant, what, value in _PUBLISHED
    ),
    notes="The authors enlarge masks to the whole input; ours come at stride 2 of it (4 of lite0). "
    "They keep what scores above 0.005, after the best class of each instance; ours are the best "
    "slots. Masks are judged at stride 4 for the score, as theirs. The losses' means are over the "
    "matched pairs; theirs of class and dice over all objects, which differs only where there are "
    "more objects than instances. Instances whose mask lies in a crowd, or in the box of an object "
    "without a mask, are not taught to be nothing: an interpretation, as the authors leave crowds "
    "out. Exported deformable convolutions read their taps by grid sampling. lite0 is ours.",
    from_reference=from_reference,
)
