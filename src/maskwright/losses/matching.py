"""Bipartite matching: each object to one candidate, so that the sum of scores is highest.

Kuhn's Hungarian method, as Carion et al. (DETR, ECCV 2020, arXiv 2005.12872, section 3.1) brought
it to detectors; it stands for suppression: no two candidates answer for one object.

Legend: N candidates, M objects.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def best_matching(scores_NM: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of candidates and objects of the highest total score.

    Where one side is smaller, all of it is matched. Scores that are not finite count as 0, so that
    a network that has run away is told by its losses and not by a traceback.

    Args:
        scores_NM: how well candidate n fits object m; no gradients flow.

    Returns:
        int64 candidates and objects, each [min(N, M)], candidates rising.
    """
    scores = scores_NM.detach().double().cpu().numpy()
    scores = np.nan_to_num(scores, nan=0.0, posinf=0.0, neginf=0.0)
    candidates, objects = linear_sum_assignment(scores, maximize=True)
    device = scores_NM.device
    return torch.as_tensor(candidates, device=device), torch.as_tensor(objects, device=device)
