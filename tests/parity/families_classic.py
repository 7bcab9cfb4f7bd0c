"""FCN, SegNet and the dilated networks: goldens -> our networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskwright.architectures import dilation, fcn, segnet
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


# Dilated networks


def build_dilation(golden: Golden, weights: Weights) -> Network:
    """The whole network, the front end or the context module: what the golden has weights of."""
    classify = weights.get("context.project.weight", weights.get("front_end.classify.weight"))
    assert classify is not None
    classes, layers = classify.shape[0], count(weights, "context.layers")
    widths = [weights[f"context.layers.{n}.conv.weight"].shape[0] for n in range(layers)]
    whole = "front_end.fc6.conv.weight" in weights
    sizes: dict[str, Any] = {}
    if whole:
        sizes = stage_sizes(weights, "front_end.stages") | {
            "fc_width": weights["front_end.fc6.conv.weight"].shape[0],
            "fc_kernel": weights["front_end.fc6.conv.weight"].shape[-1],
        }
    network = dilation.Dilation(
        dilation.DilationConfig(
            classes=classes,
            # all of the authors' modules: 1, 1, then doubling, and 1 again
            context_dilations=(1, *(2**n for n in range(layers - 2)), 1)[:layers],
            context_multiples=tuple(width // classes for width in widths),
            context_pads_once="pascal_voc" in golden["about"].get("file", ""),
            learned_enlargement="enlarge.weight" in weights,
            **sizes,
        )
    )
    if not whole:
        network.front_end = torch.nn.Identity()
    return network


def run_dilation(network: Network, golden: Golden, maps: Tensor) -> dict[str, Tensor]:
    """Images that have their margins already, or scores where the context module stands alone."""
    assert isinstance(network, dilation.Dilation)
    outputs = {}
    if isinstance(network.front_end, dilation.FrontEnd):
        maps = network.front_end(rgb_images(maps))
        outputs |= dict.fromkeys(("final", "fc-final"), maps)
    maps = network.context(maps)
    outputs |= dict.fromkeys(("ct_final", "ctx_final"), maps)
    maps = network.enlarge(maps)
    outputs |= dict.fromkeys(("upsample", "ctx_upsample"), maps)
    outputs["prob"] = maps.softmax(dim=1)
    return {name: output for name, output in outputs.items() if name in golden["outputs"]}
