"""U-Net: Convolutional Networks for Biomedical Image Segmentation.

Olaf Ronneberger, Philipp Fischer, Thomas Brox, MICCAI 2015, arXiv 1505.04597.

Notable: a contracting path that halves the resolution and doubles the channels, an expanding path
that does the reverse, and at each resolution a copy across, so that precise places meet context.

Two forms:
* `UNet`: the paper's own encoder, with what practice changed: padding 1 (the output has the size of
  the input), batch norm, optionally bilinear instead of learnt upsampling;
* `EncoderUNet`: any timm encoder on the contracting side. A shorter `decoder_channels` stops the
  expansion early: three blocks end at stride 4 and cost a fraction of five.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, Published, SemanticNetwork
from maskwright.architectures.encoders import (
    MOBILENETS,
    Encoder,
    EncoderSettings,
    TimmEncoder,
    create_encoder,
)
from maskwright.architectures.encoders.reference import split_encoder
from maskwright.architectures.renaming import rename
from maskwright.core.errors import ConfigError
from maskwright.layers.conv import ConvNormAct


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Sizes of the paper's U-Net.

    Attributes:
        classes: K.
        channels: colours of the input.
        width: C of the first level; each deeper level doubles it.
        levels: how often the resolution is halved.
        bilinear: upsample by interpolation, which halves the deepest channels, instead of by
            transposed convolution.
    """

    classes: int = 2
    channels: int = 3
    width: int = 64
    levels: int = 4
    bilinear: bool = False


class UNet(SemanticNetwork):
    """The paper's encoder and decoder (figure 1), padded."""

    def __init__(self, config: UNetConfig) -> None:
        # No ImageNet weights exist for it; the reference trains on RGB/255 as it is.
        super().__init__(config, mean=(0.0,) * config.channels, std=(1.0,) * config.channels)
        widths = [config.width * 2**level for level in range(config.levels + 1)]
        if config.bilinear:
            widths[-1] //= 2
        self.stem = _double_conv(config.channels, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), _double_conv(inside, outside))
            for inside, outside in pairwise(widths)
        )
        self.up = nn.ModuleList(
            _Up(config.width * 2**level, level > 0, config.bilinear)
            for level in reversed(range(config.levels))
        )
        self.head = nn.Conv2d(config.width, config.classes, 1)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB 0..1 -> {"logits": BKHW}."""
        levels = [self.stem(images_B3HW)]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        for up in self.up:
            features = up(features, levels.pop())
        return {"logits": self.head(features)}

    def head_prefixes(self) -> tuple[str, ...]:
        """The 1x1 convolution to the classes."""
        return ("head.",)


class _Up(nn.Module):
    """Upsample by 2, pad to the copy from across, concatenate, two convolutions."""

    def __init__(self, width: int, inner: bool, bilinear: bool) -> None:
        super().__init__()
        self.upsample: nn.Module
        if bilinear:
            self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            # what goes up next is already as narrow as the copy it will meet
            self.conv = _double_conv(2 * width, width // 2 if inner else width, width)
        else:
            self.upsample = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
            self.conv = _double_conv(2 * width, width)

    def forward(self, deep_BChw: Tensor, across_BChw: Tensor) -> Tensor:
        up_BChw = self.upsample(deep_BChw)
        rows = across_BChw.shape[-2] - up_BChw.shape[-2]
        columns = across_BChw.shape[-1] - up_BChw.shape[-1]
        if rows or columns:
            sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
            up_BChw = F.pad(up_BChw, sides)
        return self.conv(torch.cat([across_BChw, up_BChw], dim=1))


def _double_conv(inside: int, outside: int, between: int | None = None) -> nn.Sequential:
    between = between or outside
    return nn.Sequential(ConvNormAct(inside, between), ConvNormAct(between, outside))


@dataclass(frozen=True, kw_only=True)
class EncoderUNetConfig:
    """Sizes of a U-Net on a timm encoder.

    Attributes:
        classes: K.
        encoder: timm's name, or that of one of our MobileNets (`encoders.MOBILENETS`).
        pretrained: start from ImageNet weights; without effect where a checkpoint is loaded after.
        encoder_levels: how many of its feature maps are used, finest first; 0 uses all. Four of
            five leave out most of the parameters and the widest view.
        decoder_channels: C of each decoder block, deepest first; n blocks end at stride 2^(5-n) for
            an encoder of stride 32.
        head_kernel: of the last convolution.
    """

    classes: int = 2
    encoder: str = "tf_efficientnet_lite0"
    pretrained: bool = False
    encoder_levels: int = 0
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)
    head_kernel: int = 3


def lite_config(size: int) -> EncoderUNetConfig:
    """A fast U-Net on EfficientNet-Lite 0, 1 or 2: a narrow decoder that ends at stride 2."""
    return EncoderUNetConfig(
        encoder=f"tf_efficientnet_lite{size}",
        decoder_channels=(128, 64, 48, 32),
        head_kernel=1,
    )


class EncoderUNet(SemanticNetwork):
    """A timm encoder, nearest-neighbour upsampling, two convolutions a level."""

    def __init__(self, config: EncoderUNetConfig) -> None:
        encoder = _contracting_side(config)
        super().__init__(config, encoder.mean, encoder.std)
        self.encoder = encoder
        deepest, *skips = reversed(encoder.channels)
        blocks = len(config.decoder_channels)
        if not 1 <= blocks <= len(skips) + 1:
            raise ConfigError(
                f"{config.encoder} has {len(skips) + 1} levels, so decoder_channels can have 1 to "
                f"{len(skips) + 1} entries, got {blocks}: {config.decoder_channels}."
            )
        inside = [deepest, *config.decoder_channels[:-1]]
        across = [*skips, 0][:blocks]
        self.decoder = nn.ModuleList(
            _DecoderBlock(*sizes) for sizes in zip(inside, across, config.decoder_channels)
        )
        self.head = nn.Conv2d(
            config.decoder_channels[-1],
            config.classes,
            config.head_kernel,
            padding=config.head_kernel // 2,
        )

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw} at the stride where the decoder ends."""
        features, *skips = reversed(self.encoder(images_B3HW))
        size = images_B3HW.shape[-2:]
        for block, skip in zip(self.decoder, [*skips, None]):
            features = block(features, skip, size)
        return {"logits": self.head(features)}

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolution."""
        return ("head.",)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The timm network's, where ImageNet weights were asked for."""
        pretrained = getattr(self.config, "pretrained", False)
        return list(self.encoder.parameters()) if pretrained else []


def _contracting_side(config: EncoderUNetConfig) -> Encoder:
    if config.encoder not in MOBILENETS:
        return TimmEncoder(config.encoder, config.pretrained, config.encoder_levels)
    settings = EncoderSettings(
        encoder=config.encoder,
        output_stride=32,
        levels=config.encoder_levels,
        pretrained=config.pretrained,
    )
    return create_encoder(settings)


class _DecoderBlock(nn.Module):
    """Nearest upsampling to the size of the copy from across, concatenation, two convolutions."""

    def __init__(self, inside: int, across: int, outside: int) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(inside + across, outside)
        self.conv2 = ConvNormAct(outside, outside)

    def forward(
        self, deep_BChw: Tensor, across_BChw: Tensor | None, image: Sequence[int]
    ) -> Tensor:
        size = tuple(image) if across_BChw is None else tuple(across_BChw.shape[-2:])
        up_BChw = F.interpolate(deep_BChw, size=size, mode="nearest")
        if across_BChw is not None:
            up_BChw = torch.cat([up_BChw, across_BChw], dim=1)
        return self.conv2(self.conv1(up_BChw))


def tiny(classes: int) -> UNet:
    """The smallest useful U-Net, for tests: 0.12 M parameters."""
    return UNet(UNetConfig(classes=classes, width=8, levels=3))


def tiny_encoder(classes: int) -> EncoderUNet:
    """A small U-Net on a small timm encoder, for tests."""
    return EncoderUNet(
        EncoderUNetConfig(
            classes=classes, encoder="test_efficientnet", decoder_channels=(32, 16, 16)
        )
    )


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """milesial/Pytorch-UNet's names -> ours."""
    if not any(name.startswith("down1.") for name in weights):
        raise ConfigError(f"expected Pytorch-UNet's names, got {sorted(weights)[:3]}.")
    leaves = {"0": "0.conv", "1": "0.norm", "3": "1.conv", "4": "1.norm"}
    renamed = {}
    for name, tensor in weights.items():
        name = re.sub(r"^outc\.conv", "head", name)
        name = re.sub(r"^inc\.", "stem.", name)
        name = re.sub(r"^down(\d)\.maxpool_conv\.1\.", lambda m: f"down.{int(m[1]) - 1}.1.", name)
        name = re.sub(r"^up(\d)\.up\.", lambda m: f"up.{int(m[1]) - 1}.upsample.", name)
        name = re.sub(r"^up(\d)\.", lambda m: f"up.{int(m[1]) - 1}.", name)
        name = re.sub(r"double_conv\.(\d)", lambda m: leaves[m[1]], name)
        renamed[name] = tensor
    return renamed


def encoder_from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """segmentation_models_pytorch's names (timm's encoders, MobileNetV2) -> ours."""
    encoder, others = split_encoder(weights, r"encoder\.", timm_residual=True)
    return encoder | rename(
        others,
        (r"^decoder\.blocks\.", "decoder."),
        (r"^(decoder.*conv[12])\.0\.", r"\1.conv."),
        (r"^(decoder.*conv[12])\.1\.", r"\1.norm."),
        (r"^segmentation_head\.0\.", "head."),
    )


_PAPER = (
    "Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, "
    "MICCAI 2015, arXiv 1505.04597"
)

CARD = Card(
    title="U-Net",
    paper=_PAPER,
    tasks=("semantic",),
    repository="https://github.com/milesial/Pytorch-UNet",
    licence="GPL-3.0 (the reference's code, which was not read: facts from its recorded outputs)",
    published=(
        Published(
            what="Dice, Carvana test images, input scaled by 0.5",
            value=0.988423,
            source="README of the repository",
            variant="unet",
        ),
    ),
    notes="Padding 1 and batch norm, as practice has it; the paper's network has neither.",
    from_reference=from_reference,
)

ENCODER_CARD = Card(
    title="U-Net on a pretrained encoder",
    paper=_PAPER,
    tasks=("semantic",),
    repository="https://github.com/qubvel-org/segmentation_models.pytorch",
    licence="MIT",
    notes="Nearest-neighbour upsampling; batch norm; any timm encoder that returns a pyramid.",
    from_reference=encoder_from_reference,
)
