"""Networks that are an encoder and a head: they differ in the head alone.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from maskwright.architectures.contract import SemanticNetwork
from maskwright.architectures.encoders import EncoderSettings, create_encoder
from maskwright.core.errors import ConfigError
from maskwright.layers.enlarge import enlarge
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class AuxiliarySettings(EncoderSettings):
    """An encoder, and a second head for training; configurations inherit it.

    Attributes:
        auxiliary: whether there is a second head.
        auxiliary_level: which of the encoder's features it reads, finest first; -2 are the last but
            one. Its convolution has a quarter of their channels.
        auxiliary_dropout: in front of its last convolution.
    """

    auxiliary: bool = True
    auxiliary_level: int = -2
    auxiliary_dropout: float = 0.1


class EncoderNetwork(SemanticNetwork):
    """An encoder, a head that the subclass brings, and in training perhaps a second, plain head.

    Args:
        config: sizes; `AuxiliarySettings` where there may be a second head.
        align_corners: logits are brought to the image's size with the corner pixels' centres on
            each other, inside `forward`, instead of by the contract's half-pixel rule behind it.
    """

    head: nn.Module
    """Deepest features -> logits; its `classify` depends on the number of classes."""

    def __init__(self, config: EncoderSettings, align_corners: bool = False) -> None:
        encoder = create_encoder(config)
        super().__init__(config, encoder.mean, encoder.std)
        self.encoder = encoder
        self.align_corners = align_corners
        self.pretrained = config.pretrained
        self.auxiliary: nn.Module | None = None
        if isinstance(config, AuxiliarySettings) and config.auxiliary:
            self.auxiliary_level = config.auxiliary_level
            self.auxiliary = _auxiliary_head(encoder.channels, config)
            self.auxiliary.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw} and, in training, "auxiliary" where there is one."""
        features = self.encoder(images_B3HW)
        outputs = {"logits": self.decode(features)}
        if self.training and self.auxiliary is not None:
            outputs["auxiliary"] = self.auxiliary(features[self.auxiliary_level])
        if not self.align_corners:
            return outputs
        size = images_B3HW.shape
        return {name: enlarge(logits, size, align_corners=True) for name, logits in outputs.items()}

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """All features, finest first -> logits; a head that takes several overrides it."""
        logits: Tensor = self.head(features[-1])
        return logits

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolution of each head."""
        auxiliary = () if self.auxiliary is None else ("auxiliary.classify.",)
        return ("head.classify.", *auxiliary)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The encoder's, where ImageNet weights were asked for."""
        return list(self.encoder.parameters()) if self.pretrained else []


def _auxiliary_head(channels: tuple[int, ...], config: AuxiliarySettings) -> nn.Module:
    level = config.auxiliary_level
    if not -len(channels) <= level < len(channels):
        raise ConfigError(
            f"{config.encoder} has {len(channels)} levels of features, so auxiliary_level goes "
            f"from {-len(channels)} to {len(channels) - 1}, got {level}."
        )
    inside = channels[level]
    return PixelClassifier(inside, max(1, inside // 4), config.classes, config.auxiliary_dropout)
