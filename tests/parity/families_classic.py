"""FCN, SegNet and the dilated networks: goldens -> our networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from maskwright.architectures import fcn, segnet
from maskwright.architectures.contract import Network
from maskwright.architectures.encoders.vgg import rgb_images

Golden = Mapping[str, Any]
Weights = dict[str, Tensor]


def count(weights: Weights, prefix: str) -> int:
    """How many numbered children a name has: 3 for prefix.0 to prefix.2."""
    rest = (name[len(prefix) + 1 :] for name in weights if name.startswith(f"{prefix}."))
    return len({part.split(".")[0] for part in rest})


def stage_sizes(weights: Weights, prefix: str) -> dict[str, tuple[int, ...]]:
    """Widths and depths of a list of VGG's stages."""
    stages = [f"{prefix}.{stage}" for stage in range(count(weights, prefix))]
    return {
        "widths": tuple(weights[f"{stage}.0.conv.weight"].shape[0] for stage in stages),
        "depths": tuple(count(weights, stage) for stage in stages),
    }


# FCN


def build_fcn(golden: Golden, weights: Weights) -> Network:
    at_once = "AtOnce" in golden["about"]["cls"]
    return fcn.FCN(
        fcn.FCNConfig(
            classes=weights["score32.weight"].shape[0],
            stride=weights["enlarge.weight"].shape[-1] // 2,
            fc_width=weights["fc6.conv.weight"].shape[0],
            fc_kernel=weights["fc6.conv.weight"].shape[-1],
            skip_scales=(0.01, 0.0001) if at_once else (1.0, 1.0),
            **stage_sizes(weights, "stages"),
        )
    )


def run_fcn(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    return {"output": network(rgb_images(images_B3HW))["logits"]}


# SegNet


def build_segnet(golden: Golden, weights: Weights) -> Network:
    return segnet.SegNet(
        segnet.SegNetConfig(
            classes=weights["classify.weight"].shape[0],
            ceil=golden["about"]["cls"] != "SegNet",
            **stage_sizes(weights, "encoder"),
        )
    )


def run_segnet(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    """The authors' own takes BGR 0..255, the re-implementation what it is given."""
    assert isinstance(network, segnet.SegNet)
    if golden["about"]["cls"] == "SegNet":
        std = images_B3HW.new_tensor(network.config.std).view(1, 3, 1, 1)
        logits_BKHW = network(images_B3HW / std)["logits"]
        return {"0": logits_BKHW, "1": logits_BKHW.softmax(dim=1)}
    images_B3HW = rgb_images(images_B3HW)
    return {
        "logits": network(images_B3HW)["logits"],
        "pool5": network.encode(images_B3HW)[0],
    }
