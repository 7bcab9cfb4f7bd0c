"""MultiNet's encoders, and its decoders of objects and of labels.

Teichmann et al.: MultiNet, IEEE IV 2018, arXiv 1612.07695, section 3.

Legend: B images, 3 colours (RGB), C channels, K classes, H W of the input, h w of a map; G cells,
row by row, R places that a cell looks at again, N classes of objects; a number behind h w is the
stride.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import resize_logits
from maskwright.architectures.encoders.same_resnet import SameResNet
from maskwright.architectures.encoders.vgg import vgg_stage
from maskwright.layers.boxes import middles
from maskwright.layers.conv import ConvNormAct
from maskwright.losses.cross_entropy import at_least_float32

STRIDE, EARLY_STRIDE = 32, 8
"""Of the cells, and of the map that is looked at again."""

BOX_SCALE, CORRECTION_SCALE, SURE_SCALE, EARLY_SCALE = 50.0, 5.0, 50.0, 1e-3
"""The authors' constants: of the first box, of its correction, of the second confidences, and of
the early features beside the hidden ones."""


class Features(NamedTuple):
    """What the decoders read.

    Attributes:
        early_BChw8: what objects are looked at again in.
        fine_BChw8, middle_BChw16, coarse_BChw32: what is segmented.
        deep_BChw32: what cells and labels are read from.
    """

    early_BChw8: Tensor
    fine_BChw8: Tensor
    middle_BChw16: Tensor
    coarse_BChw32: Tensor
    deep_BChw32: Tensor


class VGGFeatures(nn.Module):
    """VGG's stages and its two wide layers (section 3.1).

    Args:
        widths: C of the five stages.
        depths: convolutions of each.
        wide: C of the layers that were dense.
        kernel: side of the first of them.
        from_dense: whether the deep map is what they answer, not what they read.

    Attributes:
        channels: C of the fine, the middle, the coarse and the deep map.
    """

    def __init__(
        self, widths: Sequence[int], depths: Sequence[int], wide: int, kernel: int, from_dense: bool
    ) -> None:
        super().__init__()
        self.from_dense = from_dense
        self.stages = nn.ModuleList(
            vgg_stage(inside, width, depth)
            for inside, width, depth in zip((3, *widths), widths, depths)
        )
        self.fc6 = ConvNormAct(widths[4], wide, kernel, bias=True, norm=None)
        self.fc7 = ConvNormAct(wide, wide, 1, bias=True, norm=None)
        self.channels = (widths[2], widths[3], wide, wide if self.from_dense else widths[4])

    def forward(self, images_B3HW: Tensor) -> Features:
        """RGB, normalised -> features; the early ones are those in front of the fourth pooling."""
        features_BChw, before, pooled = images_B3HW, [], []
        for stage in self.stages:
            before.append(stage(features_BChw))
            features_BChw = F.max_pool2d(before[-1], 2, stride=2, ceil_mode=True)
            pooled.append(features_BChw)
        wide_BChw32 = self.fc7(self.fc6(features_BChw))
        deep_BChw32 = wide_BChw32 if self.from_dense else features_BChw
        return Features(before[3], pooled[2], pooled[3], wide_BChw32, deep_BChw32)


class ResNetFeatures(nn.Module):
    """The last three stages of a residual network.

    Args:
        widths, depths: as `SameResNet` takes them.

    Attributes:
        channels: C of the fine, the middle, the coarse and the deep map.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.body = SameResNet(widths, depths)
        self.channels = (*self.body.channels[1:], self.body.channels[3])

    def forward(self, images_B3HW: Tensor) -> Features:
        """RGB, normalised -> features; the early ones are the finest of those that are scored."""
        _, fine_BChw8, middle_BChw16, coarse_BChw32 = self.body(images_B3HW)
        return Features(fine_BChw8, fine_BChw8, middle_BChw16, coarse_BChw32, coarse_BChw32)


class Cells(nn.Module):
    """A box and confidences of each cell, and a second look at them (section 3.3, figure 3).

    Args:
        inside: C of the coarse map.
        hidden: C of a cell.
        early_width: the first so many C of the finer map are looked at again.
        second: C of the layer that joins both looks.
        classes: N.
        shares: of a box's sides, from its middle: where it is looked at again, sideways and down.
        scale_down: of the coarse map.
    """

    def __init__(
        self,
        inside: int,
        hidden: int,
        early_width: int,
        second: int,
        *,
        classes: int,
        shares: Sequence[float],
        scale_down: float,
    ) -> None:
        super().__init__()
        self.early_width, self.scale_down = early_width, scale_down
        self.shares = tuple(itertools.product(shares, repeat=2))
        told = 1 + classes
        self.hidden = nn.Linear(inside, hidden, bias=False)
        self.boxes = nn.Linear(hidden, 4, bias=False)
        self.confidences = nn.Linear(hidden, told, bias=False)
        seen = hidden + early_width * len(self.shares)
        self.second = nn.Linear(seen, second, bias=False)
        self.second_boxes = nn.Linear(second, 4, bias=False)
        self.second_confidences = nn.Linear(second, told, bias=False)

    def initialise(self) -> None:
        """Deviations that keep the size of what passes; nothing is corrected at first."""
        for layer in (self.hidden, self.second):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        for layer in (self.boxes, self.confidences, self.second_boxes, self.second_confidences):
            nn.init.normal_(layer.weight, std=1e-3)

    def forward(self, deep_BChw32: Tensor, early_BChw8: Tensor) -> dict[str, Tensor]:
        """Coarse and finer map -> as `MultiNet.forward` tells."""
        cells_BGC = deep_BChw32.flatten(2).transpose(1, 2) * self.scale_down
        hidden_BGC = self.hidden(cells_BGC)
        boxes_BG4 = self.boxes(hidden_BGC) * BOX_SCALE
        centres_G2 = _centres(deep_BChw32)
        # the truth teaches the first box, not what is seen at the second look
        again_BGC = self._rezoom(early_BChw8, boxes_BG4.detach(), centres_G2) * EARLY_SCALE
        seen_BGC = F.relu(self.second(torch.cat([hidden_BGC, again_BGC.to(hidden_BGC)], dim=-1)))
        return {
            "boxes_BG4": boxes_BG4,
            "confidences_BGN": self.confidences(hidden_BGC),
            "second_boxes_BG4": boxes_BG4 + self.second_boxes(seen_BGC) * CORRECTION_SCALE,
            "second_confidences_BGN": self.second_confidences(seen_BGC) * SURE_SCALE,
            "centres_G2": centres_G2,
        }

    def _rezoom(self, early_BChw8: Tensor, boxes_BG4: Tensor, centres_G2: Tensor) -> Tensor:
        """The early map, bilinear, at R places of each box, column by column, [B, G, R C]."""
        early_BChw8 = at_least_float32(early_BChw8[:, : self.early_width])
        boxes_BG4 = boxes_BG4.to(early_BChw8.dtype)
        shares_R2 = boxes_BG4.new_tensor(self.shares)
        middles_BG2 = centres_G2.to(boxes_BG4.dtype) + boxes_BG4[..., :2]
        places_BGR2 = middles_BG2.unsqueeze(2) + shares_R2 * boxes_BG4[..., 2:].unsqueeze(2)
        height, width = early_BChw8.shape[-2:]
        # a map's first and last cell lie at -1 and 1; what lies beyond reads the edge
        ends_2 = boxes_BG4.new_tensor([max(width - 1, 1), max(height - 1, 1)])
        grid_BGR2 = places_BGR2 / EARLY_STRIDE / ends_2 * 2 - 1
        seen_BCGR = F.grid_sample(
            early_BChw8, grid_BGR2, mode="bilinear", padding_mode="border", align_corners=True
        )
        return seen_BCGR.permute(0, 2, 3, 1).flatten(2)


def _centres(deep_BChw32: Tensor) -> Tensor:
    """Of the cells, x and y in pixels [G, 2]."""
    height, width = deep_BChw32.shape[-2:]
    like = at_least_float32(deep_BChw32[:1, :1, :1, :1]).detach()
    y_hw, x_hw = torch.meshgrid(
        middles(height, STRIDE, like), middles(width, STRIDE, like), indexing="ij"
    )
    return torch.stack([x_hw, y_hw], dim=-1).reshape(-1, 2)


class Labels(nn.Module):
    """Cells are narrowed, then one dense layer reads all of them (section 3.2).

    Args:
        inside: C of the coarse map.
        width: C of a cell.
        classes: K.
        grid: (rows, columns) that are read; a map of another size is resized.
    """

    def __init__(self, inside: int, width: int, classes: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.narrow = nn.Linear(inside, width)
        self.scores = nn.Linear(grid[0] * grid[1] * width, classes)

    def forward(self, deep_BChw32: Tensor) -> Tensor:
        """The coarse map -> logits [B, K]."""
        cells_BGC = resize_logits(deep_BChw32, self.grid).flatten(2).transpose(1, 2)
        logits_BK: Tensor = self.scores(F.relu(self.narrow(cells_BGC)).flatten(1))
        return logits_BK
