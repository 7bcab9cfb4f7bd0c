"""Deformable convolution: Dai et al., ICCV 2017, arXiv 1703.06211, section 2.1; modulated: Zhu et
al., CVPR 2019, arXiv 1811.11168, section 3.2.

Legend: B batch, C channels of the input, T taps of the kernel, h w of the input, p q of the output.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableConv(nn.Conv2d):
    """A convolution whose taps are moved, at each place, by what a second convolution says.

    The offsets begin at zero, so that it begins as a plain convolution, or, modulated, as half of
    one. Its `offset` has 2 T channels, (y, x) of each tap in pixels of the input, and where it is
    modulated T more, the logits of what each tap counts.

    Args:
        inside: C of the input.
        outside: C of the output.
        stride: of the taps' common centre.
        dilation: distance between the taps before they are moved.
        modulated: taps are weighted, too.
        bias: whether the convolution adds one.
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        stride: int = 1,
        dilation: int = 1,
        modulated: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__(inside, outside, 3, stride, dilation, dilation, bias=bias)
        self.modulated = modulated
        channels = (3 if modulated else 2) * 9
        self.offset = nn.Conv2d(inside, channels, 3, stride, dilation, dilation)
        self.reset_offset()

    def reset_offset(self) -> None:
        """Let every tap stand where a plain convolution has it."""
        nn.init.zeros_(self.offset.weight)
        if self.offset.bias is not None:
            nn.init.zeros_(self.offset.bias)

    def forward(self, features_BChw: Tensor) -> Tensor:
        """[B, inside, h, w] -> [B, outside, p, q]."""
        said = self.offset(features_BChw)
        offsets, weights = said[:, :18], said[:, 18:].sigmoid() if self.modulated else None
        if torch.compiler.is_exporting():
            return self.by_sampling(features_BChw, offsets, weights)
        stride, dilation = (self.stride[0],) * 2, (self.dilation[0],) * 2
        convolved: Tensor = deform_conv2d(
            features_BChw, offsets, self.weight, self.bias, stride, dilation, dilation, weights
        )
        return convolved

    def by_sampling(
        self, features_BChw: Tensor, offsets_B2Tpq: Tensor, weights_BTpq: Tensor | None = None
    ) -> Tensor:
        """The same with operations that every runtime has: taps are read, then multiplied.

        OpenVINO reads no DeformConv of ONNX.
        """
        batch, channels, height, width = features_BChw.shape
        rows, columns = offsets_B2Tpq.shape[-2:]
        step, gap = self.stride[0], self.dilation[0]
        offsets_BT2pq = offsets_B2Tpq.view(batch, 9, 2, rows, columns)
        tap_T = torch.arange(9, device=features_BChw.device)
        row_Tp = (tap_T // 3 - 1).unsqueeze(1) * gap + step * torch.arange(rows).to(tap_T)
        column_Tq = (tap_T % 3 - 1).unsqueeze(1) * gap + step * torch.arange(columns).to(tap_T)
        y_BTpq = offsets_BT2pq[:, :, 0] + row_Tp.unsqueeze(-1)
        x_BTpq = offsets_BT2pq[:, :, 1] + column_Tq.unsqueeze(-2)
        # grid_sample counts -1..1 from border to border: pixel centres lie half a pixel inside
        places = torch.stack([(2 * x_BTpq + 1) / width - 1, (2 * y_BTpq + 1) / height - 1], dim=-1)
        read = F.grid_sample(
            features_BChw, places.view(batch, 9 * rows, columns, 2), align_corners=False
        )
        if weights_BTpq is not None:
            read = read.view(batch, channels, 9, rows, columns) * weights_BTpq.unsqueeze(1)
        read = read.view(batch, channels * 9, rows, columns)
        weight = self.weight.view(self.out_channels, channels * 9, 1, 1)
        return F.conv2d(read, weight, self.bias)
