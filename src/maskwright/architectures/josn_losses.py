"""JOSN's boxes, as YOLOv2 has them: what a prior tells, which object it learns, and its losses.

Redmon, Farhadi: YOLO9000, CVPR 2017, arXiv 1612.08242, section 2 (priors, sigmoids of the places,
the objectness is the IoU); Redmon et al.: You Only Look Once, CVPR 2016, arXiv 1506.02640,
equation 3 (squares and their weights).

Legend: B images, N priors of all cells, K classes, O objects of an image, Q priors with an object;
xyxy in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from maskwright.layers.anchor_cells import decode_cells
from maskwright.layers.boxes import share_inside
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes

BOX_WEIGHT, NOTHING_WEIGHT = 5.0, 0.5
"""Of boxes, and of the objectness where there is no object (lambda of equation 3)."""

NEAR = 0.6
"""IoU with an object above which a prior that learns none isn't told that there is nothing."""

IN_CROWD = 0.5
"""Share of a box inside a crowd above which it isn't either."""

USED = ("offsets_BN4", "objectness_BN", "class_logits_BNK")


class Assignment(NamedTuple):
    """What the priors of one image learn.

    Attributes:
        priors_Q: int64, those that learn an object.
        objects_Q: int64, the object of each.
    """

    priors_Q: Tensor
    objects_Q: Tensor


def box_losses(outputs: Mapping[str, Tensor], truths: Sequence[ObjectTruth]) -> dict[str, Tensor]:
    """Weighted terms, by the number of objects that are learnt.

    Args:
        outputs: of `JOSN.forward`.
        truths: of each image.
    """
    used = {name: at_least_float32(outputs[name]) for name in USED}
    sums_4 = (torch.stack([tensor.sum() for tensor in used.values()]).sum() * 0).expand(4)
    cells_N5 = outputs["cells_N5"].to(used["offsets_BN4"].dtype)
    for image, truth in enumerate(truths):
        if truth.known:
            own = {name: tensor[image] for name, tensor in used.items()}
            sums_4 = sums_4 + _image_sums(own, cells_N5, truth)
    (sums_4,) = sum_over_processes(sums_4)
    boxes, objectness, classes, number = sums_4.unbind()
    terms = {"boxes": BOX_WEIGHT * boxes, "objectness": objectness, "classes": classes}
    return {name: one / number.clamp_min(1) for name, one in terms.items()}


def _image_sums(own: Mapping[str, Tensor], cells_N5: Tensor, truth: ObjectTruth) -> Tensor:
    """Sums over one image, [4]: boxes, objectness, classes; objects."""
    offsets_N4, chance_N = own["offsets_BN4"], own["objectness_BN"].sigmoid()
    objects_O4 = truth.boxes_N4.to(offsets_N4.dtype)
    priors_Q, objects_Q = assign(objects_O4, cells_N5)
    with torch.no_grad():
        boxes_N4 = decode_cells(offsets_N4, cells_N5)
        wanted_N = torch.zeros_like(chance_N)
        iou_NO = box_iou(boxes_N4, objects_O4)
        near_N = (iou_NO > NEAR).any(dim=1)
        crowds_M4 = truth.crowds_M4.to(offsets_N4.dtype)
        crowded_N = (share_inside(boxes_N4, crowds_M4) > IN_CROWD).any(dim=1)
        weight_N = NOTHING_WEIGHT * (~(near_N | crowded_N)).to(offsets_N4.dtype)
        wanted_N[priors_Q], weight_N[priors_Q] = iou_NO[priors_Q, objects_Q], 1.0
    objectness = ((chance_N - wanted_N) ** 2 * weight_N).sum()
    told_Q4 = torch.cat([offsets_N4[priors_Q, :2].sigmoid(), offsets_N4[priors_Q, 2:]], dim=1)
    true_Q4 = encode(objects_O4[objects_Q], cells_N5[priors_Q])
    boxes = ((told_Q4 - true_Q4) ** 2).sum()
    classes = F.cross_entropy(
        own["class_logits_BNK"][priors_Q], truth.class_ids_N[objects_Q], reduction="sum"
    )
    return torch.stack([boxes, objectness, classes, boxes.new_tensor(float(len(priors_Q)))])


def encode(objects_Q4: Tensor, cells_Q5: Tensor) -> Tensor:
    """What the priors are to tell, [Q, 4]: places in their cells, 0..1, and logarithms of sides."""
    middles_Q2 = (objects_Q4[:, :2] + objects_Q4[:, 2:]) / 2
    sides_Q2 = (objects_Q4[:, 2:] - objects_Q4[:, :2]) / cells_Q5[:, 3:]
    return torch.cat([middles_Q2 / cells_Q5[:, 2:3] - cells_Q5[:, :2], sides_Q2.log()], dim=1)


@torch.no_grad()
def assign(objects_O4: Tensor, cells_N5: Tensor) -> Assignment:
    """Each object is learnt by the prior of its middle's cell whose shape is nearest to its own.

    A prior learns one object: large ones choose first, and one that finds all taken isn't learnt.

    Args:
        objects_O4: xyxy of some area.
        cells_N5: of `layers.anchor_cells`.
    """
    stride, priors_N2 = cells_N5[0, 2], cells_N5[:, 3:]
    corners_N2 = cells_N5[:, :2] * stride
    # a middle on the frame's far edge belongs to the last cell
    last_2 = corners_N2.amax(dim=0) + stride / 2
    middles_O12 = (
        ((objects_O4[:, :2] + objects_O4[:, 2:]) / 2).clamp_min(0).minimum(last_2)[:, None]
    )
    sides_O12 = (objects_O4[:, 2:] - objects_O4[:, :2])[:, None]
    common_ON = torch.minimum(sides_O12, priors_N2).prod(dim=-1)
    areas_ON = sides_O12.prod(dim=-1) + priors_N2.prod(dim=-1)
    inside_ON = ((middles_O12 >= corners_N2) & (middles_O12 < corners_N2 + stride)).all(dim=-1)
    shape_ON = (common_ON / (areas_ON - common_ON)).where(inside_ON, -1.0)
    ranked = shape_ON.sort(dim=1, descending=True)
    candidates = int(inside_ON.sum(dim=1).max()) if len(objects_O4) else 0
    order = sides_O12.prod(dim=-1).flatten().argsort(descending=True).tolist()
    places = ranked.indices[:, :candidates].tolist()
    taken: dict[int, int] = {}
    for number in order:
        free = next((one for one in places[number] if one not in taken), None)
        if free is not None:
            taken[free] = number
    rows = torch.tensor(list(taken.items()), dtype=torch.int64, device=cells_N5.device)
    return Assignment(*rows.view(-1, 2).unbind(dim=1))
