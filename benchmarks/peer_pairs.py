"""Networks of ours beside the same ones in the libraries that people know.

torchvision is installed with `maskwright[train]`; segmentation_models_pytorch and transformers are
tools of this measurement only (`maskwright[peers]`), and imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures import architecture, build
from maskwright.core.errors import ConfigError

CLASSES = 21
TOLERANCE = 1e-3
"""Relative difference of logits in float32 above which two networks aren't the same."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One network in two implementations.

    Attributes:
        name: of the row.
        package: what the peer is imported from.
        install: what pip calls it.
        peer: imports it, and gives the network with random weights.
        ours: architecture's name.
        settings: what differs from its own.
        note: what the comparison means, where that needs telling.
    """

    name: str
    package: str
    install: str
    peer: Callable[[], nn.Module]
    ours: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def _of_torchvision(name: str, ours: str, **settings: Any) -> Pair:
    """Without an auxiliary head on either side: torchvision runs its own in evaluation, too."""

    def peer() -> nn.Module:
        from torchvision.models import segmentation

        create = getattr(segmentation, name)
        return create(weights=None, weights_backbone=None, num_classes=CLASSES)

    return Pair(
        name=f"torchvision {name}",
        package="torchvision",
        install="torchvision",
        peer=peer,
        ours=ours,
        settings=settings,
    )


def _of_smp(name: str, encoder: str, ours: str, note: str = "", **settings: Any) -> Pair:
    def peer() -> nn.Module:
        import segmentation_models_pytorch as smp

        return getattr(smp, name)(encoder_name=encoder, encoder_weights=None, classes=CLASSES)

    return Pair(
        name=f"segmentation_models_pytorch {name}({encoder})",
        package="segmentation_models_pytorch",
        install="segmentation-models-pytorch",
        peer=peer,
        ours=ours,
        settings={"encoder": encoder, **settings},
        note=note,
    )


def _segformer_b0() -> nn.Module:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=CLASSES))


PAIRS = (
    _of_torchvision("fcn_resnet50", "fcn-resnet50", auxiliary=False),
    _of_torchvision("deeplabv3_resnet50", "deeplabv3-resnet50", auxiliary=False),
    _of_torchvision("deeplabv3_mobilenet_v3_large", "deeplabv3-mobilenetv3", auxiliary=False),
    _of_torchvision("lraspp_mobilenet_v3_large", "lraspp-mobilenetv3"),
    _of_smp("Unet", "resnet34", "unet-encoder"),
    _of_smp(
        "PSPNet",
        "resnet50",
        "pspnet50",
        note="its PSPNet cuts the encoder at stride 8",
        levels=3,
        output_stride=32,
        deep_stem=False,
        dilate_first=False,
        plain_mean=True,
        kernels=(1, 3),
        dropout=0.2,
        auxiliary=False,
    ),
    _of_smp(
        "DeepLabV3Plus",
        "resnet50",
        "deeplabv3plus-resnet50",
        rates=(12, 24, 36),
        separable_pyramid=True,
        separable_decoder=True,
        refine=True,
        dilate_first=True,
        dropout=0.5,
        align_corners=True,
    ),
    Pair(
        name="transformers SegformerForSemanticSegmentation, B0",
        package="transformers",
        install="transformers",
        peer=_segformer_b0,
        ours="segformer-b0",
        settings={"norm_eps": 1e-5},
        note="ours multiplies the decoder's matrices with each other first: fewer operations",
    ),
)


def build_both(pair: Pair) -> dict[str, nn.Module]:
    """{"ours": ..., "peer": ...}: the two networks with the same random weights.

    Raises:
        ModuleNotFoundError: the peer isn't installed.
        ConfigError: a weight of one has no place in the other, or their answers differ.
    """
    torch.manual_seed(0)
    peer = pair.peer()
    ours = build(pair.ours, CLASSES, **pair.settings)
    weights = architecture(pair.ours).card.from_reference(peer.state_dict())
    own = {name for name, tensor in ours.state_dict().items() if tensor.is_floating_point()}
    wrong = sorted(own - set(weights))
    # a cut encoder's deeper stages lie unused in the peer
    left = [name for name in weights if name not in ours.state_dict() and "encoder." not in name]
    if wrong or left:
        raise ConfigError(
            f"expected {pair.name} and {pair.ours} to be one network, but {(wrong + left)[:3]} are "
            "in one of them only; install the versions that maskwright[peers] asks for."
        )
    ours.load_state_dict(
        {name: tensor for name, tensor in weights.items() if name in own}, strict=False
    )
    networks: dict[str, nn.Module] = {"ours": ours, "peer": peer}
    _require_agreement(pair, networks)
    return networks


def logits_of(network: nn.Module, images_B3HW: Tensor) -> Tensor:
    """The logits of any of them, at the image's size [B, K, H, W]."""
    outputs = network(images_B3HW)
    logits_BKhw = outputs if isinstance(outputs, Tensor) else next(iter(outputs.values()))
    size = images_B3HW.shape[-2:]
    if logits_BKhw.shape[-2:] == size:
        return logits_BKhw
    return F.interpolate(logits_BKhw, size=size, mode="bilinear", align_corners=False)


def parameters(network: nn.Module) -> int:
    """How many numbers of a network are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


def _require_agreement(pair: Pair, networks: Mapping[str, nn.Module]) -> None:
    images_B3HW = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, peer = (logits_of(one.eval(), images_B3HW) for one in networks.values())
    difference = float((ours - peer).norm() / peer.norm())
    if not difference <= TOLERANCE:
        raise ConfigError(
            f"expected {pair.name} and {pair.ours} to agree within {TOLERANCE}, but their logits "
            f"differ by {difference:.2g}; install the versions that maskwright[peers] asks for."
        )
