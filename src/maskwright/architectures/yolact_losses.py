"""YOLACT's losses: which prior learns which object, and what it learns.

Bolya, Zhou, Xiao, Lee: YOLACT, ICCV 2019, arXiv 1904.02689, sections 3.1 and 5; the matching and
the mining of hard negatives are those of Liu et al.: SSD, ECCV 2016, arXiv 1512.02325, section 2.2;
the loss of the masks' scores is that of YOLACT++, arXiv 1912.06218, section 3.2. Weights: classes
1, boxes 1.5, masks 6.125, areas 1, and 25 for the masks' scores.

Legend: B images, N priors, G objects of an image, K classes, C = K + 1, P prototypes, Q priors with
an object, h w of the prototypes; xyxy in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from maskwright.layers.box_offsets import encode_boxes
from maskwright.layers.boxes import inside_boxes, share_inside
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes

POSITIVE, NEGATIVE = 0.5, 0.4
"""IoU with an object from which a prior is one, and below which it is background."""

IN_CROWD = 0.7
"""Share of a prior inside a crowd from which nothing is learnt of it."""

NEGATIVES = 3
"""Background priors for each object's, the hardest."""

MOST_MASKS = 100
"""Masks an image that are learnt, drawn at random."""

BOX_WEIGHT, MASK_WEIGHT, SCORE_WEIGHT = 1.5, 6.125, 25.0


class Matches(NamedTuple):
    """What the priors of an image learn.

    Attributes:
        labels_N: int64, 0 the background, 1 to K the classes, -1 nothing.
        objects_N: int64, the matched object; 0 where there is none.
    """

    labels_N: Tensor
    objects_N: Tensor


@torch.no_grad()
def match_priors(priors_N4: Tensor, truth: ObjectTruth) -> Matches:
    """Each object's best prior is its own; others match from an IoU of 0.5 on (section 2.2 of SSD).

    Args:
        priors_N4: xyxy.
        truth: of the image.
    """
    labels_N = torch.zeros(len(priors_N4), dtype=torch.int64, device=priors_N4.device)
    objects_N = labels_N.clone()
    objects_G4 = truth.boxes_N4.to(priors_N4.dtype)
    if len(objects_G4):
        iou_NG = box_iou(priors_N4, objects_G4)
        iou_N, objects_N = iou_NG.max(dim=1)
        for _ in range(len(objects_G4)):  # the surest pair first; each has a prior of its own
            place = int(iou_NG.argmax())
            prior, one = divmod(place, len(objects_G4))
            iou_N[prior], objects_N[prior] = 2.0, one
            iou_NG[prior], iou_NG[:, one] = -1.0, -1.0
        labels_N = truth.class_ids_N[objects_N] + 1
        labels_N[iou_N < POSITIVE] = -1
        labels_N[iou_N < NEGATIVE] = 0
    crowds_M4 = truth.crowds_M4.to(priors_N4.dtype)
    crowded_N = (share_inside(priors_N4, crowds_M4) > IN_CROWD).any(dim=1)
    labels_N[(labels_N == 0) & crowded_N] = -1
    return Matches(labels_N=labels_N, objects_N=objects_N)


def assemble(prototypes_BPhw: Tensor, coefficients_BMP: Tensor) -> Tensor:
    """Equation 1: the sum of prototypes by their coefficients, and its sigmoid, [B, M, h, w]."""
    return torch.einsum("bmp,bphw->bmhw", coefficients_BMP, prototypes_BPhw).sigmoid()


SMALLEST_MASK = 95
"""Pixels: fewer, and five unpadded convolutions of stride 2 would leave none."""


def mask_ious(scorer: nn.Module, masks_N1hw: Tensor) -> Tensor:
    """The IoU of each mask with its object that its shape promises, by class [N, K].

    Args:
        scorer: of the network.
        masks_N1hw: 0..1.
    """
    missing = [max(0, SMALLEST_MASK - side) for side in masks_N1hw.shape[-2:]]
    if any(missing):
        masks_N1hw = F.pad(masks_N1hw, (0, missing[1], 0, missing[0]))
    return scorer(masks_N1hw).amax(dim=(2, 3))


def yolact_losses(
    outputs: Mapping[str, Tensor],
    truths: Sequence[ObjectTruth],
    weights: Sequence[float],
    scorer: nn.Module | None,
) -> dict[str, Tensor]:
    """Weighted terms, by the number of priors that learn an object (of all processes).

    Args:
        outputs: of `YOLACT.forward`.
        truths: of each image.
        weights: of dx, dy, dw, dh.
        scorer: what scores masks, in YOLACT++.
    """
    floats = {name: at_least_float32(value) for name, value in outputs.items()}
    nothing = torch.stack([value.sum() for value in floats.values()]).sum() * 0
    if scorer is not None:
        nothing = nothing + torch.stack([p.sum() for p in scorer.parameters()]).sum() * 0
    sums_9 = nothing.expand(9)
    for image, truth in enumerate(truths):
        if truth.known:
            own = {name: v if name == "priors_N4" else v[image] for name, v in floats.items()}
            sums_9 = sums_9 + _image_sums(own, truth, weights, scorer)
    (sums_9,) = sum_over_processes(sums_9)
    classes, boxes, masks, areas, scores, found, drawn, cells, scored = sums_9.unbind()
    terms = {
        "classes": classes / found.clamp_min(1),
        "boxes": BOX_WEIGHT * boxes / found.clamp_min(1),
        "masks": MASK_WEIGHT * masks / drawn.clamp_min(1),
        "areas": areas / cells.clamp_min(1),
    }
    return terms | (
        {} if scorer is None else {"mask_scores": SCORE_WEIGHT * scores / scored.clamp_min(1)}
    )


def _image_sums(
    own: Mapping[str, Tensor],
    truth: ObjectTruth,
    weights: Sequence[float],
    scorer: nn.Module | None,
) -> Tensor:
    """Sums over one image, [9]: five losses, and what four of them are divided by."""
    priors_N4 = own["priors_N4"]
    labels_N, objects_N = match_priors(priors_N4, truth)
    found = (labels_N > 0).nonzero().squeeze(1)
    classes = _class_loss(own["class_logits_BNC"], labels_N)
    truth_Q4 = truth.boxes_N4.to(priors_N4.dtype)[objects_N[found]]
    wanted_Q4 = encode_boxes(truth_Q4, priors_N4[found], weights)
    boxes = F.smooth_l1_loss(own["offsets_BN4"][found], wanted_Q4, reduction="sum")
    none = boxes.new_zeros(())
    masks, drawn, areas, cells, scores, scored = none, none, none, none, none, none
    if truth.masks_NHW is not None:
        objects = objects_N[found]
        masks, drawn, scores, scored = _mask_loss(
            own, truth, truth.masks_NHW, found, objects, scorer
        )
        if bool(truth.has_mask_N.all()):
            areas, cells = _area_loss(own["area_logits_BKhw"], truth.class_ids_N, truth.masks_NHW)
    number = classes.new_tensor(float(len(found)))
    return torch.stack([classes, boxes, masks, areas, scores, number, drawn, cells, scored])


def _class_loss(logits_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Cross entropy, summed, of the objects' priors and the hardest three times as many others."""
    found, ground = labels_N > 0, labels_N == 0
    count = min(int(ground.sum()), max(NEGATIVES * int(found.sum()), NEGATIVES))
    with torch.no_grad():
        hard_N = logits_NC.logsumexp(dim=1) - logits_NC[:, 0]
        hardest = hard_N.masked_fill(~ground, -torch.inf).topk(count).indices
    chosen = torch.cat([found.nonzero().squeeze(1), hardest])
    return F.cross_entropy(logits_NC[chosen], labels_N[chosen], reduction="sum")


def _mask_loss(
    own: Mapping[str, Tensor],
    truth: ObjectTruth,
    masks_NHW: Tensor,
    found: Tensor,
    objects: Tensor,
    scorer: nn.Module | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums of the masks' cross entropies, each the mean in its box, and of their scores' errors.

    Returns:
        The first, the number of masks; the second, the number of masks that were scored.
    """
    prototypes_Phw = own["prototypes_BPhw"]
    none = prototypes_Phw.new_zeros(())
    known = truth.has_mask_N[objects]
    found, objects = found[known], objects[known]
    if not len(found):
        return none, none, none, none
    order = torch.randperm(len(found), device=found.device)[:MOST_MASKS]
    found, objects = found[order], objects[order]
    size, grid = masks_NHW.shape[-2:], prototypes_Phw.shape[-2:]
    chances_Qhw = assemble(prototypes_Phw[None], own["coefficients_BNP"][found][None])[0]
    used, row = objects.unique(return_inverse=True)
    masks_U1HW = masks_NHW[used].to(chances_Qhw.dtype).unsqueeze(1)
    wanted_Qhw = (F.interpolate(masks_U1HW, grid, mode="area").squeeze(1) > 0.5)[row]
    boxes_Q4 = truth.boxes_N4[objects].to(chances_Qhw.dtype)
    inside_Qhw = inside_boxes(boxes_Q4[None], grid, size[0] / grid[0])[0]
    cut_Qhw = chances_Qhw * inside_Qhw
    each_Qhw = F.binary_cross_entropy(
        cut_Qhw.clamp(1e-6, 1 - 1e-6), (wanted_Qhw & inside_Qhw).to(cut_Qhw.dtype), reduction="none"
    )
    area_Q = inside_Qhw.sum(dim=(1, 2)).clamp_min(1)
    loss = ((each_Qhw * inside_Qhw).sum(dim=(1, 2)) / area_Q).sum()
    number = none + float(len(found))
    if scorer is None:
        return loss, number, none, none
    scores, scored = _score_loss(scorer, cut_Qhw, wanted_Qhw, truth.class_ids_N[objects])
    return loss, number, scores, scored


def _score_loss(
    scorer: nn.Module, cut_Qhw: Tensor, wanted_Qhw: Tensor, class_ids_Q: Tensor
) -> tuple[Tensor, Tensor]:
    """Smooth L1 of the promised IoU, summed over masks with pixels, and how many they are."""
    seen_Qhw = (cut_Qhw > 0.5).detach()
    common_Q = (seen_Qhw & wanted_Qhw).sum(dim=(1, 2))
    union_Q = (seen_Qhw | wanted_Qhw).sum(dim=(1, 2))
    kept = (wanted_Qhw.sum(dim=(1, 2)) > 0).nonzero().squeeze(1)
    if not len(kept):
        return cut_Qhw.sum() * 0, cut_Qhw.new_zeros(())
    iou_Q = (common_Q / union_Q.clamp_min(1))[kept].to(cut_Qhw.dtype)
    promised_QK = mask_ious(scorer, seen_Qhw[kept].to(cut_Qhw.dtype).unsqueeze(1))
    promised_Q = promised_QK.gather(1, class_ids_Q[kept].unsqueeze(1)).squeeze(1)
    return F.smooth_l1_loss(promised_Q, iou_Q, reduction="sum"), cut_Qhw.new_tensor(
        float(len(kept))
    )


def _area_loss(logits_Khw: Tensor, class_ids_N: Tensor, masks_NHW: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross entropy of every class at every place, summed, and the number of places."""
    grid = logits_Khw.shape[-2:]
    wanted_Khw = torch.zeros_like(logits_Khw)
    if len(masks_NHW):
        masks_N1HW = masks_NHW.to(logits_Khw.dtype).unsqueeze(1)
        small_Nhw = (F.interpolate(masks_N1HW, grid, mode="area").squeeze(1) > 0.5).to(
            logits_Khw.dtype
        )
        for class_id in class_ids_N.unique().tolist():
            wanted_Khw[class_id] = small_Nhw[class_ids_N == class_id].amax(dim=0)
    loss = F.binary_cross_entropy_with_logits(logits_Khw, wanted_Khw, reduction="sum")
    return loss, loss.new_tensor(float(grid[0] * grid[1]))
