"""SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation.

Vijay Badrinarayanan, Alex Kendall, Roberto Cipolla, TPAMI 2017, arXiv 1511.00561.

Notable: the decoder mirrors VGG's convolutions and learns no enlargement. Each max pooling
remembers which of its four pixels won; the mirrored unpooling puts every value back to that place,
zeros elsewhere, and convolutions make the sparse map dense. Two bits a window carry the edges
across, where a U-Net carries whole feature maps.

Torch has both operations, and uses them. Exported, its unpooling becomes a scatter, which OpenVINO
runs some twenty times slower than the rest of the layer; `_choices` and `_put_back` say the same in
comparisons and a depth-to-space, ties included, and are what a graph gets.

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of a feature map; a
number behind h w is the stride.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, SemanticNetwork
from maskwright.architectures.encoders.vgg import (
    VGG16_DEPTHS,
    VGG16_WIDTHS,
    from_caffe,
    vgg_stage,
)
from maskwright.architectures.sizes import require_lengths
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise, initialise_scores


@dataclass(frozen=True, kw_only=True)
class SegNetConfig:
    """Sizes; the defaults are those of SegNet on VGG-16 for CamVid.

    Attributes:
        classes: K.
        widths: C of the encoder's stages, finest first; the decoder mirrors them.
        depths: convolutions of each.
        ceil: whether pooling keeps the last row and column of an odd map, as Caffe does, or leaves
            them out, as torch does.
        mean, std: RGB in 0..1 that the image is normalised with. The authors take no mean off: the
            first batch norm absorbs it.
    """

    classes: int = 11
    widths: tuple[int, ...] = VGG16_WIDTHS
    depths: tuple[int, ...] = VGG16_DEPTHS
    ceil: bool = True
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        require_lengths(self, depths=max(1, len(self.depths)), widths=len(self.depths))


class SegNet(SemanticNetwork):
    """VGG's convolutions, there and back; what pooling chose goes across (figure 2)."""

    def __init__(self, config: SegNetConfig) -> None:
        super().__init__(config, config.mean, config.std)
        widths, depths = config.widths, config.depths
        self.encoder = nn.ModuleList(
            vgg_stage(inside, width, depth, norm=nn.BatchNorm2d)
            for inside, width, depth in zip((3, *widths), widths, depths)
        )
        self.decoder = nn.ModuleList(  # deepest first
            _decoder_stage(width, finer, depth)
            for width, finer, depth in zip(widths[::-1], widths[-2::-1], depths[:0:-1])
        )
        self.last = vgg_stage(widths[0], widths[0], depths[0] - 1, norm=nn.BatchNorm2d)
        self.classify = nn.Conv2d(widths[0], config.classes, 3, padding=1)
        self.ceil = config.ceil
        self.apply(initialise)
        initialise_scores(self.classify)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKHW} in the pixels of the image."""
        features_BChw, pooled = self.encode(images_B3HW)
        for stage in (*self.decoder, self.last):
            features_BChw = stage(unpool(features_BChw, pooled.pop()))
        return {"logits": self.classify(features_BChw)}

    def encode(self, images_B3HW: Tensor) -> tuple[Tensor, list[Pooled]]:
        """-> the deepest map, and of each pooling, finest first, what its unpooling needs."""
        features_BChw, pooled = images_B3HW, []
        for stage in self.encoder:
            features_BChw, choices = pool(stage(features_BChw), self.ceil)
            pooled.append(choices)
        return features_BChw, pooled

    def head_prefixes(self) -> tuple[str, ...]:
        """The last convolution."""
        return ("classify.",)


def _decoder_stage(width: int, finer: int, depth: int) -> nn.Sequential:
    """As many convolutions as the encoder's stage; the last one has the next one's width."""
    keeping = vgg_stage(width, width, depth - 1, norm=nn.BatchNorm2d)
    return nn.Sequential(*keeping, ConvNormAct(width, finer, bias=True))


class Pooled(NamedTuple):
    """What unpooling needs: winners of 2x2 windows, and the size of the map they came from.

    Attributes:
        winners: int64 BChw, torch's indices into the even map; in an exported graph bool BC4hw,
            which of a window's pixels won, row by row.
        even: (height, width) of the map that was pooled, a multiple of 2.
        size: of the map before it was made even.
    """

    winners: Tensor
    even: tuple[int, int]
    size: tuple[int, int]


def pool(features_BChw: Tensor, ceil: bool) -> tuple[Tensor, Pooled]:
    """2x2 max pooling that remembers; of equal values the first wins, row by row.

    Args:
        features_BChw: not negative, as behind ReLU.
        ceil: round odd sizes up, else down.
    """
    height, width = features_BChw.shape[-2:]
    rows, columns = height % 2, width % 2
    if ceil:
        if rows or columns:  # -1 never wins
            features_BChw = F.pad(features_BChw, (0, columns, 0, rows), value=-1.0)
    else:
        features_BChw = features_BChw[:, :, : height - rows, : width - columns]
    even = (features_BChw.shape[-2], features_BChw.shape[-1])
    if torch.compiler.is_exporting():
        pooled_BChw = F.max_pool2d(features_BChw, 2)
        winners = _choices(features_BChw, pooled_BChw)
    else:
        pooled_BChw, winners = F.max_pool2d(features_BChw, 2, return_indices=True)
    return pooled_BChw, Pooled(winners, even, (height, width))


def unpool(features_BChw: Tensor, pooled: Pooled) -> Tensor:
    """Each value to the place of its window's winner, 0 elsewhere; the size of before pooling."""
    if torch.compiler.is_exporting():
        sparse_BChw = _put_back(features_BChw, pooled.winners)
    else:
        sparse_BChw = F.max_unpool2d(features_BChw, pooled.winners, [2, 2], output_size=pooled.even)
    (height, width), (even_height, even_width) = pooled.size, pooled.even
    sparse_BChw = sparse_BChw[:, :, :height, :width]
    lost = (0, max(0, width - even_width), 0, max(0, height - even_height))
    return F.pad(sparse_BChw, lost) if any(lost) else sparse_BChw


def _choices(features_BChw: Tensor, pooled_BChw: Tensor) -> Tensor:
    """bool [B, C, 4, h/2, w/2]: exactly one true a window, the first pixel that is the maximum."""
    first, second, third, fourth = (
        features_BChw[:, :, row::2, column::2] == pooled_BChw
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    left = ~first
    second, left = second & left, left & ~second
    third, left = third & left, left & ~third
    return torch.stack([first, second, third, fourth & left], dim=2)


def _put_back(features_BChw: Tensor, choices_BC4hw: Tensor) -> Tensor:
    """Values times choices, interleaved to twice the height and width."""
    batch, channels, _, height, width = choices_BC4hw.shape
    spread_BC4hw = features_BChw[:, :, None] * choices_BC4hw
    return F.pixel_shuffle(spread_BC4hw.reshape(batch, 4 * channels, height, width), 2)


def tiny(classes: int) -> SegNet:
    """The smallest useful SegNet, for tests: 0.03 M parameters."""
    return SegNet(SegNetConfig(classes=classes, widths=(16, 24, 32), depths=(1, 1, 2)))


_CAFFE_DECODER = re.compile(r"conv(\d+)_(\d+)_D(_bn)?\.(\w+)")
_SAY4N = re.compile(r"(encoder_conv|decoder_convtr)_(\d)(\d)\.([01])\.(\w+)")


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' Caffe names, or say4n/pytorch-segnet's -> ours.

    Caffe's first convolution takes BGR 0..255 and is turned round for RGB; say4n's takes RGB 0..1.
    """
    if any(_SAY4N.fullmatch(name) for name in weights):
        return _from_say4n(weights)
    weights = from_caffe(weights, "encoder")
    depths = _depths(weights)
    renamed = {}
    for name, tensor in weights.items():
        found = _CAFFE_DECODER.fullmatch(name)
        if found:
            stage, conv = int(found[1]) - 1, int(found[2]) - 1
            name = f"{_decoder_name(stage, conv, found[3] is not None, depths)}.{found[4]}"
        renamed[name] = tensor
    return renamed


def _from_say4n(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its decoder's transposed convolutions become the convolutions that they are."""
    parts = [found for name in weights if (found := _SAY4N.fullmatch(name))]
    encoder = {found.groups()[1:3] for found in parts if found[1] == "encoder_conv"}
    depths = [
        sum(stage == str(number) for stage, _ in encoder)
        for number in range(1 + max(int(stage) for stage, _ in encoder))
    ]
    renamed = {}
    for name, tensor in weights.items():
        found = _SAY4N.fullmatch(name)
        if found is None:
            renamed[name] = tensor
            continue
        stage, conv, norm, leaf = int(found[2]), int(found[3]), found[4] == "1", found[5]
        if found[1] == "encoder_conv":
            part = f"encoder.{stage}.{conv}.{'norm' if norm else 'conv'}"
            scale = (stage, conv, norm, leaf) == (0, 0, False, "weight")
            renamed[f"{part}.{leaf}"] = tensor * _units(tensor) if scale else tensor
            continue
        if tensor.ndim == 4:
            tensor = tensor.transpose(0, 1).flip(2, 3)
        renamed[f"{_decoder_name(stage, conv, norm, depths)}.{leaf}"] = tensor
    return renamed


def _units(like: Tensor) -> Tensor:
    """What one unit of a normalised input stands for in RGB 0..1, [1, 3, 1, 1]."""
    std = torch.tensor(SegNetConfig().std, dtype=torch.float64, device=like.device)
    return std.view(1, 3, 1, 1).to(like.dtype)


def _depths(weights: Mapping[str, Tensor]) -> list[int]:
    """Convolutions of each stage of the encoder, under our names."""
    found = [re.fullmatch(r"encoder\.(\d+)\.(\d+)\.conv\.weight", name) for name in weights]
    stages = [int(match[1]) for match in found if match]
    return [stages.count(stage) for stage in range(1 + max(stages, default=-1))]


def _decoder_name(stage: int, conv: int, norm: bool, depths: Sequence[int]) -> str:
    """Both references count the decoder by the encoder's layers, which it mirrors."""
    if (stage, conv) == (0, 0):
        return "classify"
    place = depths[stage] - 1 - conv
    block = f"last.{place}" if stage == 0 else f"decoder.{len(depths) - 1 - stage}.{place}"
    return f"{block}.{'norm' if norm else 'conv'}"


CARD = Card(
    title="SegNet",
    paper=(
        "Badrinarayanan, Kendall, Cipolla: SegNet: A Deep Convolutional Encoder-Decoder "
        "Architecture for Image Segmentation, TPAMI 2017, arXiv 1511.00561"
    ),
    tasks=("semantic",),
    repository="https://github.com/alexgkendall/SegNet-Tutorial",
    licence=(
        "non-commercial (the authors' models and weights, which were not read: facts from recorded "
        "outputs); MIT (the other reference, https://github.com/say4n/pytorch-segnet)"
    ),
    notes=(
        "Batch norm with running statistics, where the authors' Caffe merges them. from_reference "
        "turns the authors' first convolution (BGR 0..255) round for RGB. ceil=False for weights "
        "of say4n/pytorch-segnet at odd sizes. An exported graph unpools by comparisons, equal to "
        "torch's unpooling, ties included."
    ),
    from_reference=from_reference,
)
