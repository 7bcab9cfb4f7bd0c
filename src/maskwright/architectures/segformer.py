"""SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers.

Enze Xie, Wenhai Wang, Zhiding Yu, Anima Anandkumar, Jose M. Alvarez, Ping Luo, NeurIPS 2021,
arXiv 2105.15203.

Notable: a pyramid of transformer stages (strides 4, 8, 16, 32) without positional encodings:
patches overlap, and a depth-wise 3x3 convolution inside each feed-forward part leaks position from
the zero padding, so that any input size does. Keys and values are computed on a map shrunk by a
strided convolution, which divides attention's quadratic cost by the square of the reduction. The
decoder is nothing but linear layers: the transformer's field of view is wide enough.

Legend: B batch, 3 colours (RGB), C channels, D decoder channels, K classes, H W of the image, h w
of a feature map, M heads, N = h w tokens, n tokens after the reduction, c = C / M.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import (
    Card,
    Checkpoint,
    Published,
    SemanticNetwork,
    resize_logits,
)
from maskwright.architectures.renaming import rename
from maskwright.architectures.sizes import require_lengths
from maskwright.core.errors import ConfigError
from maskwright.layers.drop_path import DropPath
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class SegFormerConfig:
    """Sizes; the defaults are those of SegFormer-B0 (table 6) for ADE20K.

    Attributes:
        classes: K.
        widths: C of the four stages.
        depths: transformer blocks of each.
        heads: attention heads of each; they divide the width.
        reductions: of the map that keys and values are computed on, per side (R is its square).
        mlp_ratios: expansion of each stage's feed-forward part.
        decoder_width: D.
        dropout: of whole channels before the last convolution.
        drop_path: rate of the deepest block's stochastic depth; it rises from 0 in equal steps.
        norm_eps: of the blocks' and stages' layer norms; patch embeddings and reductions have 1e-5.
    """

    classes: int = 150
    widths: tuple[int, ...] = (32, 64, 160, 256)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    mlp_ratios: tuple[int, ...] = (4, 4, 4, 4)
    decoder_width: int = 256
    dropout: float = 0.1
    drop_path: float = 0.1
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        require_lengths(self, widths=4, depths=4, heads=4, reductions=4, mlp_ratios=4)
        if any(width % heads for width, heads in zip(self.widths, self.heads)):
            raise ConfigError(
                f"SegFormerConfig expects widths that are multiples of their heads, got widths "
                f"{self.widths} and heads {self.heads}."
            )


_WIDE = (64, 128, 320, 512)
SIZES = (
    SegFormerConfig(),
    SegFormerConfig(widths=_WIDE),
    SegFormerConfig(widths=_WIDE, depths=(3, 4, 6, 3), decoder_width=768),
    SegFormerConfig(widths=_WIDE, depths=(3, 4, 18, 3), decoder_width=768),
    SegFormerConfig(widths=_WIDE, depths=(3, 8, 27, 3), decoder_width=768),
    SegFormerConfig(widths=_WIDE, depths=(3, 6, 40, 3), decoder_width=768),
)
"""SegFormer-B0 to SegFormer-B5 (table 6)."""


class SegFormer(SemanticNetwork):
    """Hierarchical transformer encoder, all-MLP decoder (figure 2). Inputs are 32x32 or larger."""

    def __init__(self, config: SegFormerConfig) -> None:
        super().__init__(config)
        self.encoder = _MixTransformer(config)
        self.decoder = _MLPDecoder(config)
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKhw} at stride 4."""
        return {"logits": self.decoder(self.encoder(images_B3HW))}

    def head_prefixes(self) -> tuple[str, ...]:
        """The 1x1 convolution to the classes."""
        return ("decoder.classify.",)


class _MixTransformer(nn.Module):
    """Section 3.1: four stages, each an overlapping patch embedding and its blocks."""

    def __init__(self, config: SegFormerConfig) -> None:
        super().__init__()
        rates = torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist()
        self.stages = nn.ModuleList(
            _Stage(config, stage, [rates.pop(0) for _ in range(depth)])
            for stage, depth in enumerate(config.depths)
        )

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """-> features BChw at strides 4, 8, 16, 32."""
        features = [images_B3HW]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class _Stage(nn.Module):
    def __init__(self, config: SegFormerConfig, stage: int, rates: Sequence[float]) -> None:
        super().__init__()
        inside, width = (3, *config.widths)[stage], config.widths[stage]
        kernel, stride = (7, 4) if stage == 0 else (3, 2)
        # patches overlap: their side exceeds their step
        self.embed = nn.Conv2d(inside, width, kernel, stride, padding=kernel // 2)
        self.embed_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_Block(config, stage, rate) for rate in rates)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)

    def forward(self, features_BChw: Tensor) -> Tensor:
        features_BhwC = self.embed_norm(_channels_last(self.embed(features_BChw)))
        for block in self.blocks:
            features_BhwC = block(features_BhwC)
        return _channels_first(self.norm(features_BhwC))


class _Block(nn.Module):
    """Efficient self-attention, then Mix-FFN, each normalised before and added to its input."""

    def __init__(self, config: SegFormerConfig, stage: int, rate: float) -> None:
        super().__init__()
        width, eps = config.widths[stage], config.norm_eps
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.attention = _EfficientAttention(width, config.heads[stage], config.reductions[stage])
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = _MixFFN(width, width * config.mlp_ratios[stage])
        self.drop_path = DropPath(rate)

    def forward(self, features_BhwC: Tensor) -> Tensor:
        attended_BhwC = self.attention(self.attention_norm(features_BhwC))
        features_BhwC = features_BhwC + self.drop_path(attended_BhwC)
        mixed_BhwC = self.mlp(self.mlp_norm(features_BhwC))
        return features_BhwC + self.drop_path(mixed_BhwC)


class _EfficientAttention(nn.Module):
    """Equations 1 and 2: every position asks; the answers come from a reduced map."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.reduce: nn.Module = nn.Identity()
        self.reduce_norm: nn.Module = nn.Identity()
        if reduction > 1:
            self.reduce = nn.Conv2d(width, width, reduction, reduction)
            self.reduce_norm = nn.LayerNorm(width)

    def forward(self, features_BhwC: Tensor) -> Tensor:
        reduced_BnC = self._reduced(features_BhwC)
        key_BnC, value_BnC = self.key_value(reduced_BnC).chunk(2, dim=-1)
        attended_BMNc = F.scaled_dot_product_attention(
            self._split(self.query(features_BhwC).flatten(1, 2)),
            self._split(key_BnC),
            self._split(value_BnC),
        )
        joined_BNC = attended_BMNc.transpose(1, 2).flatten(2)
        return self.out(joined_BNC).view_as(features_BhwC)

    def _reduced(self, features_BhwC: Tensor) -> Tensor:
        if isinstance(self.reduce, nn.Identity):
            return features_BhwC.flatten(1, 2)
        reduced_BChw = self.reduce(_channels_first(features_BhwC))
        return self.reduce_norm(reduced_BChw.flatten(2).transpose(1, 2))

    def _split(self, tokens_BNC: Tensor) -> Tensor:
        """[B, N, C] -> [B, M, N, c]."""
        return tokens_BNC.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _MixFFN(nn.Module):
    """Equation 3: a depth-wise 3x3 convolution between the two linear layers tells position."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.project = nn.Linear(hidden, width)

    def forward(self, features_BhwC: Tensor) -> Tensor:
        hidden_BChw = self.mix(_channels_first(self.expand(features_BhwC)))
        return self.project(_channels_last(F.gelu(hidden_BChw)))


class _MLPDecoder(nn.Module):
    """Section 3.2 (equation 4): project, enlarge, concatenate, fuse, classify.

    Projection, bilinear enlargement and fusion are all linear, and the first and last act on
    pixels alone, so they commute: a stage's two matrices are multiplied with each other and
    applied at the stage's own size. The same function for a fraction of the work.
    """

    def __init__(self, config: SegFormerConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.project = nn.ModuleList(nn.Linear(inside, width) for inside in config.widths)
        self.fuse = nn.Conv2d(width * len(config.widths), width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classify = nn.Conv2d(width, config.classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features BChw, finest first -> logits BKhw of the finest size."""
        # the fusion reads the deepest stage first
        fusions_DD = reversed(self.fuse.weight.flatten(1).chunk(len(features), dim=1))
        size = features[0].shape[-2:]
        fused = []
        for features_BChw, module, fuse_DD in zip(features, self.project, fusions_DD):
            project = cast(nn.Linear, module)
            weight_DC11 = (fuse_DD @ project.weight)[:, :, None, None]
            fused_BDhw = F.conv2d(features_BChw, weight_DC11, fuse_DD @ project.bias)
            fused.append(resize_logits(fused_BDhw, size))
        fused_BDhw = F.relu(self.norm(sum(fused[1:], fused[0])))
        return self.classify(self.dropout(fused_BDhw))


def _channels_last(features_BChw: Tensor) -> Tensor:
    return features_BChw.permute(0, 2, 3, 1)


def _channels_first(features_BhwC: Tensor) -> Tensor:
    return features_BhwC.permute(0, 3, 1, 2)


def tiny(classes: int) -> SegFormer:
    """The smallest useful SegFormer, for tests: 0.1 M parameters."""
    return SegFormer(
        SegFormerConfig(
            classes=classes,
            widths=(16, 24, 32, 48),
            depths=(1, 1, 1, 1),
            heads=(1, 2, 2, 3),
            mlp_ratios=(2, 2, 2, 2),
            decoder_width=48,
            drop_path=0.0,
        )
    )


_STAGES = (
    # transformers 5
    (r"^segformer\.stages\.", "encoder.stages."),
    # transformers 4
    (r"^segformer\.encoder\.patch_embeddings\.(\d)\.", r"encoder.stages.\1.patch_embeddings."),
    (r"^segformer\.encoder\.block\.(\d)\.", r"encoder.stages.\1.blocks."),
    (r"^segformer\.encoder\.layer_norm\.(\d)\.", r"encoder.stages.\1.norm."),
    # the authors count from 1; their ImageNet weights have no "backbone.", and it is "encoder." in
    # segmentation_models_pytorch
    *(
        rule
        for stage in range(4)
        for rule in (
            (
                rf"^((backbone|encoder)\.)?patch_embed{stage + 1}\.",
                f"encoder.stages.{stage}.patch_embeddings.",
            ),
            (rf"^((backbone|encoder)\.)?block{stage + 1}\.", f"encoder.stages.{stage}.blocks."),
            (rf"^((backbone|encoder)\.)?norm{stage + 1}\.", f"encoder.stages.{stage}.norm."),
            (rf"^decode_head\.linear_c{stage + 1}\.proj\.", f"decoder.project.{stage}."),
            # deepest first
            (rf"^decoder\.mlp_stage\.{3 - stage}\.linear\.", f"decoder.project.{stage}."),
        )
    ),
)
_PARTS = (
    (r"\.patch_embeddings\.proj\.", ".embed."),
    (r"\.patch_embeddings\.(layer_)?norm\.", ".embed_norm."),
    (r"(stages\.\d)\.layer_norm\.", r"\1.norm."),
    (r"\.(norm1|layer_norm_1|layernorm_before)\.", ".attention_norm."),
    (r"\.(norm2|layer_norm_2|layernorm_after)\.", ".mlp_norm."),
    (r"\.(attn|attention\.self)\.", ".attention."),
    (r"\.attention\.(proj|o_proj|output\.dense)\.", ".attention.out."),
    (r"\.attention\.(q|q_proj)\.", ".attention.query."),
    (r"\.attention\.k_proj\.", ".attention.key."),
    (r"\.attention\.v_proj\.", ".attention.value."),
    (r"\.attention\.kv\.", ".attention.key_value."),
    (r"\.attention\.(sr|sequence_reduction\.sequence_reduction)\.", ".attention.reduce."),
    (r"\.attention\.(norm|layer_norm|sequence_reduction\.layer_norm)\.", ".attention.reduce_norm."),
    (r"\.mlp\.(fc|dense)1\.", ".mlp.expand."),
    (r"\.mlp\.dwconv\.dwconv\.", ".mlp.mix."),
    (r"\.mlp\.(fc|dense)2\.", ".mlp.project."),
    (r"^decode_head\.(linear_c|linear_projections)\.(\d)\.proj\.", r"decoder.project.\2."),
    (r"^decode_head\.(linear_fuse\.bn|batch_norm)\.", "decoder.norm."),
    (r"^decode_head\.linear_fuse\.(conv\.)?", "decoder.fuse."),
    (r"^decode_head\.(linear_pred|classifier)\.", "decoder.classify."),
    (r"^decoder\.fuse_stage\.0\.", "decoder.fuse."),
    (r"^decoder\.fuse_stage\.1\.", "decoder.norm."),
    (r"^segmentation_head\.0\.", "decoder.classify."),
)


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of the authors, transformers (4 or 5) or segmentation_models_pytorch -> ours.

    The authors fuse keys and values as we do; transformers keeps them apart. `conv_seg`, which the
    authors' base class brings and nothing calls, is left out.
    """
    used = {name: tensor for name, tensor in weights.items() if ".conv_seg." not in name}
    ours = rename(used, *_STAGES, *_PARTS)
    for key_name in [name for name in ours if ".attention.key." in name]:
        value_name = key_name.replace(".key.", ".value.")
        pair = [ours.pop(key_name), ours.pop(value_name)]
        ours[key_name.replace(".key.", ".key_value.")] = torch.cat(pair)
    return ours


_TABLE = "tables 1 and 2, confirmed on a leaderboard page"
_MEMORY = "tables 1 and 2, from memory, not re-read"
_PARAMETERS, _ADE, _CITY = "parameters, millions", "mIoU ADE20K val", "mIoU Cityscapes val"
_ADE_FPS = "fps ADE20K, short side 512, V100"
_CITY_FPS = "fps Cityscapes, short side 1024, V100"
_PUBLISHED = (
    ("segformer-b0", _PARAMETERS, 3.8, _TABLE),
    ("segformer-b0", f"{_ADE}, single scale", 37.4, _TABLE),
    ("segformer-b0", _ADE_FPS, 50.5, _MEMORY),
    ("segformer-b0", f"{_CITY}, single scale", 76.2, _MEMORY),
    ("segformer-b0", _CITY_FPS, 15.2, _MEMORY),
    ("segformer-b0", f"{_CITY}, short side 512", 71.9, _MEMORY),
    ("segformer-b0", "fps Cityscapes, short side 512, V100", 47.6, _MEMORY),
    ("segformer-b2", _PARAMETERS, 27.5, _MEMORY),
    ("segformer-b2", f"{_ADE}, single scale", 46.5, _MEMORY),
    ("segformer-b2", f"{_ADE}, multi-scale", 47.5, _MEMORY),
    ("segformer-b2", _ADE_FPS, 24.5, _MEMORY),
    ("segformer-b2", f"{_CITY}, single scale", 81.0, _MEMORY),
    ("segformer-b2", f"{_CITY}, multi-scale", 82.2, _MEMORY),
    ("segformer-b2", _CITY_FPS, 5.6, _MEMORY),
    ("segformer-b4", _PARAMETERS, 64.1, _TABLE),
    ("segformer-b4", f"{_ADE}, single scale", 50.3, _TABLE),
    ("segformer-b4", f"{_ADE}, multi-scale", 51.1, _TABLE),
    ("segformer-b5", _PARAMETERS, 84.7, _TABLE),
    ("segformer-b5", f"{_ADE}, single scale", 51.0, _MEMORY),
    ("segformer-b5", f"{_ADE}, multi-scale", 51.8, _TABLE),
    ("segformer-b5", _ADE_FPS, 9.8, _MEMORY),
    ("segformer-b5", f"{_CITY}, single scale", 82.4, _MEMORY),
    ("segformer-b5", f"{_CITY}, multi-scale", 84.0, "abstract"),
    ("segformer-b5", _CITY_FPS, 2.5, _MEMORY),
)

CARD = Card(
    title="SegFormer",
    paper=(
        "Xie, Wang, Yu, Anandkumar, Alvarez, Luo: SegFormer: Simple and Efficient Design for "
        "Semantic Segmentation with Transformers, NeurIPS 2021, arXiv 2105.15203"
    ),
    tasks=("semantic",),
    repository="https://github.com/NVlabs/SegFormer",
    licence=(
        "NVIDIA Source Code License (non-commercial), weights likewise; the transformers port's "
        "code is Apache-2.0. Neither was copied."
    ),
    published=tuple(
        Published(variant=variant, what=what, value=value, source=source)
        for variant, what, value, source in _PUBLISHED
    ),
    checkpoints={
        f"ade20k, b{size}": Checkpoint(
            address=f"https://huggingface.co/nvidia/segformer-b{size}-finetuned-ade-"
            f"{'640-640' if size == 5 else '512-512'}/resolve/main/pytorch_model.bin"
        )
        for size in range(6)
    },
    notes=(
        "The decoder multiplies each stage's projection with its part of the fusion before they "
        "meet pixels: the same function (to 1e-8 in float64) for fewer GFLOPs than the paper "
        "counts. Keys and values are one matrix, as in the authors' code. The authors' weights are "
        "for research only."
    ),
    from_reference=from_reference,
)
