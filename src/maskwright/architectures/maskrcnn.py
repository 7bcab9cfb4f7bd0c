"""Mask R-CNN.

Kaiming He, Georgia Gkioxari, Piotr Dollar, Ross Girshick, ICCV 2017, arXiv 1703.06870; on a feature
pyramid (Lin et al., CVPR 2017, arXiv 1612.03144). The second version is that of Li et al.:
Benchmarking Detection Transfer Learning with Vision Transformers, 2021, arXiv 2111.11429.

Notable: two stages. A small network proposes regions that may hold an object, whatever it is; of
each, RoIAlign reads features without rounding its corners, and three heads tell class, box and a
mask of 28x28 cells. Classes don't compete in the mask: each has its own, and the box's class
chooses.

Legend: B images, 3 colours (RGB), K classes, H W of the input, h w of a feature map, N anchors,
P proposals an image, M slots of objects, S side of a mask; xyxy in the input's pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskwright.architectures import maskrcnn_losses as losses
from maskwright.architectures.contract import Card, Checkpoint, Published
from maskwright.architectures.encoders import EncoderSettings
from maskwright.architectures.pyramid_network import PyramidNetwork
from maskwright.architectures.renaming import rename
from maskwright.core.errors import ConfigError
from maskwright.layers.anchors import base_anchors, by_place, grid_anchors
from maskwright.layers.box_offsets import decode_boxes
from maskwright.layers.boxes import clip_boxes
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise
from maskwright.layers.regions import paste_masks, pool_regions
from maskwright.layers.suppression import best, kept_by_class, rows_at
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import object_truths
from maskwright.losses.targets import Targets

STRIDES = (4, 8, 16, 32)
"""Of the encoder's features that the pyramid is built on; it adds one of 64."""

BOX_SIDE, MASK_SIDE = 7, 14
"""Sides of the features of a region, for its box and for its mask."""

PROPOSAL_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""Of dx, dy, dw, dh, in the first and in the second stage."""


@dataclass(frozen=True, kw_only=True)
class MaskRCNNConfig(EncoderSettings):
    """Sizes; the defaults are those of ResNet-50-FPN in torchvision, first version.

    Attributes:
        output_stride: of the encoder; its features at strides 4, 8, 16 and 32 are used.
        width: C of the pyramid.
        anchor_sizes: of each of the five levels, roots of areas in pixels.
        aspects: of anchors, height by width.
        proposal_convs: 3x3 convolutions of the proposal head.
        box_convs: C of the box head's 3x3 convolutions.
        box_layers: widths of its linear layers.
        mask_convs: C of the mask head's 3x3 convolutions.
        mask_width: C of its enlarged map.
        norm: batch norm in the pyramid and in the convolutions of both heads (second version).
        best_anchors: proposals of each level, before suppression.
        proposals: P, after it.
        proposal_overlap: IoU above which one of two proposals goes.
        candidates: (proposal, class) pairs that meet in the last suppression.
        overlap: IoU above which one of two objects of a class goes.
        slots: M.
        mask_stride: of the masks, by the input.
        anchor_samples: anchors an image that the first stage learns from.
        region_samples: proposals an image that the second stage learns from.
    """

    classes: int = 80
    output_stride: int = 32
    width: int = 256
    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256, 512)
    aspects: tuple[float, ...] = (0.5, 1.0, 2.0)
    proposal_convs: int = 1
    box_convs: tuple[int, ...] = ()
    box_layers: tuple[int, ...] = (1024, 1024)
    mask_convs: tuple[int, ...] = (256, 256, 256, 256)
    mask_width: int = 256
    norm: bool = False
    best_anchors: int = 1000
    proposals: int = 1000
    proposal_overlap: float = 0.7
    candidates: int = 1000
    overlap: float = 0.5
    slots: int = 100
    mask_stride: int = 2
    anchor_samples: int = 256
    region_samples: int = 512

    def __post_init__(self) -> None:
        if len(self.anchor_sizes) != len(STRIDES) + 1:
            raise ConfigError(
                f"expected {len(STRIDES) + 1} anchor_sizes, one a level, got {self.anchor_sizes}."
            )
        if self.output_stride != 32:
            raise ConfigError(f"Mask R-CNN takes output_stride 32, got {self.output_stride}.")


VARIANTS = {
    "resnet50": MaskRCNNConfig(),
    "resnet50-v2": MaskRCNNConfig(
        proposal_convs=2, box_convs=(256, 256, 256, 256), box_layers=(1024,), norm=True
    ),
    "resnet101": MaskRCNNConfig(encoder="resnet101"),
    # ours, for processors: half the width, and a fifth of the proposals
    "lite0": MaskRCNNConfig(
        encoder="tf_efficientnet_lite0",
        width=128,
        box_layers=(512,),
        mask_convs=(128, 128),
        mask_width=128,
        best_anchors=300,
        proposals=200,
        candidates=500,
        region_samples=128,
    ),
}
"""By the end of their name in `ARCHITECTURES`."""


class MaskRCNN(PyramidNetwork):
    """Encoder, pyramid, proposals, and three heads on regions."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        norm = nn.BatchNorm2d if config.norm else None
        super().__init__(config, config.width, STRIDES, extra=1, norm=norm)
        self.sizes = config
        self.proposer = _ProposalHead(config)
        self.box_head = _BoxHead(config)
        self.mask_head = _MaskHead(config)
        for part in (self.pyramid, self.proposer, self.box_head, self.mask_head):
            part.apply(initialise)
        for layer in (self.proposer.objectness, self.proposer.offsets, self.box_head.scores):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.normal_(self.box_head.offsets.weight, std=0.001)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> what `answer` tells, of every proposal but its mask.

        Returns:
            "objectness_BN" and "offsets_BN4" of the anchors "anchors_N4"; "proposals_BP4",
            "proposal_scores_BP" (0: an empty place), "class_logits_BPC" of C = K + 1 classes, the
            first of them the background, and "box_offsets_BPC4".
        """
        outputs, features = self._first_stage(images_B3HW)
        proposals_BP4, scores_BP = self.propose(outputs, features, images_B3HW.shape[-2:])
        logits, offsets = self.boxes_of(features, proposals_BP4)
        return outputs | {
            "proposals_BP4": proposals_BP4,
            "proposal_scores_BP": scores_BP,
            "class_logits_BPC": logits,
            "box_offsets_BPC4": offsets,
        }

    def training_outputs(self, images_B3HW: Tensor, targets: Targets) -> dict[str, Tensor]:
        """What `losses` takes: the heads run on proposals that are drawn with the truth.

        Only on these: places that are left empty would enter the statistics of batch norms.
        """
        outputs, features = self._first_stage(images_B3HW)
        size = images_B3HW.shape[-2:]
        truths = object_truths(targets, images_B3HW)
        with torch.no_grad():
            proposals_BP4, scores_BP = self.propose(outputs, features, size)
            drawn = losses.draw_regions(proposals_BP4, scores_BP, truths, self.sizes.region_samples)
            chosen = losses.regions_with_masks(drawn, truths, 2 * MASK_SIDE)
        real_N, real_Q = drawn.labels_BR.flatten() >= 0, chosen.labels_Q >= 0
        regions = pool_regions(features[:-1], drawn.boxes_BR4, STRIDES, BOX_SIDE)[real_N]
        masked = pool_regions(features[:-1], chosen.boxes_BQ4, STRIDES, MASK_SIDE)[real_Q]
        with _norms_at_rest(self.box_head, unless=len(regions) > 0):
            logits_NC, offsets = self.box_head(self.box_head.describe(regions))
        with _norms_at_rest(self.mask_head, unless=len(masked) > 0):
            mask_logits = self.mask_head(masked)
        return outputs | {
            "class_logits_NC": logits_NC,
            "box_offsets_NC4": offsets.view(*logits_NC.shape, 4),
            "labels_N": drawn.labels_BR.flatten()[real_N],
            "wanted_boxes_N4": drawn.wanted_BR4.flatten(0, 1)[real_N],
            "regions_N4": drawn.boxes_BR4.flatten(0, 1)[real_N],
            "mask_logits_QCSS": mask_logits,
            "mask_labels_Q": chosen.labels_Q[real_Q],
            "wanted_masks_QSS": chosen.masks_QSS[real_Q],
        }

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Section 3: objectness, proposals' boxes, classes, boxes, masks; "total" their sum."""
        truths = object_truths(targets, outputs["objectness_BN"])
        terms = losses.proposal_losses(
            outputs, truths, PROPOSAL_WEIGHTS, self.sizes.anchor_samples
        ) | losses.region_losses(outputs, BOX_WEIGHTS)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> boxes, scores, class_ids and masks of `slots` objects."""
        images = self.normalise(images_B3HW)
        size = images.shape[-2:]
        outputs, features = self._first_stage(images)
        proposals_BP4, proposal_scores_BP = self.propose(outputs, features, size)
        logits_BPC, offsets_BPC4 = self.boxes_of(features, proposals_BP4)
        chances_BPK = logits_BPC.softmax(dim=-1)[..., 1:]
        # a place without a proposal holds no object
        chances_BPK = chances_BPK * (proposal_scores_BP > 0).unsqueeze(-1)
        found = self._choose(chances_BPK, offsets_BPC4[..., 1:, :], proposals_BP4, size)
        boxes_BM4, scores_BM, class_ids_BM = found
        batch, slots = scores_BM.shape
        mask_logits = self.mask_head(pool_regions(features[:-1], boxes_BM4, STRIDES, MASK_SIDE))
        places = (class_ids_BM.reshape(-1, 1, 1, 1) + 1).expand(-1, 1, *mask_logits.shape[-2:])
        chances_BMSS = (
            mask_logits.gather(1, places).sigmoid().view(batch, slots, *places.shape[-2:])
        )
        masks = paste_masks(chances_BMSS, boxes_BM4, size, self.sizes.mask_stride) > 0.5
        return {
            "boxes": boxes_BM4,
            "scores": scores_BM,
            "class_ids": class_ids_BM.to(torch.int32),
            "masks": masks.to(torch.uint8),
        }

    def head_prefixes(self) -> tuple[str, ...]:
        """The last layers of the heads on regions."""
        return ("box_head.scores.", "box_head.offsets.", "mask_head.classify.")

    def _first_stage(self, images_B3HW: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        features = self.features(images_B3HW)
        heads = [self.proposer(one) for one in features]
        base = [
            base_anchors((size,), self.sizes.aspects, images_B3HW)
            for size in self.sizes.anchor_sizes
        ]
        anchors = [
            grid_anchors(own, one.shape[-2:], images_B3HW.shape[-2:])
            for own, one in zip(base, features)
        ]
        return {
            "objectness_BN": torch.cat([by_place(o, 1).squeeze(-1) for o, _ in heads], dim=1),
            "offsets_BN4": torch.cat([by_place(d, 4) for _, d in heads], dim=1),
            "anchors_N4": torch.cat(anchors),
        }, features

    def propose(
        self, outputs: Mapping[str, Tensor], features: Sequence[Tensor], size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The best anchors of each level, moved and without doubles: xyxy [B, P, 4], scores.

        Gradients don't flow through the places of proposals (section 3.3 of Faster R-CNN).
        """
        objectness_BN = at_least_float32(outputs["objectness_BN"].detach())
        offsets_BN4 = at_least_float32(outputs["offsets_BN4"].detach())
        counts = [len(self.sizes.aspects) * one[0, 0].numel() for one in features]
        logits, places, levels, start = [], [], [], 0
        for level, count in enumerate(counts):
            own_BN = objectness_BN[:, start : start + count]
            highest, where = best(own_BN, min(count, self.sizes.best_anchors))
            logits.append(highest)
            places.append(where + start)
            levels.append(torch.full_like(where, level))
            start += count
        logits_BN, places_BN = torch.cat(logits, dim=1), torch.cat(places, dim=1)
        boxes_BN4 = decode_boxes(
            rows_at(offsets_BN4, places_BN), outputs["anchors_N4"][places_BN], PROPOSAL_WEIGHTS
        )
        boxes_BN4 = clip_boxes(boxes_BN4, size)
        large_BN = ((boxes_BN4[..., 2:] - boxes_BN4[..., :2]) >= 1e-3).all(dim=-1)
        scores_BN = logits_BN.sigmoid() * large_BN
        stays_BN = kept_by_class(
            boxes_BN4, scores_BN, torch.cat(levels, dim=1), self.sizes.proposal_overlap
        )
        scores_BP, chosen_BP = best(scores_BN * stays_BN, self.sizes.proposals)
        return rows_at(boxes_BN4, chosen_BP), scores_BP

    def boxes_of(self, features: Sequence[Tensor], boxes_BP4: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits [B, P, K + 1] and offsets [B, P, K + 1, 4] of regions."""
        batch, count = boxes_BP4.shape[:2]
        regions = pool_regions(features[:-1], boxes_BP4, STRIDES, BOX_SIDE)
        logits, offsets = self.box_head(self.box_head.describe(regions))
        return logits.view(batch, count, -1), offsets.view(batch, count, -1, 4)

    def _choose(
        self, chances_BPK: Tensor, offsets_BPK4: Tensor, proposals_BP4: Tensor, size: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and class ids of the objects: the best pairs, without doubles."""
        classes = chances_BPK.shape[-1]
        pairs = chances_BPK.flatten(1)
        scores_BQ, places_BQ = best(pairs, min(pairs.shape[1], self.sizes.candidates))
        proposal_BQ = places_BQ.div(classes, rounding_mode="floor")
        class_ids_BQ = places_BQ - proposal_BQ * classes
        boxes_BQ4 = clip_boxes(
            decode_boxes(
                at_least_float32(rows_at(offsets_BPK4.flatten(1, 2), places_BQ)),
                rows_at(proposals_BP4, proposal_BQ),
                BOX_WEIGHTS,
            ),
            size,
        )
        stays_BQ = kept_by_class(boxes_BQ4, scores_BQ, class_ids_BQ, self.sizes.overlap)
        scores_BM, chosen_BM = best(scores_BQ * stays_BQ, self.sizes.slots)
        return rows_at(boxes_BQ4, chosen_BM), scores_BM, rows_at(class_ids_BQ, chosen_BM)


@contextmanager
def _norms_at_rest(head: nn.Module, unless: bool) -> Iterator[None]:
    """No batch norm learns its statistics from a batch of nothing."""
    training = head.training
    head.train(training and unless)
    yield
    head.train(training)


class _ProposalHead(nn.Module):
    """Whether there is an object, and where, of each anchor of a place."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        anchors = len(config.aspects)
        self.convs = nn.Sequential(
            *(
                ConvNormAct(config.width, config.width, bias=True, norm=None)
                for _ in range(config.proposal_convs)
            )
        )
        self.objectness = nn.Conv2d(config.width, anchors, 1)
        self.offsets = nn.Conv2d(config.width, 4 * anchors, 1)

    def forward(self, features_BChw: Tensor) -> tuple[Tensor, Tensor]:
        """-> [B, A, h, w], [B, 4 A, h, w]."""
        seen_BChw = self.convs(features_BChw)
        return self.objectness(seen_BChw), self.offsets(seen_BChw)


class _BoxHead(nn.Module):
    """Class and box of a region."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.convs = _convolutions(config.width, config.box_convs, config.norm)
        inside = (config.box_convs or (config.width,))[-1] * BOX_SIDE**2
        layers: list[nn.Module] = []
        for width in config.box_layers:
            layers += [nn.Linear(inside, width), nn.ReLU()]
            inside = width
        self.layers = nn.Sequential(*layers)
        self.scores = nn.Linear(inside, config.classes + 1)
        self.offsets = nn.Linear(inside, 4 * (config.classes + 1))

    def describe(self, regions_NCSS: Tensor) -> Tensor:
        """-> [N, width of the last layer]."""
        described: Tensor = self.layers(self.convs(regions_NCSS).flatten(1))
        return described

    def forward(self, described_NC: Tensor) -> tuple[Tensor, Tensor]:
        """-> [N, K + 1], [N, 4 (K + 1)]."""
        return self.scores(described_NC), self.offsets(described_NC)


class _MaskHead(nn.Module):
    """A mask for each class of a region (figure 4, right)."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.convs = _convolutions(config.width, config.mask_convs, config.norm)
        inside = (config.mask_convs or (config.width,))[-1]
        self.enlarge = nn.ConvTranspose2d(inside, config.mask_width, 2, 2)
        self.classify = nn.Conv2d(config.mask_width, config.classes + 1, 1)
        nn.init.kaiming_normal_(self.enlarge.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.enlarge.bias)  # type: ignore[arg-type]

    def forward(self, regions_NCSS: Tensor) -> Tensor:
        """-> [N, K + 1, 2 S, 2 S]."""
        logits: Tensor = self.classify(self.enlarge(self.convs(regions_NCSS)).relu())
        return logits


def _convolutions(inside: int, widths: Sequence[int], norm: bool) -> nn.Sequential:
    layers = []
    for width in widths:
        kind = nn.BatchNorm2d if norm else None
        layers.append(ConvNormAct(inside, width, bias=not norm, norm=kind))
        inside = width
    return nn.Sequential(*layers)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names, of both versions and of its older files -> ours."""
    linear = sorted(
        int(match[1])
        for name in weights
        if (match := re.fullmatch(r"roi_heads\.box_head\.(\d+)\.weight", name))
    )
    blocks = r"(pyramid\.(?:lateral|smooth)|proposer\.convs|box_head\.convs|mask_head\.convs)"
    return rename(
        weights,
        (r"^backbone\.body\.", "encoder."),
        (r"^backbone\.fpn\.inner_blocks\.", "pyramid.lateral."),
        (r"^backbone\.fpn\.layer_blocks\.", "pyramid.smooth."),
        (r"^(pyramid\.(?:lateral|smooth)\.\d+)\.(weight|bias)$", r"\1.0.\2"),
        (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
        (r"^rpn\.head\.conv\.", "proposer.convs."),
        (r"^rpn\.head\.cls_logits\.", "proposer.objectness."),
        (r"^rpn\.head\.bbox_pred\.", "proposer.offsets."),
        (r"^roi_heads\.box_head\.fc6\.", "box_head.layers.0."),
        (r"^roi_heads\.box_head\.fc7\.", "box_head.layers.2."),
        *(
            (rf"^roi_heads\.box_head\.{number}\.(weight|bias)$", rf"box_head.layers.{2 * i}.\1")
            for i, number in enumerate(linear)
        ),
        (r"^roi_heads\.box_head\.", "box_head.convs."),
        (r"^roi_heads\.box_predictor\.cls_score\.", "box_head.scores."),
        (r"^roi_heads\.box_predictor\.bbox_pred\.", "box_head.offsets."),
        *(
            (rf"^roi_heads\.mask_head\.mask_fcn{i + 1}\.", f"mask_head.convs.{i}.0.")
            for i in range(9)
        ),
        (r"^roi_heads\.mask_head\.", "mask_head.convs."),
        (r"^roi_heads\.mask_predictor\.conv5_mask\.", "mask_head.enlarge."),
        (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", "mask_head.classify."),
        (rf"^{blocks}\.(\d+)\.0\.", r"\1.\2.conv."),
        (rf"^{blocks}\.(\d+)\.1\.", r"\1.\2.norm."),
    )


def tiny(classes: int) -> MaskRCNN:
    """0.3 M parameters, for 64x64 images."""
    return MaskRCNN(
        MaskRCNNConfig(
            classes=classes,
            encoder="resnet18",
            encoder_width=0.125,
            width=32,
            anchor_sizes=(8, 16, 24, 32, 48),
            box_layers=(48,),
            mask_convs=(32,),
            mask_width=32,
            best_anchors=100,
            proposals=60,
            candidates=60,
            slots=12,
            region_samples=64,
        )
    )


CARD = Card(
    title="Mask R-CNN",
    paper="He, Gkioxari, Dollar, Girshick: Mask R-CNN, ICCV 2017, arXiv 1703.06870; the second: "
    "Li, Xie, Chen, Dollar, He, Girshick: Benchmarking Detection Transfer Learning with Vision "
    "Transformers, 2021, arXiv 2111.11429",
    tasks=("instances",),
    repository="https://github.com/pytorch/vision, commit 1f1a920, "
    "torchvision/models/detection/mask_rcnn.py",
    licence="BSD-3-Clause",
    published=tuple(
        Published(what=what, value=value, source=source, variant=variant)
        for variant, values in (
            ("maskrcnn-resnet50", (37.9, 34.6)),
            ("maskrcnn-resnet50-v2", (47.4, 41.8)),
        )
        for what, value, source in (
            ("box AP COCO val2017, 800 pixels", values[0], "torchvision's table of weights"),
            ("mask AP COCO val2017, 800 pixels", values[1], "torchvision's table of weights"),
        )
    ),
    checkpoints={
        "coco": Checkpoint(
            address="https://download.pytorch.org/models/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
        ),
        "coco-v2": Checkpoint(
            address="https://download.pytorch.org/models/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth"
        ),
    },
    notes="torchvision's first version was trained with batch norms that learn nothing and add "
    "nothing to the variance, where ours add 1e-5. Its classes are numbered from 1, behind the "
    "background; ours from 0: the background stays inside. Regions are read from one map with "
    "all levels. Candidates of the last suppression are the best 1,000, not all above 0.05. Masks "
    "come at stride 2 of the input.",
    from_reference=from_reference,
)
