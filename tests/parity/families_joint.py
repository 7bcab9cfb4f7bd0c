"""Networks of several tasks: MultiNet. Sizes are read from the golden's shapes, then `about`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from maskwright.architectures import multinet
from maskwright.architectures.contract import Network
from maskwright.architectures.encoders.vgg import rgb_images

Golden = Mapping[str, Any]
Weights = dict[str, Tensor]


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered children a name has: 3 for prefix.0 to prefix.2."""
    rest = (name[len(prefix) + 1 :] for name in weights if name.startswith(f"{prefix}."))
    return len({part.split(".")[0] for part in rest})


def build_multinet(golden: Golden, weights: Weights) -> Network:
    args = golden["about"]["args"]
    vgg = "encoder.fc6.conv.weight" in weights
    prefix = "encoder.stages" if vgg else "encoder.body.stages"
    stages = [f"{prefix}.{stage}" for stage in range(_count(weights, prefix))]
    first = "0.conv" if vgg else "0.a.conv"
    widths = tuple(weights[f"{stage}.{first}.weight"].shape[0] for stage in stages)
    fc6 = weights["encoder.fc6.conv.weight"].shape if vgg else (4096, 0, 7)
    hidden, deep = weights["detect.hidden.weight"].shape
    second, seen = weights["detect.second.weight"].shape
    rezoom = tuple(map(float, args["rezoom"]))
    pixels = weights["segment.score32.weight"].shape[0]
    boxes = weights["detect.confidences.weight"].shape[0] - 1
    labels = "label.scores.weight" in weights
    told = weights["label.scores.weight"].shape[0] if labels else 0
    return multinet.MultiNet(
        multinet.MultiNetConfig(
            classes=max(pixels, boxes, told),
            encoder="vgg" if vgg else "resnet",
            widths=widths,
            depths=tuple(_count(weights, stage) for stage in stages),
            fc_width=fc6[0],
            fc_kernel=fc6[-1],
            from_dense=vgg and deep != widths[-1],
            hidden=hidden,
            early_width=(seen - hidden) // len(rezoom) ** 2,
            second_width=second,
            rezoom=rezoom,
            scale_down=args["scale_down"],
            labels=labels,
            label_width=weights["label.narrow.weight"].shape[0] if labels else 1,
            grid=tuple(args["grid"]),
            pixel_classes=pixels,
            box_classes=boxes,
            label_classes=told,
        )
    )


def run_multinet(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    assert isinstance(network, multinet.MultiNet)
    mean_3 = torch.tensor(multinet.MEANS[network.sizes.encoder], dtype=images_B3HW.dtype)
    levels_B3HW = (images_B3HW + 1) * 127.5 - 255 * mean_3.view(3, 1, 1)
    images_B3HW = rgb_images(levels_B3HW.flip(1))
    features = network.encoder(images_B3HW)
    raw = network(images_B3HW)
    sure_GN = raw["second_confidences_BGN"].flatten(0, 1)
    first_G14, second_G14 = (
        raw[name].flatten(0, 1).unsqueeze(1) for name in ("boxes_BG4", "second_boxes_BG4")
    )
    outputs = {
        "seg_logits": raw["logits"],
        "pred_boxes": first_G14,
        "pred_logits": raw["confidences_BGN"].flatten(0, 1).unsqueeze(1),
        "pred_confs_deltas": sure_GN,
        "pred_confidences": sure_GN.softmax(dim=-1).unsqueeze(1),
        "pred_boxes_deltas": second_G14 - first_G14,
        "pred_boxes_new": second_G14,
        "deep_feat": features.deep_BChw32,
        "early_feat": features.early_BChw8,
    }
    return outputs | ({"road_logits": raw["labels_BK"]} if "labels_BK" in raw else {})


PORTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    r"(VGG|ResNet)-?\d+( \w+)* encoder": (
        multinet.CARD.from_reference,
        build_multinet,
        run_multinet,
    ),
}
"""Pattern of the reference class -> from_reference, build, run."""
