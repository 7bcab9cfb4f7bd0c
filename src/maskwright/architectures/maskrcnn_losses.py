"""Mask R-CNN's losses, and the regions that its second stage learns from.

Girshick: Fast R-CNN, ICCV 2015, arXiv 1504.08083, section 2.3; Ren et al.: Faster R-CNN, NIPS 2015,
arXiv 1506.01497, sections 3.1.2 and 3.1.3; He et al.: Mask R-CNN, ICCV 2017, section 3.

Labels are 0 for the background, 1 to K for the classes, -1 for what nothing is learnt of: places
that hold no proposal, images whose objects aren't labelled, and whatever lies in a crowd.

Legend: B images, N anchors, G objects of an image, R regions an image, Q regions with a mask, C the
classes and the background, S side of a mask; xyxy in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou, roi_align

from maskwright.layers.box_offsets import encode_boxes
from maskwright.layers.boxes import share_inside
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes

POSITIVE, NEGATIVE = 0.7, 0.3
"""IoU with an object from which an anchor is one, and below which it is background."""

REGION_POSITIVE = 0.5
"""IoU with an object from which a region is one."""

POSITIVE_ANCHORS, POSITIVE_REGIONS = 0.5, 0.25
"""Most of the anchors and regions that are learnt from."""

IN_CROWD = 0.5
"""Share of a box inside a crowd from which nothing is learnt of it."""

LINEAR_FROM = 1 / 9
"""Of the smooth L1 loss, as in the reference."""


@dataclass(frozen=True, kw_only=True)
class Regions:
    """What the heads on regions learn from.

    Attributes:
        boxes_BR4: xyxy.
        labels_BR: int64, as told on top.
        wanted_BR4: xyxy of the object that each region matches; its own box where none.
        matched_BR: int64, which object of the image that is; 0 where none.
    """

    boxes_BR4: Tensor
    labels_BR: Tensor
    wanted_BR4: Tensor
    matched_BR: Tensor


@dataclass(frozen=True, kw_only=True)
class MaskedRegions:
    """Regions whose object's mask is known.

    Attributes:
        boxes_BQ4: xyxy; at least one an image.
        labels_Q: int64 [B Q]; -1: no mask is learnt there.
        masks_QSS: float 0..1 [B Q, S, S], what is to be answered.
    """

    boxes_BQ4: Tensor
    labels_Q: Tensor
    masks_QSS: Tensor


@torch.no_grad()
def draw_regions(
    proposals_BP4: Tensor, scores_BP: Tensor, truths: Sequence[ObjectTruth], count: int
) -> Regions:
    """Draw regions of each image from its proposals and its objects, a quarter objects at most.

    Args:
        proposals_BP4: xyxy.
        scores_BP: 0 where a place holds no proposal.
        truths: of each image.
        count: of regions an image, where there are so many.
    """
    drawn = [
        _draw(boxes_P4[scores_P > 0], truth, count)
        for boxes_P4, scores_P, truth in zip(proposals_BP4, scores_BP, truths)
    ]
    most = max(1, *(len(labels) for _, labels, _, _ in drawn))
    boxes, labels, wanted, matched = (
        torch.stack([_padded(own, most, fill) for own in column])
        for column, fill in zip(zip(*drawn), (0.0, -1, 0.0, 0))
    )
    return Regions(boxes_BR4=boxes, labels_BR=labels, wanted_BR4=wanted, matched_BR=matched)


def _draw(
    proposals_P4: Tensor, truth: ObjectTruth, count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if not truth.known:
        none = proposals_P4.new_zeros(0, dtype=torch.int64)
        return proposals_P4[:0], none, proposals_P4[:0], none
    objects_G4 = truth.boxes_N4.to(proposals_P4.dtype)
    boxes_N4 = torch.cat([proposals_P4, objects_G4])
    labels_N = torch.zeros(len(boxes_N4), dtype=torch.int64, device=boxes_N4.device)
    matched_N = labels_N.clone()
    if len(objects_G4):
        iou_N, matched_N = box_iou(boxes_N4, objects_G4).max(dim=1)
        labels_N = (truth.class_ids_N[matched_N] + 1) * (iou_N >= REGION_POSITIVE)
    labels_N[(labels_N == 0) & _in_crowd(boxes_N4, truth)] = -1
    chosen = _sample(labels_N, count, POSITIVE_REGIONS)
    wanted_N4 = objects_G4[matched_N] if len(objects_G4) else boxes_N4
    return boxes_N4[chosen], labels_N[chosen], wanted_N4[chosen], matched_N[chosen]


@torch.no_grad()
def regions_with_masks(drawn: Regions, truths: Sequence[ObjectTruth], side: int) -> MaskedRegions:
    """The regions of objects with a mask, and that mask inside each, averaged over its cells.

    Args:
        drawn: of each image.
        truths: of each image.
        side: S.
    """
    boxes, labels, masks = [], [], []
    for image, truth in enumerate(truths):
        own = drawn.labels_BR[image] > 0
        if truth.masks_NHW is None:
            own = own & False
        else:
            known_R = truth.has_mask_N[drawn.matched_BR[image]] if own.any() else own
            own = own & known_R
        boxes.append(drawn.boxes_BR4[image][own])
        labels.append(drawn.labels_BR[image][own])
        masks.append(_masks_in(boxes[-1], drawn.matched_BR[image][own], truth, side))
    most = max(1, *(len(own) for own in labels))
    return MaskedRegions(
        boxes_BQ4=torch.stack([_padded(own, most, 0.0) for own in boxes]),
        labels_Q=torch.cat([_padded(own, most, -1) for own in labels]),
        masks_QSS=torch.cat([_padded(own, most, 0.0) for own in masks]),
    )


def _masks_in(boxes_Q4: Tensor, matched_Q: Tensor, truth: ObjectTruth, side: int) -> Tensor:
    if not len(boxes_Q4) or truth.masks_NHW is None:
        return boxes_Q4.new_zeros((0, side, side))
    used, place_Q = matched_Q.unique(return_inverse=True)
    masks_U1HW = truth.masks_NHW[used].to(boxes_Q4.dtype).unsqueeze(1)
    regions_Q5 = torch.cat([place_Q.to(boxes_Q4.dtype).unsqueeze(1), boxes_Q4], dim=1)
    return roi_align(masks_U1HW, regions_Q5, side, 1.0).squeeze(1)


def proposal_losses(
    outputs: Mapping[str, Tensor],
    truths: Sequence[ObjectTruth],
    weights: Sequence[float],
    samples: int,
) -> dict[str, Tensor]:
    """Binary cross entropy of objectness and smooth L1 of boxes, by the number of anchors drawn.

    Args:
        outputs: with "objectness_BN", "offsets_BN4", "anchors_N4".
        truths: of each image.
        weights: of dx, dy, dw, dh.
        samples: anchors an image that are learnt from, half of them objects at most.
    """
    logits_BN = at_least_float32(outputs["objectness_BN"])
    offsets_BN4 = at_least_float32(outputs["offsets_BN4"])
    anchors_N4 = at_least_float32(outputs["anchors_N4"])
    objectness, boxes = logits_BN.sum() * 0, offsets_BN4.sum() * 0
    count = logits_BN.new_zeros(())
    for logits_N, offsets_N4, truth in zip(logits_BN, offsets_BN4, truths):
        labels_N, wanted_N4 = match_anchors(anchors_N4, truth)
        chosen = _sample(labels_N, samples, POSITIVE_ANCHORS)
        labels = labels_N[chosen].to(logits_N.dtype)
        objectness = objectness + F.binary_cross_entropy_with_logits(
            logits_N[chosen], labels, reduction="sum"
        )
        found = chosen[labels > 0]
        wanted = encode_boxes(wanted_N4[found], anchors_N4[found], weights)
        boxes = boxes + _smooth(offsets_N4[found], wanted)
        count = count + len(chosen)
    objectness, boxes, count = sum_over_processes(objectness, boxes, count)
    divisor = count.clamp_min(1)
    return {"objectness": objectness / divisor, "proposals": boxes / divisor}


@torch.no_grad()
def match_anchors(anchors_N4: Tensor, truth: ObjectTruth) -> tuple[Tensor, Tensor]:
    """Labels int64 [N] (1 object, 0 background, -1 neither) and the matched objects' xyxy [N, 4].

    An anchor is an object from an IoU of 0.7 on, and where no other lies better on one; background
    below 0.3 with all.
    """
    labels_N = torch.full((len(anchors_N4),), -1, dtype=torch.int64, device=anchors_N4.device)
    if not truth.known:
        return labels_N, anchors_N4
    objects_G4 = truth.boxes_N4.to(anchors_N4.dtype)
    if not len(objects_G4):
        labels_N[~_in_crowd(anchors_N4, truth)] = 0
        return labels_N, anchors_N4
    iou_NG = box_iou(anchors_N4, objects_G4)
    iou_N, matched_N = iou_NG.max(dim=1)
    labels_N[(iou_N < NEGATIVE) & ~_in_crowd(anchors_N4, truth)] = 0
    labels_N[iou_N >= POSITIVE] = 1
    best_G = iou_NG.amax(dim=0)
    labels_N[((iou_NG == best_G) & (best_G > 0)).any(dim=1)] = 1
    return labels_N, objects_G4[matched_N]


def region_losses(outputs: Mapping[str, Tensor], weights: Sequence[float]) -> dict[str, Tensor]:
    """Cross entropy of classes, smooth L1 of boxes, binary cross entropy of masks.

    Args:
        outputs: of `MaskRCNN.training_outputs`.
        weights: of dx, dy, dw, dh.
    """
    logits_NC = at_least_float32(outputs["class_logits_NC"])
    offsets_NC4 = at_least_float32(outputs["box_offsets_NC4"])
    labels_N = outputs["labels_N"]
    classes = F.cross_entropy(logits_NC, labels_N, reduction="sum")
    found = (labels_N > 0).nonzero().squeeze(1)
    wanted = encode_boxes(outputs["wanted_boxes_N4"][found], outputs["regions_N4"][found], weights)
    boxes = _smooth(offsets_NC4[found, labels_N[found]], wanted) + offsets_NC4.sum() * 0
    masks, cells = _mask_loss(outputs)
    count = logits_NC.new_tensor(float(len(labels_N)))
    classes, boxes, masks, count, cells = sum_over_processes(
        classes + logits_NC.sum() * 0, boxes, masks, count, cells
    )
    return {
        "classes": classes / count.clamp_min(1),
        "boxes": boxes / count.clamp_min(1),
        "masks": masks / cells.clamp_min(1),
    }


def _mask_loss(outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The sum over the cells of all masks of their own class, and how many cells that are."""
    logits_QCSS = at_least_float32(outputs["mask_logits_QCSS"])
    labels_Q = outputs["mask_labels_Q"]
    own = logits_QCSS[torch.arange(len(labels_Q), device=labels_Q.device), labels_Q]
    wanted = outputs["wanted_masks_QSS"].to(own.dtype)
    loss = F.binary_cross_entropy_with_logits(own, wanted, reduction="sum")
    return loss + logits_QCSS.sum() * 0, own.new_tensor(float(own.numel()))


def _smooth(found_N4: Tensor, wanted_N4: Tensor) -> Tensor:
    return F.smooth_l1_loss(
        found_N4, wanted_N4.to(found_N4.dtype), beta=LINEAR_FROM, reduction="sum"
    )


def _in_crowd(boxes_N4: Tensor, truth: ObjectTruth) -> Tensor:
    """bool [N]: whether most of a box lies in one crowd."""
    crowds_M4 = truth.crowds_M4.to(boxes_N4.dtype)
    return (share_inside(boxes_N4, crowds_M4) >= IN_CROWD).any(dim=1)


def _sample(labels_N: Tensor, count: int, positive: float) -> Tensor:
    """Places of `count` labels that are known, drawn at random; at most a share above 0."""
    found, ground = (labels_N > 0).nonzero().squeeze(1), (labels_N == 0).nonzero().squeeze(1)
    some = min(len(found), int(count * positive))
    rest = min(len(ground), count - some)
    return torch.cat([_shuffled(found)[:some], _shuffled(ground)[:rest]])


def _shuffled(places_N: Tensor) -> Tensor:
    return places_N[torch.randperm(len(places_N), device=places_N.device)]


def _padded(rows: Tensor, count: int, fill: float) -> Tensor:
    missing = rows.new_full((count - len(rows), *rows.shape[1:]), fill)
    return torch.cat([rows, missing])
