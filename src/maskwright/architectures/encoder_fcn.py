"""FCN's skips on a pretrained encoder.

Jonathan Long, Evan Shelhamer, Trevor Darrell: Fully Convolutional Networks for Semantic
Segmentation, CVPR 2015, arXiv 1411.4038, section 4.2.

Notable: the plainest decoder there is, and so the one to measure others against. Scores are made by
a 1x1 convolution at strides 32, 16 and 8; coarse ones are enlarged bilinearly and added to finer
ones. With today's encoders, which pad, nothing needs to be cropped.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map; a
number behind h w is the stride.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from maskwright.architectures.contract import Card, SemanticNetwork, resize_logits
from maskwright.architectures.encoders.timm_encoder import TimmEncoder
from maskwright.core.errors import ConfigError
from maskwright.layers.context import AveragePooling, MultiScaleDilation
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise_scores


@dataclass(frozen=True, kw_only=True)
class EncoderFCNConfig:
    """Sizes of an FCN on a timm encoder.

    Attributes:
        classes: K.
        encoder: timm's name.
        pretrained: start from ImageNet weights; without effect where a checkpoint is loaded after.
        stride: of the finest map that scores are made from; 8 is FCN-8s.
        dropout: of whole channels before every score.
        context: a key of CONTEXTS: what the coarsest scores are made from.
    """

    classes: int = 2
    encoder: str = "tf_efficientnet_lite0"
    pretrained: bool = False
    stride: Literal[4, 8, 16, 32] = 8
    dropout: float = 0.1
    context: Literal["none", "average", "dilation"] = "none"


CONTEXTS: Mapping[str, Callable[[int], tuple[nn.Module, int]]] = {
    "none": lambda width: (nn.Identity(), width),
    "average": lambda width: (AveragePooling(width), 2 * width),
    "dilation": lambda width: (_multi_scale_dilation(width, 128), 128),
}
"""Name -> function of the encoder's last C -> what sees further, and its C."""


def _multi_scale_dilation(width: int, narrow: int) -> nn.Module:
    """At stride 32 a view of 19 cells is 600 pixels."""
    layers = MultiScaleDilation(narrow, (1, 1, 2, 4, 1))
    return nn.Sequential(ConvNormAct(width, narrow, 1), layers)


class EncoderFCN(SemanticNetwork):
    """A timm encoder, scores at several strides, their sum."""

    def __init__(self, config: EncoderFCNConfig) -> None:
        encoder = TimmEncoder(config.encoder, config.pretrained)
        super().__init__(config, encoder.mean, encoder.std)
        self.encoder = encoder
        widths = [
            width
            for width, stride in zip(encoder.channels, encoder.strides)
            if stride >= config.stride
        ]
        if not widths:
            raise ConfigError(
                f"{config.encoder} has features at strides {encoder.strides}, got stride "
                f"{config.stride}; choose one of them."
            )
        self.context, widths[-1] = CONTEXTS[config.context](widths[-1])
        self.scores = nn.ModuleList(nn.Conv2d(width, config.classes, 1) for width in widths[::-1])
        self.dropout = nn.Dropout2d(config.dropout)
        initialise_scores(self.scores)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw} at the finest stride."""
        *finer, coarsest_BChw = self.encoder(images_B3HW)
        logits_BKhw = self._score(self.scores[0], self.context(coarsest_BChw))
        for score, features_BChw in zip(self.scores[1:], reversed(finer)):
            skip_BKhw = self._score(score, features_BChw)
            logits_BKhw = resize_logits(logits_BKhw, skip_BKhw.shape[-2:]) + skip_BKhw
        return {"logits": logits_BKhw}

    def _score(self, score: nn.Module, features_BChw: Tensor) -> Tensor:
        scores_BKhw: Tensor = score(self.dropout(features_BChw))
        return scores_BKhw

    def head_prefixes(self) -> tuple[str, ...]:
        """All of the scores."""
        return ("scores.",)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The timm network's, where ImageNet weights were asked for."""
        pretrained = getattr(self.config, "pretrained", False)
        return list(self.encoder.parameters()) if pretrained else []


def tiny(classes: int) -> EncoderFCN:
    """A small FCN on a small timm encoder, for tests: 64x64 images want a stride of 4."""
    return EncoderFCN(
        EncoderFCNConfig(classes=classes, encoder="test_efficientnet", stride=4, dropout=0.0)
    )


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's names of the encoder's weights -> ours; the scores have no reference."""
    return {f"encoder.network.{name}": tensor for name, tensor in weights.items()}


CARD = Card(
    title="FCN's skips on a pretrained encoder",
    paper=(
        "Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, CVPR "
        "2015, arXiv 1411.4038"
    ),
    tasks=("semantic",),
    repository="https://github.com/huggingface/pytorch-image-models (the encoder)",
    licence="Apache-2.0 (timm); the head has no reference code",
    notes=(
        "The paper's skips, sums and bilinear enlargement on an encoder of today; enlargement is "
        "fixed, as in the authors' Caffe. What U-Net gains over this, on the same encoder, its "
        "decoder gains."
    ),
    from_reference=from_reference,
)
