"""HRNetV2 and OCR, CAA, DANet and DRAN: a golden -> our network, and its outputs.

Sizes are read from the golden's shapes; what no shape tells, from `about`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from maskwright.architectures import caa, danet, dran, hrnetv2, ocr
from maskwright.architectures.contract import Network

Golden = Mapping[str, Any]
Weights = dict[str, Tensor]


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered children a name has: 3 for prefix.0 to prefix.2."""
    rest = (name[len(prefix) + 1 :] for name in weights if name.startswith(f"{prefix}."))
    return len({part.split(".")[0] for part in rest})


def _width(weights: Weights, name: str) -> int:
    """C of a convolution's output."""
    return weights[f"{name}.weight"].shape[0]


def _auxiliary_too(network: nn.Module, images_B3HW: Tensor) -> dict[str, Tensor]:
    """The outputs with auxiliary heads on; batch norm and dropout stay in evaluation mode."""
    network.training = True
    outputs = network(images_B3HW)
    network.training = False
    return outputs


# HRNet


def _hrnet_sizes(golden: Golden, weights: Weights) -> dict[str, Any]:
    stages = [f"encoder.stages.{stage}" for stage in range(3)]
    return {
        "widths": tuple(
            _width(weights, f"{stages[2]}.0.branches.{branch}.0.conv1") for branch in range(4)
        ),
        "depths": (
            _count(weights, "encoder.first"),
            *(_count(weights, f"{stage}.0.branches.0") for stage in stages),
        ),
        "modules": tuple(_count(weights, stage) for stage in stages),
        "stem_width": _width(weights, "encoder.stem.0.conv"),
        "first_width": _width(weights, "encoder.first.0.conv1"),
    }


def _hrnet_from_reference(reference: Weights) -> Weights:
    """One class of the authors' name stands for the network with and without OCR."""
    with_ocr = any(name.startswith("ocr_") for name in reference)
    return (ocr.CARD if with_ocr else hrnetv2.CARD).from_reference(reference)


def _build_hrnet(golden: Golden, weights: Weights) -> Network:
    classes, sizes = _width(weights, "classify"), _hrnet_sizes(golden, weights)
    if "pixels.conv.weight" in weights:
        width, key_width = _width(weights, "pixels.conv"), _width(weights, "attention.value.conv")
        sizes["align_corners"] = golden["about"].get("args", {}).get("ALIGN_CORNERS", True)
        return ocr.OCR(ocr.OCRConfig(classes=classes, width=width, key_width=key_width, **sizes))
    kernel = weights["classify.weight"].shape[-1]
    return hrnetv2.HRNetV2(hrnetv2.HRNetV2Config(classes=classes, head_kernel=kernel, **sizes))


def _run_hrnet(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    outputs = _auxiliary_too(network, images_B3HW)
    if "regions" in outputs:
        return {"0": outputs["regions"], "1": outputs["logits"]}
    return {"output": outputs["logits"]}


# CAA: its golden holds the head alone


def _caa_from_reference(reference: Weights) -> Weights:
    ours = caa.CARD.from_reference(reference)
    return {name.removeprefix("head."): tensor for name, tensor in ours.items()}


def _build_caa(golden: Golden, weights: Weights) -> nn.Module:
    depth = _count(weights, "attention.rows.gate") - 1
    config = caa.CAAConfig(
        classes=_width(weights, "classify"),
        width=_width(weights, "entry.conv"),
        key_width=_width(weights, "attention.rows.key.conv"),
        gate_depth=max(depth, 0),
        gate_width=_width(weights, "attention.rows.gate.0") if depth > 0 else 1,
        image_level="image_level.conv.weight" in weights,
        head_width=_width(weights, "mix.conv"),
        auxiliary_width=_width(weights, "auxiliary.0.conv"),
    )
    return caa.CAAHead(config, weights["entry.conv.weight"].shape[1])


def _run_caa(head: caa.CAAHead, golden: Golden, features_BChw: Tensor) -> dict[str, Tensor]:
    entry_BChw, attention = head.entry(features_BChw), head.attention
    outputs = _auxiliary_too(head, features_BChw)
    return {
        "entry": entry_BChw,
        "v_map": caa.attention_map(attention.columns.key(entry_BChw).permute(0, 3, 2, 1)),
        "h_map": caa.attention_map(attention.rows.key(entry_BChw).permute(0, 2, 3, 1)),
        "axial": attention(entry_BChw),
        "head": head.context(features_BChw),
        **outputs,
    }


# DANet and DRANet


def _resnet_sizes(golden: Golden, weights: Weights) -> dict[str, Any]:
    about = golden["about"]
    args = about.get("args") or about.get("arguments") or {}
    stages = [f"encoder.layer{stage}" for stage in range(1, 5)]
    depths = tuple(_count(weights, stage) for stage in stages)
    grid = args.get("multi_dilation") if args.get("multi_grid") else None
    # the authors' `dilated`, on unless told, means stride 8 whatever `os` says
    stride = 8 if args.get("dilated", True) else args.get("os") or 32
    stem = [f"encoder.conv1.{number}" for number in (0, 3, 6)]
    return {
        "classes": _width(weights, "classify.1" if "classify.1.weight" in weights else "classify"),
        "encoder_depths": depths,
        "encoder_widths": tuple(_width(weights, f"{stage}.0.conv1") for stage in stages),
        "deep_stem": tuple(_width(weights, name) for name in stem if f"{name}.weight" in weights),
        "output_stride": stride,
        "multi_grid": tuple(grid[block % len(grid)] for block in range(depths[3])) if grid else (),
        "width": _width(weights, "position.0.conv"),
        "key_width": _width(weights, "position.1.query"),
    }


def _build_danet(golden: Golden, weights: Weights) -> Network:
    return danet.DANet(danet.DANetConfig(**_resnet_sizes(golden, weights)))


def _build_dranet(golden: Golden, weights: Weights) -> Network:
    auxiliary = "auxiliary.conv.conv"
    known = f"{auxiliary}.weight" in weights
    return dran.DRANet(
        dran.DRANetConfig(
            **_resnet_sizes(golden, weights),
            gathered_width=_width(weights, "channel.1.gather.conv"),
            fused_width=_width(weights, "fuse.conv"),
            detail_width=_width(weights, "gate.detail.conv"),
            auxiliary_width=_width(weights, auxiliary) if known else 1,
            auxiliary=known,
        )
    )


def _run_numbered(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    outputs = _auxiliary_too(network, images_B3HW)
    return {str(number): logits_BKHW for number, logits_BKHW in enumerate(outputs.values())}


PORTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    r".*ChannelizedAxialAttentionHead.*": (_caa_from_reference, _build_caa, _run_caa),
    "DANet": (danet.CARD.from_reference, _build_danet, _run_numbered),
    "Dran": (dran.CARD.from_reference, _build_dranet, _run_numbered),
    "HighResolutionNet": (_hrnet_from_reference, _build_hrnet, _run_hrnet),
}
"""Pattern of the reference class -> from_reference, build and run, as `Family` takes them."""
