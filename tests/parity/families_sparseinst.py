"""SparseInst: sizes are read from the golden's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from maskwright.architectures import sparseinst
from maskwright.architectures.contract import Network
from maskwright.architectures.encoders import RESNET_FORMS, RESNETS

Golden = Mapping[str, Any]
Weights = dict[str, Tensor]


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered children a name has: 3 for prefix.0 to prefix.2."""
    rest = (name[len(prefix) + 1 :] for name in weights if name.startswith(f"{prefix}."))
    return len({part.split(".")[0] for part in rest})


def _encoder(weights: Weights) -> str:
    stages = [f"encoder.layer{stage}" for stage in (1, 2, 3, 4)]
    depths = tuple(_count(weights, stage) for stage in stages)
    bottleneck = "encoder.layer1.0.conv3.weight" in weights
    deformable = tuple(
        number + 1
        for number, stage in enumerate(stages)
        if f"{stage}.0.conv2.offset.weight" in weights
    )
    average = "encoder.layer2.0.downsample.2.weight" in weights
    return next(
        name
        for name, sizes in (RESNETS | RESNET_FORMS).items()
        if (sizes.depths, sizes.bottleneck) == (depths, bottleneck)
        and (sizes.deformable, sizes.average_shortcut) == (deformable, average)
    )


def _width(weights: Weights) -> int:
    """C of the instance branch."""
    return weights["instances.convs.0.conv.weight"].shape[0]


def _learnable(weights: Weights) -> int:
    """Parameters, if every norm had them."""
    return sum(one.numel() for name, one in weights.items() if ".running_" not in name)


def build(golden: Golden, weights: Weights) -> Network:
    groups = weights["instances.classify.weight"].shape[1] // _width(weights)
    return sparseinst.SparseInst(
        sparseinst.SparseInstConfig(
            classes=weights["instances.classify.weight"].shape[0],
            encoder=_encoder(weights),
            encoder_width=weights["encoder.layer1.0.conv2.weight"].shape[0] / 64,
            # frozen norms' scales and shifts are buffers: nobody counts them as parameters
            frozen_norm=_learnable(weights) > golden["parameters"],
            instances=weights["instances.activate.weight"].shape[0] // groups,
            groups=groups,
            softmax="instances.softmax_bias" in weights,
            width=weights["context.fuse.weight"].shape[0],
            instance_width=_width(weights),
            mask_width=weights["masks.project.weight"].shape[1],
            convs=_count(weights, "masks.convs"),
            kernel_width=weights["masks.project.weight"].shape[0],
        )
    )


def run(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    """Every step's tensors under the authors' names."""
    assert isinstance(network, sparseinst.SparseInst)
    every = network.encoder(images_B3HW)
    backbone = [every[level] for level in network.levels]
    fused_BChw = network.fuse(images_B3HW)
    seen_BChw = network.instances.see(fused_BChw)
    kernels_BNC = network.instances(network.instances.describe(seen_BChw))[2]
    outputs = network(images_B3HW)
    named = {f"res{stage}": one for stage, one in zip((3, 4, 5), backbone)}
    named |= {f"layer{stage}": one for stage, one in zip((2, 3, 4), backbone)}
    named |= {
        "encoder": fused_BChw,
        "pred_logits": outputs["logits_BNK"],
        "pred_masks": outputs["mask_logits_BNhw"],
        "pred_scores": outputs["objectness_BN1"],
        "pred_iam": sparseinst.twice(network.instances.activate(seen_BChw)),
        "kernels": kernels_BNC,
        "final_scores": sparseinst.final_scores(outputs),
    }
    return {name: one for name, one in named.items() if name in golden["outputs"]}
