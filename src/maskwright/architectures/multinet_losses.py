"""MultiNet's losses: which cell learns which object, pixels and labels.

Teichmann et al.: MultiNet, IEEE IV 2018, arXiv 1612.07695, section 3.4: cross entropies of labels,
pixels and confidences, absolute differences of boxes, summed. The differences are rounded at 0.

Legend: B images, G cells, K classes, N classes of objects, O objects of an image, H W of the input;
xyxy in its pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes
from maskwright.losses.targets import Targets

ROUND = 0.25
"""Of a cell: smaller differences of boxes grow as squares do, so that larger steps than the
authors' settle, too."""

UNKNOWN = -100
"""Of a cell whose confidences learn nothing."""


def decode(boxes_BG4: Tensor, centres_G2: Tensor) -> Tensor:
    """Middles from the cells' centres, widths and heights -> xyxy [..., G, 4].

    Widths and heights below 0 are taken for 0.
    """
    boxes_BG4 = at_least_float32(boxes_BG4)
    middles = centres_G2 + boxes_BG4[..., :2]
    halves = boxes_BG4[..., 2:].clamp_min(0) / 2
    return torch.cat([middles - halves, middles + halves], dim=-1)


def label_loss(logits_BK: Tensor, targets: Targets) -> Tensor:
    """Cross entropy of the softmax, the mean over labelled images; several labels share the truth.

    Args:
        logits_BK: of the last so many classes of the targets.
        targets: of the batch.
    """
    logits_BK = at_least_float32(logits_BK)
    total, count = logits_BK.sum() * 0, logits_BK.new_zeros(())
    if targets.labels_BC is not None and targets.labels_known_B is not None:
        truth_BK = targets.labels_BC[:, -logits_BK.shape[1] :].to(logits_BK)
        labels_B = truth_BK.sum(dim=1)
        known_B = targets.labels_known_B & (labels_B > 0)
        shares_BK = truth_BK / labels_B.clamp_min(1).unsqueeze(1)
        each_B = -(shares_BK * logits_BK.log_softmax(dim=1)).sum(dim=1)
        total, count = total + (each_B * known_B).sum(), known_B.sum().to(total.dtype)
    total, count = sum_over_processes(total, count)
    return total / count.clamp_min(1)


def cell_losses(
    outputs: Mapping[str, Tensor], truths: Sequence[ObjectTruth], stride: int, unseen: int
) -> dict[str, Tensor]:
    """Of both looks: cross entropy of the confidences, absolute differences of the boxes.

    Means over all cells that learn, as the paper has them; boxes are measured in cells.

    Args:
        outputs: of `MultiNet.forward`.
        truths: of each image.
        stride: side of a cell, in pixels.
        unseen: classes in front of those that are found as objects.
    """
    looks = [("boxes_BG4", "confidences_BGN"), ("second_boxes_BG4", "second_confidences_BGN")]
    used = [at_least_float32(outputs[name]) for look in looks for name in look]
    sums_5 = (torch.stack([tensor.sum() for tensor in used]).sum() * 0).expand(5)
    centres_G2 = outputs["centres_G2"].to(used[0].dtype)
    for image, truth in enumerate(truths):
        if truth.known:
            class_G, boxes_G4 = assign(truth, centres_G2, stride, unseen)
            sums = [
                one
                for boxes, confidences in zip(used[::2], used[1::2])
                for one in (
                    F.cross_entropy(
                        confidences[image], class_G, ignore_index=UNKNOWN, reduction="sum"
                    ),
                    _box_sum(boxes[image], boxes_G4, class_G, stride),
                )
            ]
            learning = (class_G != UNKNOWN).sum().to(used[0].dtype)
            sums_5 = sums_5 + torch.stack([*sums, learning])
    (sums_5,) = sum_over_processes(sums_5)
    *sums, count = sums_5.unbind()
    names = ("confidences", "boxes", "second_confidences", "second_boxes")
    return {name: one / count.clamp_min(1) for name, one in zip(names, sums)}


def _box_sum(boxes_G4: Tensor, truth_G4: Tensor, class_G: Tensor, stride: int) -> Tensor:
    """Absolute differences, in cells, summed over the cells with an object."""
    each_G4 = F.smooth_l1_loss(boxes_G4 / stride, truth_G4 / stride, reduction="none", beta=ROUND)
    return (each_G4.sum(dim=1) * (class_G > 0)).sum()


@torch.no_grad()
def assign(
    truth: ObjectTruth, centres_G2: Tensor, stride: int, unseen: int
) -> tuple[Tensor, Tensor]:
    """Section 3.4: a cell learns the box that meets it; of several, the one of the nearest middle.

    Args:
        truth: of an image.
        centres_G2: of the cells.
        stride: side of a cell, in pixels.
        unseen: classes in front of those that are found as objects; objects of these don't count.

    Returns:
        int64 [G], the class as confidences have it: 0 no object, `UNKNOWN` in crowds; and the boxes
        [G, 4] as the network tells them, 0 where there is none.
    """
    class_G = torch.zeros(len(centres_G2), dtype=torch.int64, device=centres_G2.device)
    boxes_G4 = centres_G2.new_zeros((len(centres_G2), 4))
    class_G[_meets(centres_G2, truth.crowds_M4, stride).any(dim=1)] = UNKNOWN
    found_O = truth.class_ids_N >= unseen
    objects_O4 = truth.boxes_N4[found_O].to(centres_G2.dtype)
    if not len(objects_O4):
        return class_G, boxes_G4
    meets_GO = _meets(centres_G2, objects_O4, stride)
    middles_O2 = (objects_O4[:, :2] + objects_O4[:, 2:]) / 2
    far_GO = torch.cdist(centres_G2, middles_O2)
    nearest_G = far_GO.masked_fill(~meets_GO, torch.inf).argmin(dim=1)
    taken_G = meets_GO.any(dim=1)
    own_G4 = objects_O4[nearest_G]
    told_G4 = torch.cat([middles_O2[nearest_G] - centres_G2, own_G4[:, 2:] - own_G4[:, :2]], dim=1)
    class_G[taken_G] = (truth.class_ids_N[found_O][nearest_G] - unseen + 1)[taken_G]
    boxes_G4[taken_G] = told_G4[taken_G]
    return class_G, boxes_G4


def _meets(centres_G2: Tensor, boxes_O4: Tensor, stride: int) -> Tensor:
    """bool [G, O]: which cells have a part of which boxes."""
    low_G12, high_G12 = (centres_G2.unsqueeze(1) + side * stride / 2 for side in (-1, 1))
    boxes_O4 = boxes_O4.to(centres_G2.dtype)
    return ((boxes_O4[:, :2] < high_G12) & (boxes_O4[:, 2:] > low_G12)).all(dim=-1)
