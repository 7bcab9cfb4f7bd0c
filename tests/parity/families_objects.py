"""Networks that answer with objects: Mask R-CNN.

Sizes are read from the golden's shapes; what no shape tells, from `about`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from maskwright.architectures import maskrcnn
from maskwright.architectures.contract import Network
from maskwright.architectures.encoders import RESNETS
from maskwright.layers.regions import pool_regions

Golden = Mapping[str, Any]
Weights = dict[str, Tensor]


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered children a name has: 3 for prefix.0 to prefix.2."""
    rest = (name[len(prefix) + 1 :] for name in weights if name.startswith(f"{prefix}."))
    return len({part.split(".")[0] for part in rest})


def _widths(weights: Weights, prefix: str) -> tuple[int, ...]:
    """C of each of a sequence of convolutions."""
    count = _count(weights, prefix)
    return tuple(weights[f"{prefix}.{i}.conv.weight"].shape[0] for i in range(count))


def _resnet(weights: Weights) -> str:
    depths = tuple(_count(weights, f"encoder.layer{stage}") for stage in (1, 2, 3, 4))
    bottleneck = "encoder.layer1.0.conv3.weight" in weights
    return next(
        name
        for name, sizes in RESNETS.items()
        if (sizes.depths, sizes.bottleneck) == (depths, bottleneck)
    )


# Mask R-CNN


def build_maskrcnn(golden: Golden, weights: Weights) -> Network:
    layers = sorted(
        int(name.split(".")[2])
        for name in weights
        if name.startswith("box_head.layers.") and name.endswith(".weight")
    )
    return maskrcnn.MaskRCNN(
        maskrcnn.MaskRCNNConfig(
            classes=weights["box_head.scores.weight"].shape[0] - 1,
            encoder=_resnet(weights),
            encoder_width=weights["encoder.conv1.weight"].shape[0] / 64,
            width=weights["pyramid.smooth.0.conv.weight"].shape[0],
            proposal_convs=_count(weights, "proposer.convs"),
            box_convs=_widths(weights, "box_head.convs"),
            box_layers=tuple(weights[f"box_head.layers.{i}.weight"].shape[0] for i in layers),
            mask_convs=_widths(weights, "mask_head.convs"),
            mask_width=weights["mask_head.enlarge.weight"].shape[1],
            norm="pyramid.smooth.0.norm.weight" in weights,
        )
    )


def run_maskrcnn(
    network: Network, golden: Golden, images_B3HW: Tensor, places_N4: Tensor
) -> dict[str, Tensor]:
    """Every part in the reference's order, on the golden's own regions."""
    assert isinstance(network, maskrcnn.MaskRCNN)
    every = network.encoder(images_B3HW)
    features = network.pyramid([every[level] for level in network.levels])
    names = [*map(str, range(len(features) - 1)), "pool"]
    outputs = {f"fpn.{name}": one for name, one in zip(names, features)}
    for number, one in enumerate(features):
        objectness, deltas = network.proposer(one)
        outputs |= {f"rpn_objectness.{number}": objectness, f"rpn_deltas.{number}": deltas}
    height, width = images_B3HW.shape[-2:]
    x, y = (places_N4[:, 0] + 1) / 2 * width, (places_N4[:, 1] + 1) / 2 * height
    half_w, half_h = ((places_N4[:, i] + 1) / 4 * side + 8 for i, side in ((2, width), (3, height)))
    corners = [x - half_w / 2, y - half_h / 2, x + half_w / 2, y + half_h / 2]
    boxes_N4 = maskrcnn.clip_boxes(torch.stack(corners, dim=1), (height, width))
    regions = pool_regions(features[:-1], boxes_N4[None], maskrcnn.STRIDES, maskrcnn.BOX_SIDE)
    described = network.box_head.describe(regions)
    logits, offsets = network.box_head(described)
    for_masks = pool_regions(features[:-1], boxes_N4[None], maskrcnn.STRIDES, maskrcnn.MASK_SIDE)
    return outputs | {
        "anchors": network(images_B3HW)["anchors_N4"],
        "proposals": boxes_N4,
        "box_roi": regions,
        "box_feature": described,
        "class_logits": logits,
        "box_deltas": offsets,
        "mask_roi": for_masks,
        "mask_logits": network.mask_head(for_masks),
    }


PORTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    r"maskrcnn_resnet\d+_fpn.*": (maskrcnn.CARD.from_reference, build_maskrcnn, run_maskrcnn),
}
"""Pattern of the reference class -> from_reference, build, run."""
