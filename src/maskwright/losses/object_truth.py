"""The objects of each image of a batch, as losses of objects take them.

Legend: N objects, M crowds, H W of the network's input; xyxy are x1, y1, x2, y2 in its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maskwright.losses.targets import Targets

SMALLEST_SIDE = 1e-3
"""Pixels: a box that is thinner has no area to be found."""


@dataclass(frozen=True, kw_only=True)
class ObjectTruth:
    """The objects of one image that a network is to find.

    Crowds are apart: they are regions where nothing is known, so that a candidate inside of one is
    neither right nor wrong. Boxes of no area are left out.

    Attributes:
        known: whether the image's objects are labelled; where not, nothing may be learnt of it.
        boxes_N4: float xyxy.
        class_ids_N: int64.
        masks_NHW: uint8 {0, 1}; None where no mask of the batch is known.
        has_mask_N: bool, whether the object's mask is known.
        crowds_M4: float xyxy of the crowds.
    """

    known: bool
    boxes_N4: Tensor
    class_ids_N: Tensor
    masks_NHW: Tensor | None
    has_mask_N: Tensor
    crowds_M4: Tensor


def object_truths(targets: Targets, like: Tensor) -> list[ObjectTruth]:
    """The objects of each image.

    Args:
        targets: of a batch.
        like: [B, ...], whose device and batch size count where no image has objects labelled.
    """
    if targets.boxes is None or targets.class_ids is None or targets.objects_known_B is None:
        return [_unlabelled(like) for _ in range(len(like))]
    known = targets.objects_known_B.tolist()
    return [
        _truth(targets, targets.boxes, targets.class_ids, known[image], image)
        for image in range(len(targets.boxes))
    ]


def _unlabelled(like: Tensor) -> ObjectTruth:
    none = like.new_zeros(0, dtype=torch.int64)
    boxes = like.new_zeros((0, 4))
    return ObjectTruth(
        known=False, boxes_N4=boxes, class_ids_N=none, masks_NHW=None,
        has_mask_N=none.bool(), crowds_M4=boxes,
    )  # fmt: skip


def _truth(
    targets: Targets, boxes: Sequence[Tensor], class_ids: Sequence[Tensor], known: bool, image: int
) -> ObjectTruth:
    boxes_N4 = boxes[image]
    sides_N2 = boxes_N4[:, 2:] - boxes_N4[:, :2]
    crowd_N = boxes_N4.new_zeros(len(boxes_N4), dtype=torch.bool)
    if targets.crowds is not None:
        crowd_N = targets.crowds[image]
    kept_N = (sides_N2 > SMALLEST_SIDE).all(dim=1)
    alone_N = kept_N & ~crowd_N
    masks = has_mask = None
    if targets.masks is not None and targets.has_mask is not None:
        masks, has_mask = targets.masks[image][alone_N], targets.has_mask[image][alone_N]
    return ObjectTruth(
        known=known,
        boxes_N4=boxes_N4[alone_N],
        class_ids_N=class_ids[image][alone_N],
        masks_NHW=masks,
        has_mask_N=alone_N[alone_N] & False if has_mask is None else has_mask,
        crowds_M4=boxes_N4[kept_N & crowd_N],
    )
