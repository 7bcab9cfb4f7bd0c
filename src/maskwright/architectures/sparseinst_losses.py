"""What SparseInst learns by: bipartite matching and four losses (section 3.3 of the paper).

Legend: B images, N instances, M objects of an image, K classes, H W of the input, h w of the masks,
P = h w; xyxy in the input's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from maskwright.losses.matching import best_matching
from maskwright.losses.object_truth import ObjectTruth
from maskwright.losses.over_processes import sum_over_processes

ALPHA, BETA = 0.8, 0.2
"""Exponents of dice score and class probability in the score of a pair (equation 5)."""

WEIGHTS = {"classes": 2.0, "dice": 2.0, "masks": 5.0, "objectness": 1.0}
"""Of the four losses in the total (equation 6 and section 4)."""

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
IOU_THRESHOLD = 0.4
"""Of mask probabilities, where their IoU with the truth is measured for the objectness."""

_AT_ONCE = 32
"""Masks of the truth that are made float and shrunk together, to bound the memory."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The truth of one image at the size of the masks.

    Attributes:
        class_ids_M: int64, of the objects whose masks are known.
        masks_MP: 0..1.
        unknown_P: bool, inside of crowds and of boxes without masks: what is there is not known.
    """

    class_ids_M: Tensor
    masks_MP: Tensor
    unknown_P: Tensor


def set_losses(outputs: Mapping[str, Tensor], truths: Sequence[ObjectTruth]) -> dict[str, Tensor]:
    """Class, dice, mask and objectness losses, weighted, and "total".

    All are means over the matched pairs of all processes. Where no image is labelled, zeros.

    Args:
        outputs: "logits_BNK", "objectness_BN1" and "mask_logits_BNhw" as the network gives them and
            "size_2", the input's height and width.
        truths: of each image.
    """
    logits_BNK = outputs["logits_BNK"]
    size = tuple(outputs["size_2"].tolist())
    with torch.autocast(logits_BNK.device.type, enabled=False):
        logits = _float32(logits_BNK)
        objectness = _float32(outputs["objectness_BN1"]).squeeze(-1)
        masks = _float32(outputs["mask_logits_BNhw"])
        # connected to every output, whatever is labelled
        connected = 0 * (logits.sum() + objectness.sum() + masks.sum())
        sums_5 = torch.stack([connected] * 5)
        for image, truth in enumerate(truths):
            if truth.known:
                wanted = shrink_truth(truth, size, masks[image])
                own = (logits[image], objectness[image], masks[image].flatten(1))
                sums_5 = sums_5 + _image_sums(*own, wanted)
        (sums_5,) = sum_over_processes(sums_5)
        means_4 = sums_5[:4] / sums_5[4].detach().clamp_min(1)
        terms = {name: WEIGHTS[name] * mean for name, mean in zip(WEIGHTS, means_4)}
    return {**terms, "total": torch.stack(list(terms.values())).sum()}


def _float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def shrink_truth(truth: ObjectTruth, size: Sequence[int], like_Nhw: Tensor) -> Wanted:
    """Truth at the size of the masks: bilinear, as the authors shrink it.

    Args:
        truth: of an image.
        size: (H, W) of the input.
        like_Nhw: masks of the network.
    """
    height, width = like_Nhw.shape[-2:]
    shrunk = [like_Nhw.new_zeros(0, height * width)]
    if truth.masks_NHW is not None and truth.has_mask_N.any():
        for masks_NHW in truth.masks_NHW[truth.has_mask_N].split(_AT_ONCE):
            masks = masks_NHW.unsqueeze(0).to(like_Nhw)
            masks = F.interpolate(masks, (height, width), mode="bilinear", align_corners=False)
            shrunk.append(masks[0].flatten(1))
    unknown = torch.cat([truth.crowds_M4, truth.boxes_N4[~truth.has_mask_N]])
    y_h = (torch.arange(height, device=like_Nhw.device) + 0.5) * (size[0] / height)
    x_w = (torch.arange(width, device=like_Nhw.device) + 0.5) * (size[1] / width)
    inside_y = (y_h >= unknown[:, 1:2]) & (y_h <= unknown[:, 3:4])
    inside_x = (x_w >= unknown[:, 0:1]) & (x_w <= unknown[:, 2:3])
    unknown_hw = (inside_y.unsqueeze(2) & inside_x.unsqueeze(1)).any(dim=0)
    return Wanted(
        class_ids_M=truth.class_ids_N[truth.has_mask_N],
        masks_MP=torch.cat(shrunk),
        unknown_P=unknown_hw.flatten(),
    )


def dice_scores(chances_NP: Tensor, masks_MP: Tensor) -> Tensor:
    """2 sum p t / (sum p^2 + sum t^2) of each pair (equation 4): 0..1, [N, M]."""
    both_NM = 2 * chances_NP @ masks_MP.T
    sizes_NM = chances_NP.square().sum(1).unsqueeze(1) + masks_MP.square().sum(1)
    return both_NM / (sizes_NM + 1e-4)


@torch.no_grad()
def match(logits_NK: Tensor, mask_logits_NP: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor]:
    """Instances and the objects that they answer for: dice^alpha * probability^beta is highest."""
    dice_NM = dice_scores(mask_logits_NP.sigmoid(), wanted.masks_MP)
    chances_NM = logits_NK.sigmoid()[:, wanted.class_ids_M]
    return best_matching(dice_NM**ALPHA * chances_NM**BETA)


def _image_sums(
    logits_NK: Tensor, objectness_N: Tensor, mask_logits_NP: Tensor, wanted: Wanted
) -> Tensor:
    """Sums over an image: of the four losses in the order of `WEIGHTS`, and the number of pairs."""
    instances, objects = match(logits_NK, mask_logits_NP, wanted)
    labels_NK = torch.zeros_like(logits_NK)
    labels_NK[instances, wanted.class_ids_M[objects]] = 1
    counts_N = ~_in_the_unknown(mask_logits_NP, wanted.unknown_P)
    counts_N[instances] = True
    focal_NK = sigmoid_focal_loss(logits_NK, labels_NK, FOCAL_ALPHA, FOCAL_GAMMA)
    found_MP, masks_MP = mask_logits_NP[instances], wanted.masks_MP[objects]
    chances_MP = found_MP.sigmoid()
    squares_M = chances_MP.square().sum(1) + masks_MP.square().sum(1)
    dice_M = 1 - 2 * (chances_MP * masks_MP).sum(1) / (squares_M + 1e-4)
    pixels_MP = F.binary_cross_entropy_with_logits(found_MP, masks_MP, reduction="none")
    overlap_M = mask_overlaps(chances_MP.detach(), masks_MP)
    objectness_M = F.binary_cross_entropy_with_logits(
        objectness_N[instances], overlap_M, reduction="none"
    )
    return torch.stack(
        [
            (focal_NK * counts_N.unsqueeze(1)).sum(),
            dice_M.sum(),
            pixels_MP.mean(dim=1).sum(),
            objectness_M.sum(),
            dice_M.new_tensor(float(len(instances))),
        ]
    )


def mask_overlaps(chances_MP: Tensor, masks_MP: Tensor) -> Tensor:
    """IoU of masks and truth, pair by pair; empty ones have 0. The objectness learns to tell it."""
    found_MP, true_MP = chances_MP >= IOU_THRESHOLD, masks_MP > 0.5
    either_M = (found_MP | true_MP).sum(1).clamp_min(1)
    return (found_MP & true_MP).sum(1).to(chances_MP.dtype) / either_M


@torch.no_grad()
def _in_the_unknown(mask_logits_NP: Tensor, unknown_P: Tensor) -> Tensor:
    """Instances of whose mask more than half lies where nothing is known: neither right nor wrong.

    Their mask is weighed by its probabilities.
    """
    chances_NP = mask_logits_NP.sigmoid()
    return (chances_NP * unknown_P).sum(1) > 0.5 * chances_NP.sum(1)
