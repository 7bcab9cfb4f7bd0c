"""A golden -> our network with the reference's weights, and its outputs under the golden's names.

`reference(golden)` and `full(golden)` hold for any configuration of a family, so every size is read
from the golden: from the shapes of its state dict, after `from_reference`, and from `about`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import families_attention
import families_classic
import families_encoder
import families_joint
import families_objects
import families_sparseinst
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures import (
    bisenetv1,
    bisenetv2,
    dilation,
    fcn,
    segformer,
    segnet,
    sparseinst,
    unet,
)
from maskwright.architectures.contract import Network

Golden = Mapping[str, Any]
Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Family:
    """How one class of reference becomes one of our networks.

    Attributes:
        from_reference: the card's.
        build: (golden, weights under our names) -> our network of that configuration.
        run: (network, golden, *inputs) -> outputs under the golden's names.
        unused: part of the names of reference weights that nothing calls; they are left out.
    """

    from_reference: Callable[[Weights], Weights]
    build: Callable[[Golden, Weights], Network]
    run: Callable[..., dict[str, Tensor]]
    unused: str = "\0"


def reference(golden: Golden) -> tuple[Network, Callable[..., dict[str, Tensor]]]:
    """The float64 network with the golden's weights, and `run(*inputs)`.

    Raises:
        AssertionError: reference names that are left over, or ours that got nothing.
    """
    found = family(golden)
    weights = found.from_reference(parity().fill(golden))
    network = _on_meta(found, golden, weights)
    _drop_what_never_runs(golden, network, weights)
    wrong = _mismatches(network, weights)
    assert not wrong, f"{golden['name']}: {wrong}"
    network.load_state_dict(weights, strict=False, assign=True)
    _fill_counters(network)
    network.double().eval()

    def run(*inputs: Tensor) -> dict[str, Tensor]:
        with torch.no_grad(), _float64():
            return found.run(network, golden, *inputs)

    return network, run


def full(golden: Golden) -> list[str]:
    """What differs between the golden's state dict and ours: names, shapes, parameter count."""
    found = family(golden)
    entries = [
        entry
        for entry in golden["state_dict"]
        if "float" in entry["dtype"] and not entry.get("kept")
    ]
    meta = {entry["name"]: torch.empty(entry["shape"], device="meta") for entry in entries}
    weights = found.from_reference(meta)
    network = _on_meta(found, golden, weights)
    dropped = _drop_what_never_runs(golden, network, weights)
    wrong = _mismatches(network, weights)
    unused = sum(tensor.numel() for name, tensor in meta.items() if found.unused in name)
    # numbers that never change, which the reference keeps as a parameter
    unused += sum(
        math.prod(entry["shape"])
        for entry in golden["state_dict"]
        if entry.get("kept") and entry["name"].endswith(".weight")
    )
    want = golden["parameters"] - unused - dropped
    have = sum(parameter.numel() for parameter in network.parameters())
    return wrong if want == have else [*wrong, f"parameters: expected {want}, got {have}"]


def family(golden: Golden) -> Family:
    """The family of the golden's reference class."""
    reference_class = golden["about"]["cls"]
    for pattern, found in FAMILIES.items():
        if re.fullmatch(pattern, reference_class):
            return found
    raise KeyError(f"{golden['name']}: no port of {reference_class!r}")


def parity() -> ModuleType:
    """The shared module that loads, fills and compares goldens."""
    here = Path(__file__).resolve()
    shared = _module("shared", here.parents[1] / "shared.py")
    return _module("parity", shared.shared_path("parity/parity.py"))


def _module(name: str, path: Path) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None and Path(known.__file__ or "").resolve() == path.resolve():
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _on_meta(found: Family, golden: Golden, weights: Weights) -> Network:
    with torch.device("meta"):
        return found.build(golden, weights)


def _drop_what_never_runs(golden: Golden, network: nn.Module, weights: Weights) -> int:
    """Leave out what a cut encoder keeps behind the cut; returns how many parameters it had."""
    if not families_encoder.encoder_depth(golden):
        return 0
    ours = network.state_dict()
    behind = [name for name in weights if name.startswith("encoder.") and name not in ours]
    tensors = {name: weights.pop(name) for name in behind}
    return sum(tensor.numel() for name, tensor in tensors.items() if ".running_" not in name)


def _mismatches(network: nn.Module, weights: Weights) -> list[str]:
    """Names on one side only, shapes that differ; integer buffers are our own affair."""
    ours = {
        name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()
    }
    missing = [f"missing: {name}" for name in ours if name not in weights]
    surplus = [f"left over: {name}" for name in weights if name not in ours]
    shapes = [
        f"{name}: expected {tuple(weights[name].shape)}, got {tuple(tensor.shape)}"
        for name, tensor in ours.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    return missing + surplus + shapes


def _fill_counters(network: nn.Module) -> None:
    """Batch norms' step counters, the only thing that the reference's weights don't bring."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = torch.zeros((), dtype=torch.long)


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered children a name has: 3 for prefix.0 to prefix.2."""
    rest = (name[len(prefix) + 1 :] for name in weights if name.startswith(f"{prefix}."))
    return len({part.split(".")[0] for part in rest})


# U-Net


def _build_unet(golden: Golden, weights: Weights) -> Network:
    return unet.UNet(
        unet.UNetConfig(
            classes=weights["head.weight"].shape[0],
            channels=weights["stem.0.conv.weight"].shape[1],
            width=weights["stem.0.conv.weight"].shape[0],
            levels=_count(weights, "down"),
            bilinear="up.0.upsample.weight" not in weights,
        )
    )


def _build_encoder_unet(golden: Golden, weights: Weights) -> Network:
    blocks = _count(weights, "decoder")
    return unet.EncoderUNet(
        unet.EncoderUNetConfig(
            classes=weights["head.weight"].shape[0],
            encoder=families_encoder.unet_encoder(golden, weights),
            encoder_levels=families_encoder.encoder_depth(golden),
            decoder_channels=tuple(
                weights[f"decoder.{block}.conv1.conv.weight"].shape[0] for block in range(blocks)
            ),
            head_kernel=weights["head.weight"].shape[-1],
        )
    )


def _run_unet(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    return {"output": network(images_B3HW)["logits"]}


# BiSeNet


def _build_bisenetv1(golden: Golden, weights: Weights) -> Network:
    stages = [f"context.encoder.layer{stage}" for stage in (1, 2, 3, 4)]
    auxiliary = "auxiliary8.conv.conv.weight"
    return bisenetv1.BiSeNetV1(
        bisenetv1.BiSeNetV1Config(
            classes=weights["head.classify.weight"].shape[0],
            context_widths=tuple(weights[f"{stage}.0.conv2.weight"].shape[0] for stage in stages),
            context_depths=tuple(_count(weights, stage) for stage in stages),
            spatial_width=weights["spatial.0.conv.weight"].shape[0],
            path_width=weights["spatial.3.conv.weight"].shape[0],
            fusion_width=weights["fusion.conv.conv.weight"].shape[0],
            head_width=weights["head.conv.conv.weight"].shape[0],
            auxiliary_width=weights[auxiliary].shape[0] if auxiliary in weights else 64,
            auxiliary=auxiliary in weights,
        )
    )


def _build_bisenetv2(golden: Golden, weights: Weights) -> Network:
    detail = [f"detail.{stage}" for stage in range(3)]
    semantic = [f"semantic.stages.{stage}" for stage in range(3)]
    stem = weights["semantic.stem.conv.conv.weight"].shape[0]
    auxiliary = "boosters.booster4.conv.conv.weight"
    return bisenetv2.BiSeNetV2(
        bisenetv2.BiSeNetV2Config(
            classes=weights["head.classify.weight"].shape[0],
            detail_widths=tuple(weights[f"{stage}.0.conv.weight"].shape[0] for stage in detail),
            detail_depths=tuple(_count(weights, stage) for stage in detail),
            semantic_widths=(
                stem,
                *(weights[f"{stage}.0.project.conv.weight"].shape[0] for stage in semantic),
            ),
            semantic_depths=tuple(_count(weights, stage) for stage in semantic),
            expansion=weights[f"{semantic[0]}.0.expand.0.conv.weight"].shape[0] // stem,
            head_width=weights["head.conv.conv.weight"].shape[0],
            auxiliary_width=weights[auxiliary].shape[0] if auxiliary in weights else 128,
            auxiliary=auxiliary in weights,
        )
    )


def _run_bisenet(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    """The reference was recorded in evaluation mode with its auxiliary heads on, enlarged."""
    network.training = True  # its own flag only: batch norm and dropout stay in evaluation mode
    outputs = network(images_B3HW)
    network.training = False
    size = images_B3HW.shape[-2:]
    enlarged = [
        F.interpolate(logits_BKhw, size=size, mode="bilinear", align_corners=False)
        for logits_BKhw in outputs.values()
    ]
    # in one of the reference's modes the answer is the class map
    class_map = {"output": enlarged[0].argmax(dim=1)}
    return class_map | {str(number): logits_BKHW for number, logits_BKHW in enumerate(enlarged)}


# SegFormer


def _build_segformer(golden: Golden, weights: Weights) -> Network:
    about = golden["about"]
    stages = [f"encoder.stages.{stage}" for stage in range(4)]
    widths = tuple(weights[f"{stage}.embed.weight"].shape[0] for stage in stages)
    reduces = [weights.get(f"{stage}.blocks.0.attention.reduce.weight") for stage in stages]
    hidden = [weights[f"{stage}.blocks.0.mlp.expand.weight"].shape[0] for stage in stages]
    return segformer.SegFormer(
        segformer.SegFormerConfig(
            classes=weights["decoder.classify.weight"].shape[0],
            widths=widths,
            depths=tuple(_count(weights, f"{stage}.blocks") for stage in stages),
            heads=tuple(about.get("arguments", {}).get("num_attention_heads", (1, 2, 5, 8))),
            reductions=tuple(1 if reduce is None else reduce.shape[-1] for reduce in reduces),
            mlp_ratios=tuple(wide // width for wide, width in zip(hidden, widths)),
            decoder_width=weights["decoder.classify.weight"].shape[1],
            # the transformers library leaves every layer norm at torch's default
            norm_eps=1e-5 if about["cls"].startswith("transformers.") else 1e-6,
        )
    )


def _run_segformer(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    assert isinstance(network, segformer.SegFormer)
    features = network.encoder(images_B3HW)
    hidden = {f"hidden.{stage}": stage_BChw for stage, stage_BChw in enumerate(features)}
    logits_BKhw = network(images_B3HW)["logits"]
    # segmentation_models_pytorch enlarges inside, with corners aligned
    size = images_B3HW.shape[-2:]
    enlarged = F.interpolate(logits_BKhw, size=size, mode="bilinear", align_corners=True)
    return {**hidden, "logits": logits_BKhw, "output": enlarged}


_SEGFORMER = Family(
    from_reference=segformer.CARD.from_reference,
    build=_build_segformer,
    run=_run_segformer,
    unused=".conv_seg.",
)

FAMILIES: dict[str, Family] = {
    "UNet": Family(from_reference=unet.CARD.from_reference, build=_build_unet, run=_run_unet),
    "Unet": Family(
        from_reference=unet.ENCODER_CARD.from_reference, build=_build_encoder_unet, run=_run_unet
    ),
    "BiSeNetV1": Family(
        from_reference=bisenetv1.CARD.from_reference, build=_build_bisenetv1, run=_run_bisenet
    ),
    "BiSeNetV2": Family(
        from_reference=bisenetv2.CARD.from_reference, build=_build_bisenetv2, run=_run_bisenet
    ),
    r"transformers\.SegformerForSemanticSegmentation": _SEGFORMER,
    r"EncoderDecoder\(mit_b.*SegFormerHead\)|Segformer": _SEGFORMER,
    **{
        pattern: Family(from_reference=from_reference, build=build, run=run)
        for pattern, (from_reference, build, run) in families_encoder.PORTS.items()
    },
    **{
        pattern: Family(from_reference=from_reference, build=build, run=run)
        for pattern, (from_reference, build, run) in families_attention.PORTS.items()
    },
    **{
        pattern: Family(from_reference=from_reference, build=build, run=run)
        for pattern, (from_reference, build, run) in families_objects.PORTS.items()
    },
    **{
        pattern: Family(from_reference=from_reference, build=build, run=run)
        for pattern, (from_reference, build, run) in families_joint.PORTS.items()
    },
    r"SparseInst.*": Family(
        from_reference=sparseinst.CARD.from_reference,
        build=families_sparseinst.build,
        run=families_sparseinst.run,
    ),
    r"FCN(8|16|32)s(AtOnce)?": Family(
        from_reference=fcn.CARD.from_reference,
        build=families_classic.build_fcn,
        run=families_classic.run_fcn,
    ),
    r"SegNet|segnet \(VGG16.*": Family(
        from_reference=segnet.CARD.from_reference,
        build=families_classic.build_segnet,
        run=families_classic.run_segnet,
    ),
    r"context module only|front-end VGG16.*": Family(
        from_reference=dilation.CARD.from_reference,
        build=families_classic.build_dilation,
        run=families_classic.run_dilation,
    ),
}
"""Pattern of the reference class, as `about.cls` has it -> how it is ported."""
