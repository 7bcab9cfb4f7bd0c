"""Region mutual information: Zhao, Wang, Yang, Cai, NeurIPS 2019, arXiv 1910.12037.

Pixels depend on their neighbours, which a loss of single pixels can't see. So every pixel stands
for the vector of its small square region; truth and prediction become two clouds of such vectors,
one pair a class, and the loss grows with what the prediction leaves unexplained of the truth: the
log determinant of the truth's covariance, conditioned on the prediction.

Legend: B batch, K classes, H W the size of the truth, h w after pooling, r side of the region,
R = r r, N regions of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.core.errors import ConfigError
from maskwright.losses.cross_entropy import at_least_float32, class_map_of, cross_entropy
from maskwright.losses.over_processes import sum_over_processes
from maskwright.losses.pixel_loss import LossConfig
from maskwright.losses.targets import Targets

Pooling = Literal["max", "mean", "resize"]

_RIDGE = 5e-4
"""Added to covariances' diagonals, so that empty classes have an inverse too."""


def rmi(
    logits_BKHW: Tensor,
    targets: Targets,
    radius: int = 3,
    pool: int = 3,
    pooling: Pooling = "max",
    balance: float = 0.5,
    softmax: bool = False,
) -> Tensor:
    """Equation 17: balance * pixel-wise cross entropy + (1 - balance) * region information.

    The classes are K binary questions, as in the authors' code: the probabilities are sigmoids, and
    so is the cross entropy unless `softmax`.

    Args:
        logits_BKHW: of the truth's size.
        targets: `class_map_BHW`; void pixels count nothing.
        radius: r, the region's side in pooled pixels.
        pool: truth and prediction are first shrunk by this factor (section 3.4); 1 leaves them.
        pooling: how.
        balance: 1 leaves the pixels alone, 0 the regions.
        softmax: cross entropy of the softmax, a mean over the labelled pixels.

    Returns:
        A scalar, float32 for half precision. It may be negative: a log determinant has no floor.

    Raises:
        ValueError: the pooled truth is smaller than a region.
    """
    logits_BKHW = at_least_float32(logits_BKHW)
    pixels = cross_entropy if softmax else _binary_cross_entropy
    regions = region_information(logits_BKHW, targets, radius, pool, pooling, clamp=softmax)
    return balance * pixels(logits_BKHW, targets) + (1.0 - balance) * regions


def region_information(
    logits_BKHW: Tensor,
    targets: Targets,
    radius: int = 3,
    pool: int = 3,
    pooling: Pooling = "max",
    clamp: bool = False,
) -> Tensor:
    """Equation 14: minus the lower bound of the mutual information, summed over the classes.

    It is divided by R, and averaged over the labelled images of the batch. Arguments and errors are
    those of `rmi`, but for `clamp`: the authors keep probabilities off 0 by adding 1e-6, and beside
    the softmax by clamping to it.
    """
    labelled_B1HW, truth_BKHW = _one_hot(logits_BKHW, targets)
    found_BKHW = logits_BKHW.sigmoid() * labelled_B1HW
    found_BKHW = found_BKHW.clamp_min(1e-6) if clamp else found_BKHW + 1e-6
    truth_BKhw = _pool(truth_BKHW, pool, pooling, "nearest")
    found_BKhw = _pool(found_BKHW, pool, pooling, "bilinear")
    if min(truth_BKhw.shape[-2:]) < radius:
        raise ValueError(
            f"expected a truth of {radius}x{radius} or more after pooling by {pool}, got "
            f"{tuple(truth_BKhw.shape[-2:])} from {tuple(truth_BKHW.shape[-2:])}"
        )
    log_determinant_BK = _unexplained(_regions(truth_BKhw, radius), _regions(found_BKhw, radius))
    known_B = labelled_B1HW.flatten(1).any(dim=1).to(log_determinant_BK.dtype)
    total, images = sum_over_processes(
        (log_determinant_BK.sum(dim=1) * known_B).sum(), known_B.sum()
    )
    return (0.5 * total / images.clamp_min(1) / radius**2).to(logits_BKHW.dtype)


def _unexplained(truth_BKRN: Tensor, found_BKRN: Tensor) -> Tensor:
    """Equations 12 and 13: log det of the truth's covariance, given the prediction -> BK."""
    ridge_RR = _RIDGE * torch.eye(truth_BKRN.shape[2], dtype=torch.float64).to(truth_BKRN)
    truth_BKRR = truth_BKRN @ truth_BKRN.mT
    across_BKRR = truth_BKRN @ found_BKRN.mT
    found_BKRR = found_BKRN @ found_BKRN.mT + ridge_RR
    explained_BKRR = across_BKRR @ torch.linalg.solve(found_BKRR, across_BKRR.mT)
    root_BKRR = torch.linalg.cholesky(truth_BKRR - explained_BKRR + ridge_RR)
    return 2.0 * torch.log(root_BKRR.diagonal(dim1=-2, dim2=-1) + 1e-8).sum(dim=-1)


def _regions(maps_BKhw: Tensor, radius: int) -> Tensor:
    """Every r x r region as a column, in float64, centred -> BKRN."""
    columns_BKRN = F.unfold(maps_BKhw.flatten(0, 1).unsqueeze(1), radius).unflatten(
        0, maps_BKhw.shape[:2]
    )
    columns_BKRN = columns_BKRN.double()
    return columns_BKRN - columns_BKRN.mean(dim=3, keepdim=True)


def _pool(maps_BKHW: Tensor, pool: int, pooling: Pooling, resize: str) -> Tensor:
    if pool == 1:
        return maps_BKHW
    if pooling == "max":
        return F.max_pool2d(maps_BKHW, pool, pool, pool // 2)
    if pooling == "mean":
        return F.avg_pool2d(maps_BKHW, pool, pool, pool // 2)
    size = (maps_BKHW.shape[-2] // pool, maps_BKHW.shape[-1] // pool)
    align = True if resize == "bilinear" else None
    return F.interpolate(maps_BKHW, size=size, mode=resize, align_corners=align)


def _binary_cross_entropy(logits_BKHW: Tensor, targets: Targets) -> Tensor:
    """Summed over the classes; over the labelled pixels a mean, but for one more in the count."""
    labelled_B1HW, truth_BKHW = _one_hot(logits_BKHW, targets)
    total = F.binary_cross_entropy_with_logits(
        logits_BKHW, truth_BKHW, weight=labelled_B1HW, reduction="sum"
    )
    total, labelled = sum_over_processes(total, labelled_B1HW.sum())
    return total / (labelled + 1.0)


def _one_hot(logits_BKHW: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """1 where a pixel is labelled, and the truth as one map a class; both of the logits' type."""
    truth_BHW = class_map_of(logits_BKHW, targets)
    labelled_BHW = truth_BHW != targets.void
    ids_B1HW = truth_BHW.masked_fill(~labelled_BHW, 0).unsqueeze(1)
    labelled_B1HW = labelled_BHW.unsqueeze(1).to(logits_BKHW.dtype)
    maps_BKHW = torch.zeros_like(logits_BKHW, requires_grad=False)
    return labelled_B1HW, maps_BKHW.scatter(1, ids_B1HW, labelled_B1HW)


@dataclass(frozen=True, kw_only=True)
class Rmi(LossConfig):
    """Region mutual information.

    Attributes:
        radius: the region's side in pooled pixels.
        pool: truth and prediction are first shrunk by this factor.
        pooling: how.
        balance: 1 leaves the pixels alone, 0 the regions.
        softmax: cross entropy of the softmax beside it, in place of sigmoids.
    """

    radius: int = 3
    pool: int = 3
    pooling: Pooling = "max"
    balance: float = 0.5
    softmax: bool = False

    def __post_init__(self) -> None:
        if self.radius < 1 or self.pool < 1 or not 0 <= self.balance <= 1:
            raise ConfigError(
                "expected rmi with radius >= 1, pool >= 1 and balance in 0..1, got "
                f"radius={self.radius}, pool={self.pool}, balance={self.balance}."
            )

    def __call__(
        self, logits_BKHW: Tensor, targets: Targets, weights_K: Tensor | None = None
    ) -> Tensor:
        """As `rmi`."""
        return rmi(
            logits_BKHW,
            targets,
            self.radius,
            self.pool,
            self.pooling,
            self.balance,
            self.softmax,
        )
