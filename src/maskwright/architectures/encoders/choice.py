"""One name for each encoder: our own, with their authors' sizes, or any that timm has."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.encoders.mobilenet import MOBILENETS, MobileNet, eights
from maskwright.architectures.encoders.resnet import RESNETS, ResNet
from maskwright.architectures.encoders.timm_encoder import TimmEncoder, downloaded_weights
from maskwright.architectures.encoders.xception import Xception, XceptionConfig
from maskwright.core.errors import ConfigError

XCEPTIONS = {"xception": XceptionConfig(), "xception-cropped": XceptionConfig(cropped=True)}
DEEP_STEM = (64, 64, 128)


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """What a network with an exchangeable encoder lets the user choose; configurations inherit it.

    Attributes:
        classes: K.
        encoder: resnet18 to resnet152; mobilenetv2, mobilenetv3-large, mobilenetv3-small, xception;
            else a name of timm's, such as tf_efficientnet_lite0.
        encoder_width: multiplies every C of one of our own encoders.
        output_stride: of the encoder's deepest features: 8, 16 or 32.
        dilate_first: of residual networks: a dilated stage's first block dilates by the stride that
            it lost, too.
        deep_stem: of residual networks: three 3x3 convolutions instead of one 7x7.
        pretrained: start from ImageNet weights; without effect where a checkpoint is loaded after.
    """

    classes: int = 21
    encoder: str = "resnet50"
    encoder_width: float = 1.0
    output_stride: int = 16
    dilate_first: bool = False
    deep_stem: bool = False
    pretrained: bool = False

    @property
    def has_imagenet(self) -> bool:
        """Whether `pretrained` can be had: timm's networks, and residual ones as published."""
        own = self.encoder in {*RESNETS, *MOBILENETS, *XCEPTIONS}
        plain = self.encoder in RESNETS and not self.deep_stem and self.encoder_width == 1.0
        return plain or not own


def create_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder of these settings.

    Raises:
        ConfigError: an unknown name, a setting that this encoder lacks, weights that can't be had.
    """
    name = settings.encoder
    if name in RESNETS:
        encoder: Encoder = _residual(settings)
    elif settings.dilate_first or settings.deep_stem:
        raise ConfigError(
            f"{name} has neither dilate_first nor deep_stem; those are for {', '.join(RESNETS)}."
        )
    elif name in MOBILENETS:
        sizes = MOBILENETS[name](settings.encoder_width)
        encoder = MobileNet(dataclasses.replace(sizes, output_stride=settings.output_stride))
    elif name in XCEPTIONS:
        encoder = _xception(settings)
    elif settings.encoder_width != 1.0:
        raise ConfigError(
            f"{name} is a network of timm's, which has no encoder_width (got "
            f"{settings.encoder_width}); choose one of timm's that is as wide as you want."
        )
    else:
        return TimmEncoder(name, settings.pretrained, output_stride=settings.output_stride)
    if settings.pretrained:
        _load_imagenet(encoder, settings)
    return encoder


def _residual(settings: EncoderSettings) -> ResNet:
    sizes, width = RESNETS[settings.encoder], settings.encoder_width
    return ResNet(
        dataclasses.replace(
            sizes,
            widths=_scaled(sizes.widths, width),
            deep_stem=_scaled(DEEP_STEM, width) if settings.deep_stem else (),
            output_stride=settings.output_stride,
            dilate_first=settings.dilate_first,
        )
    )


def _xception(settings: EncoderSettings) -> Xception:
    sizes, width = XCEPTIONS[settings.encoder], settings.encoder_width
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
    """timm's weights of the plain residual networks, which have the same names."""
    if not settings.has_imagenet:
        raise ConfigError(
            f"there are no ImageNet weights for {settings.encoder} of these sizes; take an encoder "
            "of timm's, such as tf_efficientnet_lite0, or train from scratch (pretrained=False)."
        )
    encoder.load_state_dict(downloaded_weights(settings.encoder))
