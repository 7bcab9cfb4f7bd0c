"""Which cell of a grid learns which object, by its centre and size, and the losses of SOLO.

Wang, Kong, Shen, Jiang, Li: SOLO, ECCV 2020, arXiv 1912.04488, section 3.3.

Legend: B images, G objects of an image, K classes, S cells a side of a level's grid, Q cells with
an object, h w of a level's masks; xyxy in the input's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes

CENTRE = 0.2
"""Share of an object's box, around its centre of mass, whose cells learn it (epsilon)."""

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


class Cells(NamedTuple):
    """What the cells of one level learn of one image.

    Attributes:
        labels_SS: int64, the class of each cell; -1 none, -2 nothing is learnt.
        cells_Q: int64, the cells that learn an object, row by row.
        objects_Q: int64, the object of each.
    """

    labels_SS: Tensor
    cells_Q: Tensor
    objects_Q: Tensor


@torch.no_grad()
def assign_cells(
    truth: ObjectTruth,
    cells: int,
    sizes: tuple[float, float],
    size: Sequence[int],
) -> Cells:
    """The cells in the middle of each object of a level's sizes; at most three by three.

    Args:
        truth: of the image.
        cells: S.
        sizes: lowest and highest root of width times height, in pixels.
        size: (height, width) of the input.
    """
    device = truth.boxes_N4.device
    labels = torch.full((cells, cells), -1, dtype=torch.int64, device=device)
    owners = torch.full((cells, cells), -1, dtype=torch.int64, device=device)
    sides_G2 = (truth.boxes_N4[:, 2:] - truth.boxes_N4[:, :2]).clamp_min(0)
    scale_G = sides_G2.prod(dim=1).sqrt()
    own = ((scale_G >= sizes[0]) & (scale_G <= sizes[1])).nonzero().squeeze(1).tolist()
    for one in sorted(own, key=lambda g: -float(scale_G[g])):  # the smaller over the larger
        x, y = centre_of(truth, one)
        width, height = sides_G2[one].tolist()
        columns = _around(x, width, float(size[1]), cells)
        rows = _around(y, height, float(size[0]), cells)
        labels[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = truth.class_ids_N[one]
        owners[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = one
    for left, top, right, bottom in truth.crowds_M4.tolist():
        rows, columns = (
            (math.floor(low / side * cells), math.ceil(high / side * cells))
            for low, high, side in ((top, bottom, float(size[0])), (left, right, float(size[1])))
        )
        region = labels[rows[0] : rows[1], columns[0] : columns[1]]
        region[region == -1] = -2
    chosen = (owners.flatten() >= 0).nonzero().squeeze(1)
    return Cells(labels_SS=labels, cells_Q=chosen, objects_Q=owners.flatten()[chosen])


def scaled_sizes(
    sizes: Sequence[tuple[float, float]], size: Sequence[int], reference: float
) -> list[tuple[float, float]]:
    """Sizes for an input whose shorter side is `reference` -> for one of (height, width).

    The first level begins and the last ends at any size.
    """
    factor = min(size) / reference
    grown = [(low * factor, high * factor) for low, high in sizes]
    grown[0], grown[-1] = (0.0, grown[0][1]), (grown[-1][0], math.inf)
    return grown


def grid_losses(
    levels_BKSS: Sequence[Tensor],
    mask_chances: Callable[[int, int, Tensor], Tensor],
    truths: Sequence[ObjectTruth],
    sizes: Sequence[tuple[float, float]],
    size: Sequence[int],
) -> dict[str, Tensor]:
    """Focal loss of the cells by the number of those with an object, and one; mean Dice of masks.

    Args:
        levels_BKSS: logits of each level.
        mask_chances: (level, image, cells) -> probabilities of their masks, [Q, h, w].
        truths: of each image.
        sizes: of each level, lowest and highest root of width times height.
        size: (height, width) of the input.

    Returns:
        "classes" and "masks", by the whole batch of all processes.
    """
    logits = [at_least_float32(one) for one in levels_BKSS]
    sums_4 = (torch.stack([one.sum() for one in logits]).sum() * 0).expand(4)
    for image, truth in enumerate(truths):
        for level, (own, bounds) in enumerate(zip(logits, sizes)):
            if truth.known:
                given = assign_cells(truth, own.shape[-1], bounds, size)
                masks = _mask_sums(partial(mask_chances, level, image), truth, given, own)
                classes = class_loss(own[image], given.labels_SS)
                count = classes.new_tensor(float(len(given.cells_Q)))
                sums_4 = sums_4 + torch.stack([classes, count, *masks])
    (sums_4,) = sum_over_processes(sums_4)
    summed, cells, dice, number = sums_4.unbind()
    return {"classes": summed / (cells + 1), "masks": dice / number.clamp_min(1)}


def _mask_sums(
    chances: Callable[[Tensor], Tensor], truth: ObjectTruth, given: Cells, like: Tensor
) -> tuple[Tensor, Tensor]:
    """The sum of the masks' Dice losses, and their number."""
    known_Q = truth.has_mask_N[given.objects_Q]
    cells_Q, objects_Q = given.cells_Q[known_Q], given.objects_Q[known_Q]
    if truth.masks_NHW is None or not len(cells_Q):
        return like.new_zeros(()), like.new_zeros(())
    found_Qhw = chances(cells_Q)
    wanted_Qhw = small_masks(truth.masks_NHW, objects_Q, found_Qhw.shape[-2:]).to(found_Qhw.dtype)
    return dice_losses(found_Qhw, wanted_Qhw).sum(), like.new_tensor(float(len(cells_Q)))


def _around(middle: float, length: float, side: float, cells: int) -> tuple[int, int]:
    """First and last cell of the middle part of an object along one side."""
    at = min(cells - 1, max(0, math.floor(middle / side * cells)))
    low = math.floor((middle - CENTRE * length / 2) / side * cells)
    high = math.floor((middle + CENTRE * length / 2) / side * cells)
    return max(0, low, at - 1), min(cells - 1, high, at + 1)


def centre_of(truth: ObjectTruth, one: int) -> tuple[float, float]:
    """x, y: the mask's centre of mass, or the box's middle where there is none."""
    left, top, right, bottom = truth.boxes_N4[one].tolist()
    if truth.masks_NHW is None or not bool(truth.has_mask_N[one]):
        return (left + right) / 2, (top + bottom) / 2
    mask = truth.masks_NHW[one].float()
    rows, columns, area = mask.sum(dim=1), mask.sum(dim=0), float(mask.sum())
    if not area:
        return (left + right) / 2, (top + bottom) / 2
    y = float((rows * (torch.arange(len(rows)).to(rows) + 0.5)).sum()) / area
    x = float((columns * (torch.arange(len(columns)).to(columns) + 0.5)).sum()) / area
    return x, y


def class_loss(logits_KSS: Tensor, labels_SS: Tensor) -> Tensor:
    """Focal loss (Lin et al., ICCV 2017), summed over the cells that are learnt of."""
    known_SS = labels_SS > -2
    wanted_KSS = torch.zeros_like(logits_KSS)
    rows, columns = (labels_SS >= 0).nonzero(as_tuple=True)
    wanted_KSS[labels_SS[rows, columns], rows, columns] = 1
    each = sigmoid_focal_loss(logits_KSS, wanted_KSS, FOCAL_ALPHA, FOCAL_GAMMA)
    return (each * known_SS).sum()


def small_masks(masks_NHW: Tensor, objects_Q: Tensor, grid: Sequence[int]) -> Tensor:
    """The objects' masks at a level's resolution, averaged over its pixels, 0..1 [Q, h, w]."""
    used, row = objects_Q.unique(return_inverse=True)
    masks = masks_NHW[used].float().unsqueeze(1)
    small = F.interpolate(masks, (int(grid[0]), int(grid[1])), mode="area").squeeze(1)
    return small[row]


def dice_losses(chances_Qhw: Tensor, wanted_Qhw: Tensor) -> Tensor:
    """1 - 2 sum(p q) / (sum(p^2) + sum(q^2)) of each mask, [Q] (equation 5)."""
    found, wanted = chances_Qhw.flatten(1), wanted_Qhw.flatten(1)
    common = (found * wanted).sum(dim=1)
    both = found.square().sum(dim=1) + wanted.square().sum(dim=1)
    return 1 - 2 * common / both.clamp_min(1e-3)
