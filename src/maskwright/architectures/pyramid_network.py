"""Networks whose heads read a feature pyramid on an encoder: they differ in the heads alone.

Legend: B images, 3 colours (RGB), C channels, H W of the input, h w of a feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from maskwright.architectures.contract import Network
from maskwright.architectures.encoders import EncoderSettings, create_encoder
from maskwright.layers.feature_pyramid import FeaturePyramid


class PyramidNetwork(Network):
    """An encoder and a pyramid on its features at some strides.

    Args:
        config: sizes; its encoder is built.
        width: C of the pyramid.
        strides: of the encoder's features that the pyramid is built on, finest first.
        normalisation: (mean, std) of the images; None: the encoder's.
        pyramid: further arguments of `FeaturePyramid`.
    """

    def __init__(
        self,
        config: EncoderSettings,
        width: int,
        strides: Sequence[int],
        normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
        **pyramid: Any,
    ) -> None:
        encoder = create_encoder(config)
        super().__init__(config, *(normalisation or (encoder.mean, encoder.std)))
        self.pretrained = config.pretrained
        self.encoder = encoder
        self.levels = tuple(encoder.level(stride) for stride in strides)
        inside = [encoder.channels[level] for level in self.levels]
        self.pyramid = FeaturePyramid(inside, width, **pyramid)

    def features(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> the pyramid's levels [B, width, h, w], finest first."""
        every = self.encoder(images_B3HW)
        return self.pyramid([every[level] for level in self.levels])

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The encoder's, where ImageNet weights were asked for."""
        return list(self.encoder.parameters()) if self.pretrained else []
