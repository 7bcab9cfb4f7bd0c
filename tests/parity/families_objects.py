"""Networks that answer with objects: Mask R-CNN, YOLACT, SOLO, YOLOv8, YOLO11.

Sizes are read from the golden's shapes; what no shape tells, from `about`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from maskwright.architectures import (
    maskrcnn,
    solo,
    solov2,
    yoeo,
    yolact,
    yolact_losses,
    yolov2,
    yolov4_tiny,
    yolov8,
    yolov8_losses,
)
from maskwright.architectures.contract import Network
from maskwright.architectures.encoders import RESNETS
from maskwright.architectures.encoders.darknet_tiny import halved
from maskwright.layers.anchor_cells import decode_cells
from maskwright.layers.boxes import clip_boxes
from maskwright.layers.regions import pool_regions
from maskwright.layers.solo_grid import local_maxima, resized

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
    boxes_N4 = clip_boxes(torch.stack(corners, dim=1), (height, width))
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


# YOLACT


def _moving(weights: Weights) -> str:
    """How the name of an encoder ends whose convolutions move their taps."""
    if "encoder.layer2.0.conv2.offset.weight" not in weights:
        return ""
    every = "encoder.layer2.1.conv2.offset.weight" in weights
    return "-dcnv2b" if every else "-dcnv2b-sparse"


def build_yolact(golden: Golden, weights: Weights) -> Network:
    args = golden["about"]["args"]
    scales = ast.literal_eval(args["pred_scales"])
    aspects = ast.literal_eval(args["aspect"])[0][0]
    darknet = "encoder.stem.conv.weight" in weights
    stem = "encoder.stem.conv.weight" if darknet else "encoder.conv1.weight"
    return yolact.YOLACT(
        yolact.YOLACTConfig(
            classes=weights["areas.weight"].shape[0],
            encoder="darknet53" if darknet else _resnet(weights) + _moving(weights),
            encoder_width=weights[stem].shape[0] / (32 if darknet else 64),
            width=weights["head.shared.weight"].shape[0],
            prior_scales=tuple(map(tuple, scales)),
            prior_size=args["max_size"],
            aspects=tuple(aspects),
            square="plus" not in args["config"],
            prototypes=weights["prototypes.10.weight"].shape[0],
            scores_masks="scorer.0.weight" in weights,
        )
    )


def run_yolact(
    network: Network, golden: Golden, images_B3HW: Tensor, *masks: Tensor
) -> dict[str, Tensor]:
    assert isinstance(network, yolact.YOLACT)
    features = network.features(images_B3HW)
    raw = network(images_B3HW)
    height, width = images_B3HW.shape[-2:]
    low, high = (raw["priors_N4"] / images_B3HW.new_tensor([width, height] * 2)).chunk(2, dim=1)
    outputs = {
        "loc": raw["offsets_BN4"],
        "conf": raw["class_logits_BNC"],
        "mask": raw["coefficients_BNP"],
        "priors": torch.cat([(low + high) / 2, high - low], dim=1),
        "proto": raw["prototypes_BPhw"].permute(0, 2, 3, 1),
        "segm": raw["area_logits_BKhw"],
        **{f"fpn.{level}": one for level, one in enumerate(features)},
    }
    if masks:
        assert network.scorer is not None
        outputs["maskiou"] = yolact_losses.mask_ious(network.scorer, masks[0])
    return outputs


# SOLO


def _grid_sizes(golden: Golden, weights: Weights) -> dict[str, Any]:
    head = golden["about"]["args"]["bbox_head"]
    dcn = "encoder.layer2.0.conv2.offset.weight" in weights
    return {
        "classes": weights["classify.weight"].shape[0],
        "encoder": _resnet(weights) + ("-dcnv2" if dcn else ""),
        "encoder_width": weights["encoder.conv1.weight"].shape[0] / 64,
        "width": weights["pyramid.smooth.0.conv.weight"].shape[0],
        "head_width": weights["classify.weight"].shape[1],
        "depth": _count(weights, "class_convs"),
        "grids": tuple(head["num_grids"]),
        "sizes": tuple(map(tuple, head["scale_ranges"])),
    }


def build_solo(golden: Golden, weights: Weights) -> Network:
    kind = "plain" if "masks.1.0.weight" not in weights else "light"
    if _count(weights, "mask_convs") == 2:
        kind = "decoupled"
    return solo.SOLO(solo.SOLOConfig(kind=kind, **_grid_sizes(golden, weights)))


def build_solov2(golden: Golden, weights: Weights) -> Network:
    last = _count(weights, "class_convs") - 1
    return solov2.SOLOv2(
        solov2.SOLOv2Config(
            deformable=f"class_convs.{last}.conv.offset.weight" in weights,
            mask_width=weights["mask_branch.last.conv.weight"].shape[1],
            mask_channels=weights["kernels.weight"].shape[0],
            **_grid_sizes(golden, weights),
        )
    )


def run_solo(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    assert isinstance(network, solo.SOLO | solov2.SOLOv2)
    raw = network(images_B3HW)
    outputs = {f"fpn.{i}": one for i, one in enumerate(network.features(images_B3HW))}
    names = {"classes": "cate", "masks": "ins", "columns": "ins_x", "rows": "ins_y",
             "kernels": "kernel"}  # fmt: skip
    for key, value in raw.items():
        if key == "mask_features":
            outputs["mask_feat"] = value
            continue
        name, level = key.split(".")
        outputs[f"{names[name]}.{level}"] = value
        if name == "classes":
            best = local_maxima(value.sigmoid())
            outputs[f"cate_eval.{level}"] = best.permute(0, 2, 3, 1)
        elif name != "kernels":
            first = raw[f"{name}.0"].shape[-2:]
            outputs[f"{names[name]}_eval.{level}"] = resized(value.sigmoid(), first)
    return outputs


# YOLOv8 and YOLO11


def _out(weights: Weights, name: str) -> int:
    return weights[f"{name}.conv.weight"].shape[0]


def build_yolov8(golden: Golden, weights: Weights) -> Network:
    blocks = [*(f"stages.{i}" for i in range(4)), "neck.ups.0", "neck.ups.1", "neck.outs.0",
              "neck.outs.1"]  # fmt: skip
    outs = [_out(weights, f"{block}.merge") for block in blocks]
    later = "attend.split.conv.weight" in weights
    nested = tuple(f"{block}.steps.0.merge.conv.weight" in weights for block in blocks)
    masks = "heads.prototypes.first.conv.weight" in weights
    prefix = "heads.classes.0.0.1" if later else "heads.classes.0.0"
    return yolov8.YOLOv8(
        yolov8.YOLOv8Config(
            classes=weights["heads.classes.0.2.weight"].shape[0],
            widths=tuple(_out(weights, f"downs.{i}") for i in range(5)),
            stage_widths=tuple(outs[:4]),
            depths=tuple(_count(weights, f"{block}.steps") for block in blocks[:4]),
            neck_widths=tuple(outs[4:]),
            neck_depth=_count(weights, "neck.ups.0.steps"),
            inner=tuple(
                _out(weights, f"{block}.split") / 2 / out for block, out in zip(blocks[:2], outs)
            ),
            nested=nested if later else (),
            attention=_count(weights, "attend.blocks") if later else 0,
            steps=weights["heads.boxes.0.2.weight"].shape[0] // 4,
            prototypes=_out(weights, "heads.prototypes.third") if masks else 0,
            prototype_width=_out(weights, "heads.prototypes.first") if masks else 64,
            box_width=_out(weights, "heads.boxes.0.0"),
            class_width=_out(weights, prefix),
            mask_width=_out(weights, "heads.coefficients.0.0") if masks else 0,
        )
    )


def run_yolov8(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    assert isinstance(network, yolov8.YOLOv8)
    features = network.features(images_B3HW)
    raw = network.heads(features)
    boxes_BA4 = yolov8_losses.decode(raw)
    low, high = boxes_BA4.chunk(2, dim=-1)
    parts = [(low + high) / 2, high - low, raw["class_logits_BAK"].sigmoid()]
    outputs = {
        "raw.boxes": raw["sides_BA4R"].flatten(2).transpose(1, 2),
        "raw.scores": raw["class_logits_BAK"].transpose(1, 2),
        **{f"raw.feats.{level}": one for level, one in enumerate(features)},
    }
    if "coefficients_BAP" in raw:
        parts.append(raw["coefficients_BAP"])
        outputs |= {
            "raw.mask_coefficient": raw["coefficients_BAP"].transpose(1, 2),
            "raw.proto": raw["prototypes_BPhw"],
            "proto": raw["prototypes_BPhw"],
        }
    return outputs | {"decoded": torch.cat(parts, dim=-1).transpose(1, 2)}


# YOLOv4-tiny, YOEO, tiny-YOLOv2, YOLO-LITE


def _anchors(pairs: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(width), float(height)) for width, height in pairs)


def from_darknet(weights: Weights) -> Weights:
    """Two networks have no names but their sections' numbers: only one has a section 36."""
    own = yolov4_tiny if "layers.36.conv.weight" in weights else yolov2
    return own.from_reference(weights)


def build_darknet(golden: Golden, weights: Weights) -> Network:
    """Anchors don't enter the raw maps: a file of parameters doesn't tell them."""
    if "neck.reduce.conv.weight" in weights:
        return yolov4_tiny.YOLOv4Tiny(
            yolov4_tiny.YOLOv4TinyConfig(
                classes=weights["neck.fine.1.weight"].shape[0] // 3 - 5,
                width=weights["encoder.stem.conv.weight"].shape[0],
            )
        )
    count = _count(weights, "encoder.convs")
    return yolov2.YOLOv2(
        yolov2.YOLOv2Config(
            classes=weights["answer.weight"].shape[0] // 5 - 5,
            widths=_widths(weights, "encoder.convs"),
            norms=tuple(f"encoder.convs.{i}.norm.weight" in weights for i in range(count)),
            pool_last=count > 6,
        )
    )


def run_darknet(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    features = network.encoder(images_B3HW)
    if isinstance(network, yolov2.YOLOv2):
        head = network.answer(features[-1])
        return {"head.0": head, "layer9": halved(features[4])}
    assert isinstance(network, yolov4_tiny.YOLOv4Tiny)
    maps = network.neck(features)
    return {
        **{f"head.{number}": one for number, one in enumerate(maps)},
        "layer10": features[2].chunk(2, dim=1)[0],
        "layer18": features[3].chunk(2, dim=1)[0],
        "layer26": features[4],
    }


def build_yoeo(golden: Golden, weights: Weights) -> Network:
    heads = golden["about"]["yolo_heads"]
    return yoeo.YOEO(
        yoeo.YOEOConfig(
            classes=heads[0]["classes"],
            map_classes=weights["decoder.classify.conv.weight"].shape[0],
            anchors=tuple(_anchors(head["anchors"]) for head in heads),
            width=weights["encoder.stem.conv.weight"].shape[0],
        )
    )


def run_yoeo(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    assert isinstance(network, yoeo.YOEO)
    features = network.encoder(images_B3HW)
    maps, raw = network.neck(features), network(images_B3HW)
    told, values = raw["told_BNV"], 5 + network.sizes.classes
    outputs, decoded, start = {}, [], 0
    boxes_BN4 = decode_cells(told[..., :4], raw["cells_N5"])
    low, high = boxes_BN4.chunk(2, dim=-1)
    every = torch.cat([(low + high) / 2, high - low, told[..., 4:].sigmoid()], dim=-1)
    for number, one in enumerate(maps):
        batch, _, height, width = one.shape
        outputs[f"raw.{number}"] = one.view(batch, -1, values, height, width).permute(0, 1, 3, 4, 2)
        count = len(network.sizes.anchors[0]) * height * width
        # the reference lists each anchor's cells, ours each cell's anchors
        own = every[:, start : start + count].reshape(batch, height * width, -1, values)
        decoded.append(own.transpose(1, 2).reshape(batch, -1, values))
        start += count
    return outputs | {
        "seg_logits.0": raw["logits"],
        "decoded": torch.cat(decoded, dim=1),
        "seg_argmax": raw["logits"].argmax(dim=1),
    }


PORTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    r"maskrcnn_resnet\d+_fpn.*": (maskrcnn.CARD.from_reference, build_maskrcnn, run_maskrcnn),
    r"SOLO": (solo.CARD.from_reference, build_solo, run_solo),
    r"SOLOv2": (solov2.CARD.from_reference, build_solov2, run_solo),
    r"Yolact": (yolact.CARD.from_reference, build_yolact, run_yolact),
    r"ultralytics\.nn\.tasks\.(Detection|Segmentation)Model": (
        yolov8.CARD.from_reference,
        build_yolov8,
        run_yolov8,
    ),
    r"darknet cfg, run by a small torch interpreter.*": (from_darknet, build_darknet, run_darknet),
    r"Darknet": (yoeo.CARD.from_reference, build_yoeo, run_yoeo),
}
"""Pattern of the reference class -> from_reference, build, run."""
