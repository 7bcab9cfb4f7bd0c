"""What SOLO's networks share: levels, local maxima of a grid, masks that become objects.

Wang, Kong, Shen, Jiang, Li: SOLO, ECCV 2020, arXiv 1912.04488, sections 3.1 and 3.3; Wang, Zhang,
Kong, Li, Shen: SOLOv2, NeurIPS 2020, arXiv 2003.10152, section 3.3.

Legend: B images, C channels, K classes, S cells a side of a level's grid, N candidates, M slots of
objects, h w of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.layers.conv import ConvNormAct
from maskwright.layers.mask_extents import mask_extents
from maskwright.layers.matrix_nms import matrix_nms
from maskwright.layers.places import with_places
from maskwright.layers.suppression import best, rows_at

MASK_THRESHOLD = 0.5
"""Above it, a pixel belongs to the mask."""


def group_tower(inside: int, width: int, depth: int, groups: int) -> nn.Sequential:
    """3x3 convolutions with group norm and ReLU, all of one width."""
    norm = partial(group_norm, groups=groups)
    widths = (inside, *(width,) * depth)
    return nn.Sequential(*(ConvNormAct(a, b, norm=norm) for a, b in pairwise(widths)))


def group_norm(channels: int, eps: float, groups: int) -> nn.GroupNorm:
    """As `ConvNormAct` makes norms."""
    return nn.GroupNorm(groups, channels, eps=eps)


def places_behind(features_BChw: Tensor) -> Tensor:
    """Two channels, x and y from -1 to 1, behind the features."""
    placed = with_places(features_BChw)
    return torch.cat([placed[:, 2:], placed[:, :2]], dim=1)


def twice(features_BChw: Tensor) -> Tensor:
    """Twice as high and wide, bilinear."""
    return F.interpolate(features_BChw, scale_factor=2, mode="bilinear", align_corners=False)


def resized(features_BChw: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, half-pixel centres."""
    return F.interpolate(
        features_BChw, (int(size[0]), int(size[1])), mode="bilinear", align_corners=False
    )


def grid_levels(pyramid: Sequence[Tensor]) -> list[Tensor]:
    """Five levels of strides 4 to 64 -> 8, 8, 16, 32, 32: as masks are answered on them."""
    first = F.interpolate(pyramid[0], scale_factor=0.5, mode="bilinear", align_corners=False)
    last = resized(pyramid[4], pyramid[3].shape[-2:])
    return [first, *pyramid[1:4], last]


def local_maxima(chances_BKSS: Tensor) -> Tensor:
    """Scores that are the highest of the 2 x 2 cells up and left of them; others 0 (points NMS)."""
    highest = F.max_pool2d(chances_BKSS, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return chances_BKSS * (highest == chances_BKSS)


def best_cells(levels_BKSS: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The highest (cell, class) pairs of all levels.

    Args:
        levels_BKSS: scores of each level.
        count: N, where there are so many.

    Returns:
        Scores [B, N], falling; cells int64 [B, N], counted over all levels, row by row; classes.
    """
    classes = levels_BKSS[0].shape[1]
    flat_BQ = torch.cat([one.flatten(2).transpose(1, 2).flatten(1) for one in levels_BKSS], dim=1)
    scores_BN, places_BN = best(flat_BQ, min(count, flat_BQ.shape[1]))
    cells_BN = places_BN.div(classes, rounding_mode="floor")
    return scores_BN, cells_BN, places_BN - cells_BN * classes


def answer_objects(
    masks_BNhw: Tensor,
    scores_BN: Tensor,
    class_ids_BN: Tensor,
    size: Sequence[int],
    slots: int,
    mask_stride: int,
) -> dict[str, Tensor]:
    """Masks, rescored by their own certainty and suppressed, as `slots` objects with boxes.

    Args:
        masks_BNhw: probabilities of each candidate, over the whole input.
        scores_BN: of them.
        class_ids_BN: of them.
        size: (height, width) of the input.
        slots: M.
        mask_stride: of the masks that are answered.
    """
    inside_BNhw = (masks_BNhw > MASK_THRESHOLD).to(masks_BNhw.dtype)
    area_BN = inside_BNhw.sum(dim=(2, 3))
    certain_BN = (masks_BNhw * inside_BNhw).sum(dim=(2, 3)) / area_BN.clamp_min(1e-6)
    scores_BN, order_BN = (scores_BN * certain_BN * (area_BN > 0)).sort(dim=1, descending=True)
    class_ids_BN = rows_at(class_ids_BN, order_BN)
    inside_BNP = rows_at(inside_BNhw.flatten(2), order_BN)
    scores_BN = matrix_nms(inside_BNP, class_ids_BN, scores_BN)
    scores_BM, chosen_BM = best(scores_BN, slots)
    own_BMhw = rows_at(masks_BNhw, rows_at(order_BN, chosen_BM))
    grid = tuple(-(-int(side) // mask_stride) for side in size)
    if own_BMhw.shape[-2:] != grid:
        own_BMhw = resized(own_BMhw, grid)
    seen_BMhw = own_BMhw > MASK_THRESHOLD
    boxes_BM4, any_BM = mask_extents(seen_BMhw, mask_stride)
    scores_BM, order_BM = (scores_BM * any_BM).sort(dim=1, descending=True)
    return {
        "boxes": rows_at(boxes_BM4, order_BM),
        "scores": scores_BM,
        "class_ids": rows_at(rows_at(class_ids_BN, chosen_BM), order_BM).to(torch.int32),
        "masks": rows_at(seen_BMhw.to(torch.uint8), order_BM),
    }
