"""An encoder and a head: dilated FCN, DeepLab v3 and v3+, LR-ASPP, PSPNet.

Sizes are read from the golden's shapes; what no shape tells, from `about`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from maskwright.architectures import deeplabv3, deeplabv3plus, dilated_fcn, lraspp, pspnet
from maskwright.architectures.contract import Network
from maskwright.architectures.encoders import MOBILENETS, RESNETS

Golden = Mapping[str, Any]
Weights = dict[str, Tensor]


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered children a name has: 3 for prefix.0 to prefix.2."""
    rest = (name[len(prefix) + 1 :] for name in weights if name.startswith(f"{prefix}."))
    return len({part.split(".")[0] for part in rest})


def _width(weights: Weights, name: str) -> int:
    """C of a convolution's output."""
    return weights[f"{name}.weight"].shape[0]


def _encoder(golden: Golden, weights: Weights, output_stride: int) -> dict[str, Any]:
    """Which of our encoders the weights are of, how wide, and at which stride."""
    settings: dict[str, Any] = {"output_stride": output_stride}
    if "encoder.layer1.0.conv1.weight" in weights:
        depths = tuple(_count(weights, f"encoder.layer{stage}") for stage in (1, 2, 3, 4))
        bottleneck = "encoder.layer1.0.conv3.weight" in weights
        width = _width(weights, "encoder.layer1.0.conv1")
        settings["encoder"] = next(
            name
            for name, sizes in RESNETS.items()
            if (sizes.depths, sizes.bottleneck) == (depths, bottleneck)
        )
        settings["deep_stem"] = "encoder.conv1.0.weight" in weights
        settings["dilate_first"] = is_smp(golden)
        return settings | {"encoder_width": width / 64}
    if any(name.startswith("encoder.network.") for name in weights):
        return settings | {"encoder": f"timm/{timm_name(golden)}"}
    if "encoder.narrow.conv.weight" in weights:
        width = _width(weights, "encoder.narrow.conv")
        return settings | {"encoder": f"hrnetv2-w{width}-nearest"}
    if "encoder.middle.0.convs.0.depthwise.weight" in weights:
        width = _width(weights, "encoder.stem.1.conv")
        return settings | {"encoder": "xception-cropped", "encoder_width": width / 64}
    # segmentation_models_pytorch dilates whole stages; VainF and torchvision share one rule
    settings["dilate_first"] = is_smp(golden)
    return settings | _mobile(golden, weights)


def _mobile(golden: Golden, weights: Weights) -> dict[str, Any]:
    """The MobileNet whose blocks have these widths; which of two second ones, the code tells."""
    second = "mobilenetv2"
    if "vainf" in golden["about"]["repo"].lower():
        second += "-pad-early"
    elif is_smp(golden):
        second += "-1280"
    third = [name for name in MOBILENETS if name.startswith("mobilenetv3")]
    wanted = [
        (_width(weights, f"{block}.depthwise.conv"), _width(weights, f"{block}.project.conv"))
        for block in (
            f"encoder.blocks.{number}" for number in range(_count(weights, "encoder.blocks"))
        )
    ]
    for name in (second, *third):
        for twentieths in (20, *range(2, 41)):
            rows = MOBILENETS[name](twentieths / 20).rows
            widths = [(row.expanded, row.outside) for row in rows][: len(wanted)]
            if widths == wanted:
                return {"encoder": name, "encoder_width": twentieths / 20}
    raise AssertionError(f"{golden['name']}: no MobileNet has blocks of {wanted}")


def is_smp(golden: Golden) -> bool:
    """Whether segmentation_models_pytorch is the reference."""
    return "segmentation_models" in golden["about"]["repo"]


def timm_name(golden: Golden) -> str:
    """segmentation_models_pytorch's name of an encoder without what sends it to timm."""
    name: str = golden["about"]["args"].get("encoder_name", "resnet34")
    name = name.replace("timm-mobilenetv3", "tf_mobilenetv3")
    return name.removeprefix("tu-").removeprefix("timm-")


def unet_encoder(golden: Golden, weights: Weights) -> str:
    """Ours where the weights are of a MobileNet of ours, else timm's."""
    if "encoder.stem.conv.weight" in weights:
        return _mobile(golden, weights)["encoder"]
    return timm_name(golden)


def encoder_depth(golden: Golden) -> int:
    """How many of an encoder's features segmentation_models_pytorch runs; 0: all of them."""
    if not is_smp(golden):
        return 0
    whole = 3 if golden["about"]["cls"] == "PSPNet" else 5
    return golden["about"]["args"].get("encoder_depth", whole) % 5


def _output_stride(golden: Golden, default: int) -> int:
    args = golden["about"].get("args", {})
    if "replace_stride_with_dilation" in args:
        return 32 >> sum(args["replace_stride_with_dilation"])
    return args.get("output_stride", args.get("encoder_output_stride", default))


def _rates(golden: Golden, output_stride: int) -> tuple[int, ...]:
    """VainF's double where the stride is below 16; the others' are fixed unless given."""
    about = golden["about"]
    if "vainf" in about["repo"].lower():
        fine = output_stride < 16 or "hrnet" in about["cls"]
        return (12, 24, 36) if fine else (6, 12, 18)
    return tuple(about["args"].get("decoder_atrous_rates", (12, 24, 36)))


def _auxiliary(weights: Weights) -> dict[str, Any]:
    """torchvision reads MobileNetV3's stride 8, and a residual network's last stage but one."""
    level = 2 if "encoder.stem.conv.weight" in weights else -2
    return {"auxiliary": "auxiliary.classify.weight" in weights, "auxiliary_level": level}


# Dilated FCN


def _build_fcn(golden: Golden, weights: Weights) -> Network:
    mobile = "encoder.stem.conv.weight" in weights
    return dilated_fcn.DilatedFCN(
        dilated_fcn.DilatedFCNConfig(
            classes=_width(weights, "head.classify"),
            head_width=_width(weights, "head.conv.conv"),
            **_encoder(golden, weights, _output_stride(golden, 16 if mobile else 8)),
            **_auxiliary(weights),
        )
    )


def _run_torchvision(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    """Both heads, enlarged to the image; batch norm and dropout stay in evaluation mode."""
    network.training = True
    outputs = network(images_B3HW)
    network.training = False
    names = {"logits": "out", "auxiliary": "aux"}
    size = images_B3HW.shape[-2:]
    return {names[name]: _half_pixel(logits, size) for name, logits in outputs.items()}


def _half_pixel(logits_BKhw: Tensor, size: Any) -> Tensor:
    return F.interpolate(logits_BKhw, size=tuple(size), mode="bilinear", align_corners=False)


# DeepLab v3


def _build_deeplabv3(golden: Golden, weights: Weights) -> Network:
    mobile = "encoder.stem.conv.weight" in weights
    torchvision = "pytorch/vision" in golden["about"]["repo"]
    stride = _output_stride(golden, 16 if torchvision and mobile else 8)
    return deeplabv3.DeepLabV3(
        deeplabv3.DeepLabV3Config(
            classes=_width(weights, "head.classify"),
            width=_width(weights, "head.aspp.project.conv"),
            rates=_rates(golden, stride),
            separable="head.aspp.branches.1.depthwise.weight" in weights,
            separable_head="head.conv.depthwise.weight" in weights,
            align_corners=is_smp(golden),
            **_encoder(golden, weights, stride),
            **_auxiliary(weights),
        )
    )


def _run_deeplabv3(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    if "out" in golden["outputs"]:
        return _run_torchvision(network, golden, images_B3HW)
    return _run_vainf_or_smp(network, golden, images_B3HW)


# DeepLab v3+


def _build_deeplabv3plus(golden: Golden, weights: Weights) -> Network:
    stride = _output_stride(golden, 16 if is_smp(golden) else 8)
    return deeplabv3plus.DeepLabV3Plus(
        deeplabv3plus.DeepLabV3PlusConfig(
            classes=_width(weights, "head.classify"),
            width=_width(weights, "head.aspp.project.conv"),
            low_width=_width(weights, "head.narrow.conv"),
            rates=_rates(golden, stride),
            separable_pyramid="head.aspp.branches.1.depthwise.weight" in weights,
            separable_decoder="head.fuse.depthwise.weight" in weights,
            refine="head.refine.depthwise.weight" in weights,
            align_corners=is_smp(golden),
            **_encoder(golden, weights, stride),
        )
    )


def _run_vainf_or_smp(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    features = network.encoder(images_B3HW)
    logits_BKhw = network(images_B3HW)["logits"]
    enlarged = _half_pixel(logits_BKhw, images_B3HW.shape[-2:])
    return {
        "output": logits_BKhw,
        "logits": enlarged,
        "low_res": logits_BKhw,
        "backbone_out": features[-1],
        "low_level": features[network.encoder.level(4)],
    }


# LR-ASPP


def _build_lraspp(golden: Golden, weights: Weights) -> Network:
    return lraspp.LRASPP(
        lraspp.LRASPPConfig(
            classes=_width(weights, "head.classify"),
            width=_width(weights, "head.project.conv"),
            **_encoder(golden, weights, 16),
        )
    )


# PSPNet


def _build_pspnet(golden: Golden, weights: Weights) -> Network:
    grids = _count(weights, "head.pyramid.branches")
    bins = golden["about"]["args"].get("bins", (1, 2, 3, 6))[:grids]
    assert len(bins) == grids
    if is_smp(golden):
        # not dilated but cut, at stride 8 by default
        sizes = _encoder(golden, weights, 32) | {"levels": encoder_depth(golden)}
        sizes |= {"dilate_first": False, "plain_mean": True}
        sizes.setdefault("deep_stem", False)
    else:
        sizes = _encoder(golden, weights, 8) | {"dilate_first": True}
    kernels = [weights[f"head.{name}.weight"].shape[-1] for name in ("conv.conv", "classify")]
    return pspnet.PSPNet(
        pspnet.PSPNetConfig(
            classes=_width(weights, "head.classify"),
            bins=tuple(bins),
            pyramid_width=_width(weights, "head.pyramid.branches.0.conv") if grids else 0,
            width=_width(weights, "head.conv.conv"),
            kernels=(kernels[0], kernels[1]),
            auxiliary="auxiliary.classify.weight" in weights,
            **sizes,
        )
    )


def _run_pspnet(network: Network, golden: Golden, images_B3HW: Tensor) -> dict[str, Tensor]:
    """The reference enlarges by a factor of its own, 8 by default, with corners aligned."""
    if is_smp(golden):
        return {"output": network(images_B3HW)["logits"]}
    zoom = golden["about"]["args"].get("zoom_factor", 8)
    size = [(side - 1) // 8 * zoom + 1 for side in images_B3HW.shape[-2:]]
    features = network.encoder(images_B3HW)
    outputs = {"logits": network.head(features[-1])}
    if network.auxiliary is not None:
        outputs["aux"] = network.auxiliary(features[-2])
    enlarged = {
        name: F.interpolate(logits, size=size, mode="bilinear", align_corners=True)
        for name, logits in outputs.items()
    }
    return enlarged | {"ppm": network.head.pyramid(features[-1])}


PORTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    r"fcn_resnet\d+": (dilated_fcn.from_reference, _build_fcn, _run_torchvision),
    r"deeplabv3_\w+|DeepLabV3": (deeplabv3.from_reference, _build_deeplabv3, _run_deeplabv3),
    r"deeplabv3plus_\w+|DeepLabV3Plus": (
        deeplabv3plus.from_reference,
        _build_deeplabv3plus,
        _run_vainf_or_smp,
    ),
    r"lraspp_\w+": (lraspp.from_reference, _build_lraspp, _run_torchvision),
    r"PSPNet": (pspnet.from_reference, _build_pspnet, _run_pspnet),
}
"""Pattern of the reference class -> from_reference, build, run."""
