"""Truths of boxes without masks, for losses."""

from __future__ import annotations

import torch

from maskwright.losses import ObjectTruth


def box_truth(boxes, ids, crowds=()) -> ObjectTruth:
    """Of xyxy boxes, their class ids, and xyxy of crowds."""
    return ObjectTruth(
        known=True,
        boxes_N4=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        class_ids_N=torch.tensor(ids, dtype=torch.int64),
        masks_NHW=None,
        has_mask_N=torch.zeros(len(ids), dtype=torch.bool),
        crowds_M4=torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )
