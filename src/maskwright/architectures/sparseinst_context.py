"""SparseInst's context encoder (section 3.2 of the paper): what lies around, in one map.

Legend: B images, C channels, h w of a feature map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.initialise import initialise
from maskwright.layers.pyramid import average_bins

BINS = (1, 2, 3, 6)
"""Of the pyramid pooling."""


class ContextEncoder(nn.Module):
    """Pyramid pooling on the deepest features, top-down sums, fusion at the finest stride.

    The lists of layers go deepest first.

    Args:
        inside: C of the features, finest first, each of twice the stride of the one before.
        width: C inside and of the output.
    """

    def __init__(self, inside: Sequence[int], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(own, width, 1) for own in reversed(inside))
        self.outputs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in inside)
        self.pooled = nn.ModuleList(nn.Conv2d(width, width // 4, 1) for _ in BINS)
        self.bottleneck = nn.Conv2d(width + len(BINS) * (width // 4), width, 1)
        self.fuse = nn.Conv2d(len(inside) * width, width, 1)
        self.apply(initialise)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features BChw, finest first -> [B, width, h, w] of the finest size."""
        size = features[0].shape[-2:]
        summed: Tensor | None = None
        views = []
        for features_BChw, lateral, output in zip(reversed(features), self.laterals, self.outputs):
            own = lateral(features_BChw)
            if summed is None:
                summed = self._pool(own)
            else:
                summed = own + F.interpolate(summed, own.shape[-2:], mode="nearest")
            views.append(output(summed))
        enlarged = [
            view
            if view.shape[-2:] == size
            else F.interpolate(view, size, mode="bilinear", align_corners=False)
            for view in reversed(views)
        ]
        fused: Tensor = self.fuse(torch.cat(enlarged, dim=1))
        return fused

    def _pool(self, features_BChw: Tensor) -> Tensor:
        views = []
        for bins, project in zip(BINS, self.pooled):
            means = project(average_bins(features_BChw, bins)).relu()
            size = features_BChw.shape[-2:]
            views.append(F.interpolate(means, size, mode="bilinear", align_corners=False))
        pooled: Tensor = self.bottleneck(torch.cat([*views, features_BChw], dim=1))
        return pooled.relu()
