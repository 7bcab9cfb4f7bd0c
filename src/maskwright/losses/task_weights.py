"""How the losses of several tasks are added: as they are, or by weights that are learnt.

Alex Kendall, Yarin Gal, Roberto Cipolla: Multi-Task Learning Using Uncertainty to Weigh Losses for
Scene Geometry and Semantics, CVPR 2018, arXiv 1705.07115, section 3.2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn


class TaskWeights(nn.Module):
    """Weights of tasks; where they are learnt, each is exp(-s), and s is added to the loss.

    A task that no image of a batch is labelled for adds nothing, and its s learns nothing.

    Args:
        fixed: task -> its weight; learnt ones begin there.
        learnt: whether they are.
    """

    def __init__(self, fixed: Mapping[str, float], learnt: bool = False) -> None:
        super().__init__()
        self.fixed = dict(fixed)
        self.uncertainties = (
            nn.ParameterDict(
                {name: -torch.tensor(float(weight)).log() for name, weight in fixed.items()}
            )
            if learnt
            else None
        )

    def forward(self, losses: Mapping[str, Tensor], labelled: Collection[str]) -> Tensor:
        """The weighted sum.

        Args:
            losses: of each task, a scalar; a connected zero where it isn't labelled.
            labelled: tasks that an image of the batch is labelled for.
        """
        terms = []
        for name, loss in losses.items():
            if self.uncertainties is None:
                terms.append(self.fixed[name] * loss)
                continue
            uncertainty = self.uncertainties[name]
            told = 1.0 if name in labelled else 0.0
            terms.append((-uncertainty).exp() * loss + told * uncertainty)
        return torch.stack(terms).sum()
