"""One name for each encoder: our own, with their authors' sizes, or any that timm has."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from maskwright.architectures.encoders import hrnet
from maskwright.architectures.encoders.darknet53 import Darknet53, Darknet53Config
from maskwright.architectures.encoders.darknet_tiny import (
    TINY_YOLOV2,
    YOLO_LITE,
    Chain,
    TinyCSP,
    TinyCSPConfig,
)
from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.encoders.mobilenet import MOBILENETS, MobileNet, eights
from maskwright.architectures.encoders.resnet import RESNET_FORMS, RESNETS, ResNet
from maskwright.architectures.encoders.timm_encoder import TimmEncoder, downloaded_weights
from maskwright.architectures.encoders.xception import Xception, XceptionConfig
from maskwright.core.errors import ConfigError

HRNETS = {f"hrnetv2-{name}": hrnet.HRNetSizes(**sizes) for name, sizes in hrnet.SIZES.items()} | {
    # as VainF/DeepLabV3Plus-Pytorch has them
    f"hrnetv2-{name}-nearest": hrnet.HRNetSizes(**sizes, nearest=True, linear_stem=True)
    for name, sizes in hrnet.SIZES.items()
}
XCEPTIONS = {"xception": XceptionConfig(), "xception-cropped": XceptionConfig(cropped=True)}
CHAINS = {"yolo-lite": YOLO_LITE, "tiny-yolov2": TINY_YOLOV2}
DARKNETS = ("darknet53", "yolov4-tiny", *CHAINS)
DEEP_STEM = (64, 64, 128)
_RESIDUAL = RESNETS | RESNET_FORMS


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """What a network with an exchangeable encoder lets the user choose; configurations inherit it.

    Attributes:
        classes: K.
        encoder: resnet18 to resnet152, with "vd" behind it for a deep stem and averaging
            shortcuts, with "-dcn" (50 and more) for two deformable stages, "-dcn3" for three, and
            "-dcnv2" for three modulated ones;
            mobilenetv2, mobilenetv3-large, mobilenetv3-small, xception, darknet53; those of
            the light detectors yolov4-tiny, tiny-yolov2 and yolo-lite;
            hrnetv2-w18, -w32, -w48, which keep stride 4 whatever the output stride is;
            else a name of timm's, such as tf_efficientnet_lite0. "timm/" in front asks for timm's
            network where there is one of ours by that name, too.
        encoder_width: multiplies every C of one of our own encoders.
        output_stride: of the encoder's deepest features: 8, 16 or 32.
        dilate_first: of residual networks and MobileNets: a dilated stage's first block dilates by
            the stride that it lost, too.
        deep_stem: of residual networks: three 3x3 convolutions instead of one 7x7.
        levels: how many of its feature maps are used, finest first; 0 uses all. What only deeper
            ones need is left out.
        pretrained: start from ImageNet weights; without effect where a checkpoint is loaded after.
    """

    classes: int = 21
    encoder: str = "resnet50"
    encoder_width: float = 1.0
    output_stride: int = 16
    dilate_first: bool = False
    deep_stem: bool = False
    levels: int = 0
    pretrained: bool = False

    @property
    def has_imagenet(self) -> bool:
        """Whether `pretrained` can be had: timm's networks, and residual ones as published."""
        own = self.encoder in {*_RESIDUAL, *MOBILENETS, *HRNETS, *XCEPTIONS, *DARKNETS}
        plain = self.encoder in _RESIDUAL and not self.deep_stem and self.encoder_width == 1.0
        return plain or not own


def create_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder of these settings.

    Raises:
        ConfigError: an unknown name, a setting that this encoder lacks, weights that can't be had.
    """
    name = settings.encoder
    if name in _RESIDUAL:
        encoder: Encoder = _residual(settings)
    elif settings.deep_stem:
        raise ConfigError(f"{name} has no deep_stem; that is for {', '.join(RESNETS)}.")
    elif name in MOBILENETS:
        encoder = _mobile(settings)
    elif settings.dilate_first:
        raise ConfigError(
            f"{name} has no dilate_first; that is for {', '.join((*RESNETS, *MOBILENETS))}."
        )
    elif name in XCEPTIONS:
        encoder = _xception(settings)
    elif name in DARKNETS:
        encoder = _darknet(settings)
    elif settings.encoder_width != 1.0:
        raise ConfigError(
            f"{name} has no encoder_width (got {settings.encoder_width}); choose one that is as "
            "wide as you want: timm's and HRNets come in several widths."
        )
    elif name in HRNETS:
        encoder = _high_resolution(settings)
    else:
        name = name.removeprefix("timm/")
        return TimmEncoder(name, settings.pretrained, settings.levels, settings.output_stride)
    if settings.pretrained:
        _load_imagenet(encoder, settings)
    return encoder


def _residual(settings: EncoderSettings) -> ResNet:
    sizes, width = _RESIDUAL[settings.encoder], settings.encoder_width
    return ResNet(
        dataclasses.replace(
            sizes,
            widths=_scaled(sizes.widths, width),
            deep_stem=_scaled(DEEP_STEM if settings.deep_stem else sizes.deep_stem, width),
            output_stride=settings.output_stride,
            dilate_first=settings.dilate_first,
            levels=settings.levels,
        )
    )


def _darknet(settings: EncoderSettings) -> Encoder:
    name, width, levels = settings.encoder, settings.encoder_width, settings.levels
    if name in CHAINS:
        sizes = CHAINS[name]
        widths = _scaled(sizes.widths, width)
        return Chain(dataclasses.replace(sizes, widths=widths, levels=levels))
    if name == "yolov4-tiny":
        return TinyCSP(TinyCSPConfig(width=round(32 * width), levels=levels))
    return Darknet53(Darknet53Config(width=round(32 * width), levels=levels))


def _mobile(settings: EncoderSettings) -> MobileNet:
    sizes = MOBILENETS[settings.encoder](settings.encoder_width)
    return MobileNet(
        dataclasses.replace(
            sizes,
            output_stride=settings.output_stride,
            # the third generation's is part of its design
            dilate_first=sizes.dilate_first or settings.dilate_first,
            levels=settings.levels,
        )
    )


def _high_resolution(settings: EncoderSettings) -> hrnet.HRNetEncoder:
    _refuse_levels(settings)
    return hrnet.HRNetEncoder(HRNETS[settings.encoder])


def _refuse_levels(settings: EncoderSettings) -> None:
    if settings.levels:
        raise ConfigError(f"{settings.encoder} is used whole (levels 0), got {settings.levels}.")


def _xception(settings: EncoderSettings) -> Xception:
    sizes, width = XCEPTIONS[settings.encoder], settings.encoder_width
    _refuse_levels(settings)
    return Xception(
        dataclasses.replace(
            sizes,
            stem=_scaled(sizes.stem, width),
            entry=_scaled(sizes.entry, width),
            leave=_scaled(sizes.leave, width),
            output_stride=settings.output_stride,
        )
    )


def _scaled(widths: tuple[int, ...], factor: float) -> tuple[int, ...]:
    return tuple(eights(width * factor) for width in widths)


def _load_imagenet(encoder: Encoder, settings: EncoderSettings) -> None:
    """timm's weights of the residual networks, which have the same names; taps begin unmoved."""
    if not settings.has_imagenet:
        raise ConfigError(
            f"there are no ImageNet weights for {settings.encoder} of these sizes; take an encoder "
            "of timm's, such as tf_efficientnet_lite0, or train from scratch (pretrained=False)."
        )
    found = downloaded_weights(settings.encoder.partition("-dcn")[0].replace("vd", "d"))
    found |= {name: own for name, own in encoder.state_dict().items() if ".offset." in name}
    encoder.load_state_dict({name: found[name] for name in encoder.state_dict()})
