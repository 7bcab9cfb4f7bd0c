"""Fast NMS: suppression as one product of a matrix, where those that were suppressed suppress, too.

Bolya, Zhou, Xiao, Lee: YOLACT, ICCV 2019, arXiv 1904.02689, section 4.

Legend: B images, N candidates, K classes, T of each class that are compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskwright.layers.suppression import best, rows_at


def fast_nms(
    boxes_BN4: Tensor, scores_BKN: Tensor, compared: int, overlap: float
) -> tuple[Tensor, Tensor]:
    """The best of each class, those that overlap a better one with a score of 0.

    Args:
        boxes_BN4: xyxy.
        scores_BKN: of each class.
        compared: T.
        overlap: IoU with a better one of the class above which a candidate goes.

    Returns:
        Scores [B, K, T] and their candidates, int64 [B, K, T].
    """
    batch, classes, _ = scores_BKN.shape
    scores_QT, places_QT = best(scores_BKN.flatten(0, 1), compared)
    boxes_QN4 = boxes_BN4.unsqueeze(1).expand(-1, classes, -1, -1).flatten(0, 1)
    own_QT4 = rows_at(boxes_QN4, places_QT)
    iou_QTT = pairwise_iou(own_QT4)
    better = torch.ones_like(iou_QTT[0], dtype=torch.bool).triu(diagonal=1)
    worst_QT = (iou_QTT * better).amax(dim=1)
    kept_QT = scores_QT * (worst_QT <= overlap)
    return kept_QT.view(batch, classes, -1), places_QT.view(batch, classes, -1)


def pairwise_iou(boxes_BN4: Tensor) -> Tensor:
    """IoU of all pairs, [B, N, N], as `torchvision.ops.box_iou` of each image."""
    low_BNN2 = torch.maximum(boxes_BN4[:, :, None, :2], boxes_BN4[:, None, :, :2])
    high_BNN2 = torch.minimum(boxes_BN4[:, :, None, 2:], boxes_BN4[:, None, :, 2:])
    common_BNN = (high_BNN2 - low_BNN2).clamp_min(0).prod(dim=-1)
    area_BN = (boxes_BN4[..., 2:] - boxes_BN4[..., :2]).clamp_min(0).prod(dim=-1)
    union_BNN = area_BN[:, :, None] + area_BN[:, None, :] - common_BNN
    return common_BNN / union_BNN.clamp_min(1e-9)
