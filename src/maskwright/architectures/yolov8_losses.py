"""YOLOv8's losses: which place learns which object, and what it learns.

Feng, Zhong, Gao, Scott, Huang: TOOD: Task-aligned One-stage Object Detection, ICCV 2021, arXiv
2108.07755, section 3.2 (assignment); Li et al.: Generalized Focal Loss, NeurIPS 2020, arXiv
2006.04388, section 3.2 (distributions of sides); Zheng et al.: Enhancing Geometric Factors, 2020,
arXiv 2005.03572 (complete IoU); Bolya et al.: YOLACT, ICCV 2019, section 3.1 (masks). Their weights
in the sum are those of the reference: 7.5 boxes and masks, 1.5 distributions, 0.5 classes.

Legend: B images, A places, K classes, R steps of a side, G objects of an image, P prototypes, N
places with an object, h w of the prototypes; xyxy in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from maskwright.layers.boxes import inside_boxes, middles
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes

SCORE_POWER, IOU_POWER = 0.5, 6.0
"""Of the score and of the IoU in the alignment of a place with an object (equation 3 of TOOD)."""

BEST = 10
"""Places of an object, those that are best aligned with it."""

PAIRS = 2**22
"""Of objects and places, compared at a time: about 0.3 GiB."""

BOX_WEIGHT, SIDE_WEIGHT, CLASS_WEIGHT = 7.5, 1.5, 0.5


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What the places of one image learn.

    Attributes:
        object_A: int64, the object that each place learns; -1: none.
        scores_AK: 0..1, the scores to be answered.
        known_A: whether the place's scores are learnt at all: not in crowds.
    """

    object_A: Tensor
    scores_AK: Tensor
    known_A: Tensor


def places_of(features_BChw: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The middles of a map's places, x and y in the input's pixels [h w, 2], and their strides."""
    height, width = features_BChw.shape[-2:]
    # half precision can't count so far
    like = at_least_float32(features_BChw[:1, :1, :1, :1]).detach()
    rows_h, columns_w = middles(height, stride, like), middles(width, stride, like)
    y_hw, x_hw = torch.meshgrid(rows_h, columns_w, indexing="ij")
    places_A2 = torch.stack([x_hw, y_hw], dim=-1).reshape(-1, 2)
    return places_A2, torch.full_like(places_A2[:, 0], stride)


def decode(outputs: Mapping[str, Tensor]) -> Tensor:
    """Boxes of all places, xyxy [B, A, 4]: each side lies at the mean of its distribution."""
    sides_BA4R = at_least_float32(outputs["sides_BA4R"])
    steps_R = torch.arange(sides_BA4R.shape[-1], dtype=sides_BA4R.dtype, device=sides_BA4R.device)
    distances_BA4 = sides_BA4R.softmax(dim=-1) @ steps_R * outputs["strides_A"].view(-1, 1)
    places_A2 = outputs["places_A2"]
    low, high = distances_BA4.chunk(2, dim=-1)
    return torch.cat([places_A2 - low, places_A2 + high], dim=-1)


def yolo_losses(outputs: Mapping[str, Tensor], truths: Sequence[ObjectTruth]) -> dict[str, Tensor]:
    """Weighted terms, by the sum of all scores that are to be answered; masks by their number.

    Args:
        outputs: of `YOLOv8.forward`.
        truths: of each image.
    """
    boxes_BA4 = decode(outputs)
    masked = "coefficients_BAP" in outputs
    used = ["class_logits_BAK", "sides_BA4R"]
    used += ["coefficients_BAP", "prototypes_BPhw"] if masked else []
    nothing = torch.stack([at_least_float32(outputs[name]).sum() for name in used]).sum() * 0
    sums_6 = nothing.expand(6)
    for image, truth in enumerate(truths):
        if truth.known:
            own = {name: outputs[name][image] for name in used}
            own |= {name: outputs[name] for name in ("places_A2", "strides_A")}
            sums_6 = sums_6 + _image_sums(own, boxes_BA4[image], truth)
    (sums_6,) = sum_over_processes(sums_6)
    classes, boxes, sides, masks, scores, number = sums_6.unbind()
    terms = {
        "classes": CLASS_WEIGHT * classes / scores.clamp_min(1),
        "boxes": BOX_WEIGHT * boxes / scores.clamp_min(1),
        "sides": SIDE_WEIGHT * sides / scores.clamp_min(1),
    }
    return terms | ({"masks": BOX_WEIGHT * masks / number.clamp_min(1)} if masked else {})


def _image_sums(own: Mapping[str, Tensor], boxes_A4: Tensor, truth: ObjectTruth) -> Tensor:
    """Sums over one image, [6]: the losses of classes, boxes, sides, masks; scores; masks."""
    logits_AK = at_least_float32(own["class_logits_BAK"])
    given = assign(boxes_A4, logits_AK, own, truth)
    each_AK = F.binary_cross_entropy_with_logits(logits_AK, given.scores_AK, reduction="none")
    classes = (each_AK * given.known_A.unsqueeze(1)).sum()
    places = (given.object_A >= 0).nonzero().squeeze(1)
    objects = given.object_A[places]
    share_N = given.scores_AK[places].sum(dim=1)
    truth_N4 = truth.boxes_N4.to(logits_AK.dtype)[objects]
    boxes = (complete_box_iou_loss(boxes_A4[places], truth_N4) * share_N).sum()
    sides = (_side_loss(own, places, truth_N4) * share_N).sum()
    masks = number = classes.new_zeros(())
    if "coefficients_BAP" in own and truth.masks_NHW is not None:
        masks, number = _mask_loss(own, truth, truth.masks_NHW, places, objects)
    return torch.stack([classes, boxes, sides, masks, given.scores_AK.sum(), number])


@torch.no_grad()
def assign(
    boxes_A4: Tensor, logits_AK: Tensor, outputs: Mapping[str, Tensor], truth: ObjectTruth
) -> Assignment:
    """Section 3.2 of TOOD: each object gets the places within it that are best aligned with it.

    An object that is smaller than a place of the finest map is taken for one of that size here, so
    that a place lies in it. A place that several objects want learns that of the highest IoU. The
    score to be answered is the alignment, scaled so that an object's best is its highest IoU.

    Args:
        boxes_A4: answered, xyxy.
        logits_AK: answered.
        outputs: with "places_A2" and "strides_A".
        truth: of the image.
    """
    places_A2, count = outputs["places_A2"], len(boxes_A4)
    object_A = torch.full((count,), -1, dtype=torch.int64, device=boxes_A4.device)
    scores_AK = torch.zeros_like(logits_AK)
    crowds = _holds(truth.crowds_M4.to(boxes_A4.dtype), places_A2).any(dim=0)
    objects_G4 = truth.boxes_N4.to(boxes_A4.dtype)
    if not len(objects_G4):
        return Assignment(object_A=object_A, scores_AK=scores_AK, known_A=~crowds)
    smallest = float(outputs["strides_A"].min())
    middle_G2 = (objects_G4[:, :2] + objects_G4[:, 2:]) / 2
    half_G2 = ((objects_G4[:, 2:] - objects_G4[:, :2]) / 2).clamp_min(smallest / 2 + 1e-3)
    holds_GA = _holds(torch.cat([middle_G2 - half_G2, middle_G2 + half_G2], dim=1), places_A2)
    iou_GA = _complete_iou(objects_G4, boxes_A4).clamp_min(0)
    score_GA = logits_AK.sigmoid().T[truth.class_ids_N]
    aligned_GA = score_GA**SCORE_POWER * iou_GA**IOU_POWER * holds_GA
    # a place with no overlap yet still belongs to its object, behind those that have some
    order_GA = torch.where(holds_GA, aligned_GA, -1.0)
    best = order_GA.topk(min(BEST, count), dim=1)
    chosen_GA = torch.zeros_like(holds_GA).scatter_(1, best.indices, best.values >= 0)
    chosen_GA &= ~((chosen_GA.sum(dim=0) > 1) & (iou_GA < iou_GA.where(chosen_GA, -1).amax(dim=0)))
    taken_A = chosen_GA.any(dim=0)
    object_A[taken_A] = chosen_GA.to(torch.int8).argmax(dim=0)[taken_A]
    aligned_GA = aligned_GA * chosen_GA
    highest_G1 = aligned_GA.amax(dim=1, keepdim=True).clamp_min(1e-9)
    iou_G1 = (iou_GA * chosen_GA).amax(dim=1, keepdim=True)
    share_A = (aligned_GA / highest_G1 * iou_G1)[object_A.clamp_min(0), torch.arange(count)]
    rows = taken_A.nonzero().squeeze(1)
    scores_AK[rows, truth.class_ids_N[object_A[rows]]] = share_A[rows]
    return Assignment(object_A=object_A, scores_AK=scores_AK, known_A=taken_A | ~crowds)


def _holds(boxes_G4: Tensor, places_A2: Tensor) -> Tensor:
    """bool [G, A]: which places lie in which boxes."""
    low, high = boxes_G4[:, None, :2], boxes_G4[:, None, 2:]
    return ((places_A2 > low) & (places_A2 < high)).all(dim=-1)


def _complete_iou(objects_G4: Tensor, boxes_A4: Tensor) -> Tensor:
    """[G, A]: 1 - the complete IoU loss of every pair."""
    places = len(boxes_A4)
    rows = [
        1 - complete_box_iou_loss(boxes_A4.repeat(len(some), 1), some.repeat_interleave(places, 0))
        for some in objects_G4.split(max(1, PAIRS // places))
    ]
    return torch.cat(rows).view(-1, places)


def _side_loss(own: Mapping[str, Tensor], places: Tensor, truth_N4: Tensor) -> Tensor:
    """Cross entropy with the two steps around the true distance, mean over the sides, [N]."""
    logits_N4R = at_least_float32(own["sides_BA4R"][places])
    steps = logits_N4R.shape[-1]
    middle_N2, stride_N1 = own["places_A2"][places], own["strides_A"][places].unsqueeze(1)
    distances_N4 = torch.cat([middle_N2 - truth_N4[:, :2], truth_N4[:, 2:] - middle_N2], dim=1)
    wanted_N4 = (distances_N4 / stride_N1).clamp(0, steps - 1 - 0.01)
    below_N4 = wanted_N4.floor().long()
    share_N4 = wanted_N4 - below_N4
    log_N4R = logits_N4R.log_softmax(dim=-1)
    low = log_N4R.gather(-1, below_N4.unsqueeze(-1)).squeeze(-1)
    high = log_N4R.gather(-1, below_N4.unsqueeze(-1) + 1).squeeze(-1)
    return -(low * (1 - share_N4) + high * share_N4).mean(dim=1)


def _mask_loss(
    own: Mapping[str, Tensor],
    truth: ObjectTruth,
    masks_NHW: Tensor,
    places: Tensor,
    objects: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sum of the masks' binary cross entropies, each the mean inside its box, and their number."""
    known = truth.has_mask_N[objects]
    places, objects = places[known], objects[known]
    prototypes_Phw = at_least_float32(own["prototypes_BPhw"])
    number = prototypes_Phw.new_tensor(float(len(places)))
    if not len(places):
        return prototypes_Phw.sum() * 0, number
    coefficients_NP = at_least_float32(own["coefficients_BAP"][places])
    logits_Nhw = torch.einsum("np,phw->nhw", coefficients_NP, prototypes_Phw)
    size, grid = masks_NHW.shape[-2:], prototypes_Phw.shape[-2:]
    used, row = objects.unique(return_inverse=True)
    masks_U1HW = masks_NHW[used].to(logits_Nhw.dtype).unsqueeze(1)
    wanted_Uhw = F.interpolate(masks_U1HW, grid, mode="area").squeeze(1)
    stride = size[0] / grid[0]
    boxes_N4 = truth.boxes_N4[objects].to(logits_Nhw.dtype)
    inside_Nhw = inside_boxes(boxes_N4[None], grid, stride)[0]
    loss_Nhw = F.binary_cross_entropy_with_logits(logits_Nhw, wanted_Uhw[row], reduction="none")
    area_N = inside_Nhw.sum(dim=(1, 2)).clamp_min(1)
    return ((loss_Nhw * inside_Nhw).sum(dim=(1, 2)) / area_N).sum(), number
