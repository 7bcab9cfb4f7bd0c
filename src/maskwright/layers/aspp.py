"""Several views at once, by dilation: atrous spatial pyramid pooling.

Chen, Papandreou, Schroff, Adam: Rethinking Atrous Convolution for Semantic Image Segmentation,
arXiv 1706.05587, section 3.3 and figure 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct
from maskwright.layers.separable import SeparableConvNormAct


class ASPP(nn.Module):
    """A 1x1 convolution, a dilated 3x3 for each rate, the global mean; concatenated, projected.

    Args:
        in_channels: C of the features.
        width: C of every branch and of the output.
        rates: dilations of the 3x3 branches.
        separable: the 3x3 are depth-wise separable (DeepLab v3+, arXiv 1802.02611, section 3.1).
        dropout: probability, in training, that a value of the output is zeroed.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        rates: Sequence[int],
        separable: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        atrous = SeparableConvNormAct if separable else ConvNormAct
        self.branches = nn.ModuleList([ConvNormAct(in_channels, width, 1)])
        self.branches.extend(atrous(in_channels, width, dilation=rate) for rate in rates)
        self.pool = ConvNormAct(in_channels, width, 1)
        self.project = ConvNormAct((len(rates) + 2) * width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, in_channels, h, w] -> [B, width, h, w]."""
        views = [branch(features_BChw) for branch in self.branches]
        mean_BC11 = self.pool(features_BChw.mean(dim=(2, 3), keepdim=True))
        views.append(mean_BC11.expand_as(views[0]))
        return self.dropout(self.project(torch.cat(views, dim=1)))
