"""Soft Dice loss (Milletari, Navab, Ahmadi: V-Net, 3DV 2016, section 3), one term a class.

Legend: B batch, K classes, H W the size of the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maskwright.core.errors import ConfigError
from maskwright.losses.cross_entropy import at_least_float32, class_map_of
from maskwright.losses.over_processes import sum_over_processes
from maskwright.losses.pixel_loss import LossConfig
from maskwright.losses.targets import Targets


def dice(logits_BKHW: Tensor, targets: Targets, smooth: float = 0.0, eps: float = 1e-7) -> Tensor:
    """1 - 2 |P T| / (|P| + |T|) of each class over the whole batch, averaged.

    Classes that the batch's truth lacks add 0 to the mean, so that the scale does not jump with
    the batch; void pixels count nothing. The batch is that of all processes, where many train
    together.

    Args:
        logits_BKHW: of the truth's size; their softmax is P.
        targets: `class_map_BHW`; its one-hot form is T.
        smooth: added to numerator and denominator.
        eps: lower bound of the denominator.

    Returns:
        A scalar in 0..1, float32 for half precision.
    """
    truth_BHW = class_map_of(logits_BKHW, targets)
    classes = logits_BKHW.shape[1]
    labelled_BHW = truth_BHW != targets.void
    probabilities_BKHW = at_least_float32(logits_BKHW).softmax(dim=1)
    # One-hot maps would be K times the truth in int64; a gather and two sums need none.
    ids_N = truth_BHW[labelled_BHW]
    all_N = truth_BHW.masked_fill(~labelled_BHW, 0).unsqueeze(1)
    hit_N = probabilities_BKHW.gather(1, all_N).squeeze(1)[labelled_BHW]
    overlap_K = hit_N.new_zeros(classes).index_add(0, ids_N, hit_N)
    truth_K = ids_N.bincount(minlength=classes).to(hit_N.dtype)
    predicted_K = (probabilities_BKHW * labelled_BHW.unsqueeze(1)).sum(dim=(0, 2, 3))
    overlap_K, truth_K, predicted_K = sum_over_processes(overlap_K, truth_K, predicted_K)
    dice_K = (2 * overlap_K + smooth) / (truth_K + predicted_K + smooth).clamp_min(eps)
    return ((1 - dice_K) * (truth_K > 0)).mean()


@dataclass(frozen=True, kw_only=True)
class Dice(LossConfig):
    """Soft Dice.

    Attributes:
        smooth: added to numerator and denominator; 0 is the paper's.
    """

    smooth: float = 0.0

    def __post_init__(self) -> None:
        if self.smooth < 0:
            raise ConfigError(f"expected smooth >= 0 for dice, got {self.smooth}.")

    def __call__(
        self, logits_BKHW: Tensor, targets: Targets, weights_K: Tensor | None = None
    ) -> Tensor:
        """As `dice`."""
        return dice(logits_BKHW, targets, self.smooth)
