"""Modulated deformable convolution: every tap looks elsewhere, and counts more or less.

Zhu, Hu, Lin, Dai: Deformable ConvNets v2, CVPR 2019, arXiv 1811.11168, section 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableConv(nn.Module):
    """A 3x3 convolution whose taps are moved and weighted by what lies there.

    It begins as a plain convolution whose taps all count one half.

    Args:
        inside: C of the input.
        outside: C of the output.
        stride: in both directions.
        bias: whether the convolution adds one.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outside, inside, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outside)) if bias else None
        self.moves = nn.Conv2d(inside, 27, 3, stride, 1)
        self.initialise()

    def initialise(self) -> None:
        """Set initial weights; no tap is moved."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.moves.weight)
        nn.init.zeros_(self.moves.bias)  # type: ignore[arg-type]

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, inside, h, w] -> [B, outside, h / stride, w / stride], rounded up."""
        moves = self.moves(features_BChw)
        offsets, weights = moves[:, :18], moves[:, 18:].sigmoid()
        if torch.compiler.is_exporting():
            return self.by_sampling(features_BChw, offsets, weights)
        return deform_conv2d(
            features_BChw, offsets, self.weight, self.bias, self.stride, 1, 1, weights
        )

    def by_sampling(
        self, features_BChw: Tensor, offsets_B18hw: Tensor, weights_B9hw: Tensor
    ) -> Tensor:
        """The same of operations that every runtime has: OpenVINO reads no DeformConv of ONNX.

        Args:
            features_BChw: the input.
            offsets_B18hw: y and x of each tap, in pixels.
            weights_B9hw: of each tap.
        """
        height, width = features_BChw.shape[-2:]
        rows, columns = weights_B9hw.shape[-2:]
        like = {"dtype": features_BChw.dtype, "device": features_BChw.device}
        tap = torch.arange(9, **like)
        y_9h1 = torch.arange(rows, **like).view(1, -1, 1) * self.stride + (tap // 3 - 1).view(
            -1, 1, 1
        )
        x_91w = torch.arange(columns, **like).view(1, 1, -1) * self.stride + (tap % 3 - 1).view(
            -1, 1, 1
        )
        moved = offsets_B18hw.unflatten(1, (9, 2))
        y_B9hw, x_B9hw = y_9h1 + moved[:, :, 0], x_91w + moved[:, :, 1]
        places = torch.stack([2 * (x_B9hw + 0.5) / width - 1, 2 * (y_B9hw + 0.5) / height - 1], -1)
        read = F.grid_sample(features_BChw, places.flatten(1, 2), align_corners=False)
        taps_BC9hw = read.unflatten(2, (9, rows)) * weights_B9hw.unsqueeze(1)
        weight = self.weight.flatten(2).flatten(1).unsqueeze(-1).unsqueeze(-1)
        return F.conv2d(taps_BC9hw.flatten(1, 2), weight, self.bias)
