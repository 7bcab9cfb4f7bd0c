"""Non-maximum suppression as one operation of a fixed shape, in torch and in exported graphs.

Legend: B images, N candidates, K or M slots.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms


@torch.library.custom_op("maskwright::kept", mutates_args=())
def kept(boxes_BN4: Tensor, scores_BN: Tensor, threshold: float) -> Tensor:
    """Which candidates stay: greedily, the highest score first, all that overlap a kept one go.

    Unlike torchvision's, it answers in a fixed shape, so that what follows can be exported.

    Args:
        boxes_BN4: xyxy.
        scores_BN: their order.
        threshold: IoU above which the lower score goes.

    Returns:
        bool [B, N].
    """
    stays_BN = torch.zeros(scores_BN.shape, dtype=torch.bool, device=scores_BN.device)
    for stays_N, boxes_N4, scores_N in zip(stays_BN, boxes_BN4, scores_BN):
        stays_N[nms(boxes_N4, scores_N, threshold)] = True
    return stays_BN


@kept.register_fake
def _(_boxes_BN4: Tensor, scores_BN: Tensor, _threshold: float) -> Tensor:
    return torch.empty_like(scores_BN, dtype=torch.bool)


def kept_by_class(
    boxes_BN4: Tensor, scores_BN: Tensor, class_ids_BN: Tensor, threshold: float
) -> Tensor:
    """As `kept`, but boxes of different classes never meet: each class is moved to a place apart.

    Args:
        boxes_BN4: xyxy; their coordinates are finite.
        scores_BN: their order.
        class_ids_BN: integers from 0.
        threshold: IoU above which the lower score of one class goes.

    Returns:
        bool [B, N].
    """
    lowest = boxes_BN4.amin(dim=(1, 2), keepdim=True)
    span = boxes_BN4.amax(dim=(1, 2), keepdim=True) - lowest + 1
    apart_BN4 = boxes_BN4 - lowest + class_ids_BN.unsqueeze(-1).to(boxes_BN4.dtype) * span
    return kept(apart_BN4, scores_BN, threshold)


class Found(NamedTuple):
    """Objects in slots.

    Attributes:
        boxes_BM4: xyxy.
        scores_BM: falling; 0: an empty slot.
        class_ids_BM: int32.
        places_BM: int64, which candidate each is.
    """

    boxes_BM4: Tensor
    scores_BM: Tensor
    class_ids_BM: Tensor
    places_BM: Tensor

    def to_dict(self) -> dict[str, Tensor]:
        """As networks answer boxes."""
        return {"boxes": self.boxes_BM4, "scores": self.scores_BM, "class_ids": self.class_ids_BM}


def distinct_objects(
    boxes_BN4: Tensor,
    scores_BN: Tensor,
    class_ids_BN: Tensor,
    candidates: int,
    overlap: float,
    slots: int,
) -> Found:
    """The best candidates, of which those of one class that overlap are one object.

    Args:
        boxes_BN4: xyxy; their coordinates are finite.
        scores_BN: 0..1.
        class_ids_BN: integers from 0.
        candidates: most that meet.
        overlap: IoU above which the lower score of a class goes.
        slots: M.
    """
    scores_BQ, places_BQ = best(scores_BN, min(scores_BN.shape[1], candidates))
    boxes_BQ4, class_ids_BQ = rows_at(boxes_BN4, places_BQ), rows_at(class_ids_BN, places_BQ)
    stays_BQ = kept_by_class(boxes_BQ4, scores_BQ, class_ids_BQ, overlap)
    scores_BM, chosen_BM = best(scores_BQ * stays_BQ, slots)
    return Found(
        boxes_BM4=rows_at(boxes_BQ4, chosen_BM),
        scores_BM=scores_BM,
        class_ids_BM=rows_at(class_ids_BQ, chosen_BM).to(torch.int32),
        places_BM=rows_at(places_BQ, chosen_BM),
    )


def best(scores_BN: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest scores and where they stand, in falling order.

    Where there are fewer than `count`, the last slots are empty: they score 0 and point at 0.

    Returns:
        scores [B, count] and int64 places [B, count].
    """
    found = min(count, scores_BN.shape[1])
    scores_BK, places_BK = scores_BN.topk(found, dim=1)
    if found < count:
        missing = (0, count - found)
        scores_BK = torch.nn.functional.pad(scores_BK, missing)
        places_BK = torch.nn.functional.pad(places_BK, missing)
    return scores_BK, places_BK


def rows_at(values_BNC: Tensor, places_BK: Tensor) -> Tensor:
    """The rows [B, K, ...] of values [B, N, ...] at these places."""
    if values_BNC.ndim == 2:
        return values_BNC.gather(1, places_BK)
    shape = (*places_BK.shape, *values_BNC.shape[2:])
    places = places_BK.view(*places_BK.shape, *(1 for _ in shape[2:])).expand(shape)
    return values_BNC.gather(1, places)
