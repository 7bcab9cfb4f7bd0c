"""Matrix NMS: scores fall by how much better masks of the class overlap, all at once.

Wang, Zhang, Kong, Li, Shen: SOLOv2, NeurIPS 2020, arXiv 2003.10152, section 3.3, algorithm 1.

Legend: B images, N masks by falling score, P pixels of a mask.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["gaussian", "linear"]


def matrix_nms(
    masks_BNP: Tensor,
    class_ids_BN: Tensor,
    scores_BN: Tensor,
    kernel: Kernel = "gaussian",
    sigma: float = 2.0,
) -> Tensor:
    """The scores after all better masks have lowered them, [B, N].

    Args:
        masks_BNP: 0 or 1, floating.
        class_ids_BN: of each mask; others of its class lower it alone.
        scores_BN: falling.
        kernel: of the decay: exp(-sigma IoU^2), or 1 - IoU.
        sigma: of the Gaussian.
    """
    common_BNN = masks_BNP @ masks_BNP.transpose(1, 2)
    area_BN = masks_BNP.sum(dim=-1)
    union_BNN = area_BN[:, :, None] + area_BN[:, None, :] - common_BNN
    iou_BNN = common_BNN / union_BNN.clamp_min(1e-6)
    same_BNN = class_ids_BN[:, :, None] == class_ids_BN[:, None, :]
    better = torch.ones_like(iou_BNN[0]).triu(diagonal=1)  # the row's mask is the better one
    iou_BNN = iou_BNN * same_BNN * better
    worst_BN1 = iou_BNN.amax(dim=1).unsqueeze(-1)  # how far the better one is covered itself
    if kernel == "gaussian":
        decay_BNN = torch.exp(-sigma * iou_BNN.square()) / torch.exp(-sigma * worst_BN1.square())
    else:
        decay_BNN = (1 - iou_BNN) / (1 - worst_BN1).clamp_min(1e-6)
    return scores_BN * decay_BNN.amin(dim=1)
