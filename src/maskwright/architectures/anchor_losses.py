"""What detectors with anchors in cells learn: boxes, objectness, classes.

Bochkovskiy, Wang, Liao: YOLOv4, 2020, arXiv 2004.10934, sections 3.3 and 3.4: several anchors for
one object, complete IoU (Zheng et al., 2020, arXiv 2005.03572), objectness that is the overlap, and
nothing learnt of anchors that find an object without being meant for it (Redmon, Farhadi: YOLOv3,
2018, arXiv 1804.02767, section 2.1).

Legend: B images, N anchors of all cells, G objects of an image, K classes, Q anchors with an
object; xyxy in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou, complete_box_iou_loss

from maskwright.layers.anchor_cells import decode_cells
from maskwright.layers.boxes import share_inside
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes

MOST_DIFFERENT = 4.0
"""Factor between a side of an object and its anchor's, below which the anchor learns it."""

FOUND = 0.7
"""IoU with an object from which an anchor's objectness is not pressed down."""

IN_CROWD = 0.5
"""Share of a box inside a crowd from which nothing is learnt of it."""

BOX_WEIGHT, OBJECT_WEIGHT, CLASS_WEIGHT = 2.0, 1.0, 1.0


def anchor_losses(
    told_BNV: Tensor,
    cells_N5: Tensor,
    truths: Sequence[ObjectTruth],
    sensitivity: float,
    exclusive: bool,
) -> dict[str, Tensor]:
    """Of "boxes", "objectness" and "classes": sums over the batch, by the anchors with objects.

    Args:
        told_BNV: V = 5 + K: x, y, width, height, objectness, classes.
        cells_N5: of `layers.anchor_cells`.
        truths: of each image.
        sensitivity: as of `decode_cells`.
        exclusive: whether classes compete in a softmax (YOLOv2); else each has its own sigmoid.
    """
    told_BNV = at_least_float32(told_BNV)
    sums_4 = (told_BNV.sum() * 0).expand(4)
    for told_NV, truth in zip(told_BNV, truths):
        if truth.known:
            sums_4 = sums_4 + _image_sums(told_NV, cells_N5, truth, sensitivity, exclusive)
    (sums_4,) = sum_over_processes(sums_4)
    boxes, objects, classes, count = sums_4.unbind()
    count = count.clamp_min(1)
    return {
        "boxes": BOX_WEIGHT * boxes / count,
        "objectness": OBJECT_WEIGHT * objects / count,
        "classes": CLASS_WEIGHT * classes / count,
    }


def _image_sums(
    told_NV: Tensor, cells_N5: Tensor, truth: ObjectTruth, sensitivity: float, exclusive: bool
) -> Tensor:
    """Sums of the three losses, and the number of anchors with an object."""
    boxes_N4 = decode_cells(told_NV[:, :4], cells_N5, sensitivity)
    objects_N = assign_anchors(cells_N5, truth.boxes_N4)
    found = (objects_N >= 0).nonzero().squeeze(1)
    wanted_Q4 = truth.boxes_N4.to(boxes_N4.dtype)[objects_N[found]]
    each_Q = complete_box_iou_loss(boxes_N4[found], wanted_Q4)
    with torch.no_grad():
        wanted_N = boxes_N4.new_zeros(len(boxes_N4))
        wanted_N[found] = box_iou(boxes_N4[found], wanted_Q4).diagonal()
        known_N = (objects_N >= 0) | ~_undecided(boxes_N4, truth)
    objectness_N = F.binary_cross_entropy_with_logits(told_NV[:, 4], wanted_N, reduction="none")
    class_ids_Q = truth.class_ids_N[objects_N[found]]
    logits_QK = told_NV[found, 5:]
    if exclusive:
        classes = F.cross_entropy(logits_QK, class_ids_Q, reduction="sum")
    else:
        wanted_QK = torch.zeros_like(logits_QK)
        wanted_QK[torch.arange(len(found), device=found.device), class_ids_Q] = 1
        classes = F.binary_cross_entropy_with_logits(logits_QK, wanted_QK, reduction="sum")
    count = told_NV.new_tensor(float(len(found)))
    return torch.stack([each_Q.sum(), (objectness_N * known_N).sum(), classes, count])


@torch.no_grad()
def assign_anchors(cells_N5: Tensor, boxes_G4: Tensor) -> Tensor:
    """Which object each anchor learns, int64 [N]; -1: none.

    Those of the cell that holds an object's middle learn it where their sides are alike; of all
    maps, the one whose sides overlap the object's best always does. An anchor that several objects
    want learns the one that it overlaps best.

    Args:
        cells_N5: of `layers.anchor_cells`.
        boxes_G4: xyxy.
    """
    if not len(boxes_G4):
        return torch.full((len(cells_N5),), -1, dtype=torch.int64, device=cells_N5.device)
    boxes_G4 = boxes_G4.to(cells_N5.dtype)
    middle_G2, sides_G2 = (boxes_G4[:, :2] + boxes_G4[:, 2:]) / 2, boxes_G4[:, 2:] - boxes_G4[:, :2]
    cell_GN2 = (middle_G2[:, None] / cells_N5[None, :, 2:3]).floor()
    holds_GN = (cell_GN2 == cells_N5[None, :, :2]).all(dim=-1)
    factor_GN2 = sides_G2.clamp_min(1e-6)[:, None] / cells_N5[None, :, 3:]
    alike_GN = torch.maximum(factor_GN2, 1 / factor_GN2).amax(dim=-1) < MOST_DIFFERENT
    common_GN = torch.minimum(sides_G2[:, None], cells_N5[None, :, 3:]).prod(dim=-1)
    areas_GN = sides_G2.prod(dim=-1)[:, None] + cells_N5[:, 3:].prod(dim=-1)
    overlap_GN = torch.where(holds_GN, common_GN / (areas_GN - common_GN), -1.0)
    best_GN = overlap_GN == overlap_GN.amax(dim=1, keepdim=True)
    wants_GN = torch.where(holds_GN & (alike_GN | best_GN), overlap_GN, -1.0)
    highest_N, object_N = wants_GN.max(dim=0)
    return torch.where(highest_N >= 0, object_N, -1)


def _undecided(boxes_N4: Tensor, truth: ObjectTruth) -> Tensor:
    """bool [N]: which boxes find an object, or lie in a crowd."""
    truth_G4 = truth.boxes_N4.to(boxes_N4.dtype)
    in_crowd_N = (share_inside(boxes_N4, truth.crowds_M4.to(boxes_N4.dtype)) >= IN_CROWD).any(1)
    if not len(truth_G4):
        return in_crowd_N
    return in_crowd_N | (box_iou(boxes_N4, truth_G4).amax(dim=1) > FOUND)
