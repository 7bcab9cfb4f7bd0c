"""Several views at once, by averaging: spatial pyramid pooling.

Zhao, Shi, Qi, Wang, Jia: Pyramid Scene Parsing Network, CVPR 2017, arXiv 1612.01105, section 3.2;
the idea is He et al., ECCV 2014, arXiv 1406.4729.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct
from maskwright.layers.enlarge import enlarge


class PyramidPooling(nn.Module):
    """The features, and their averages over grids of n x n bins, enlarged again and appended.

    Args:
        in_channels: C of the features.
        width: C that each grid of averages is projected to.
        bins: n of each grid.
        align_corners: whether the enlargement puts the outer bins' centres on the outer pixels'.
        plain_mean: a grid of one bin is projected with a bias and without a norm.

    Attributes:
        out_channels: C of the output: in_channels and, for each grid, width.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        bins: Sequence[int],
        align_corners: bool = True,
        plain_mean: bool = False,
    ) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.align_corners = align_corners
        self.out_channels = in_channels + len(self.bins) * width
        plain = [plain_mean and count == 1 for count in self.bins]
        self.branches = nn.ModuleList(
            ConvNormAct(in_channels, width, 1, bias=bare, norm=None if bare else nn.BatchNorm2d)
            for bare in plain
        )

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, in_channels, h, w] -> [B, out_channels, h, w]."""
        views = [features_BChw]
        for bins, branch in zip(self.bins, self.branches):
            means_BCnn = branch(average_bins(features_BChw, bins))
            views.append(enlarge(means_BCnn, features_BChw.shape, self.align_corners))
        return torch.cat(views, dim=1)


def average_bins(features_BChw: Tensor, bins: int) -> Tensor:
    """Means over a grid of n x n bins, which overlap by a pixel where n doesn't divide the size.

    Bin i covers the rows from floor(i h / n) to ceil((i + 1) h / n), the columns likewise, as
    `torch.nn.AdaptiveAvgPool2d` has it, which would export as gathers of every bin's pixels.
    """
    height, width = features_BChw.shape[-2:]
    if height % bins == 0 and width % bins == 0:
        return F.avg_pool2d(features_BChw, (height // bins, width // bins))
    rows = [features_BChw[:, :, span].mean(dim=2) for span in _spans(height, bins)]
    rows_BCnw = torch.stack(rows, dim=2)
    columns = [rows_BCnw[..., span].mean(dim=3) for span in _spans(width, bins)]
    return torch.stack(columns, dim=3)


def _spans(size: int, bins: int) -> list[slice]:
    return [slice(number * size // bins, -(-(number + 1) * size // bins)) for number in range(bins)]
