"""Sliding window: every cell's class from a patch around it, each patch classified by itself.

Dan Ciresan, Alessandro Giusti, Luca Gambardella, Juergen Schmidhuber: Deep Neural Networks Segment
Neuronal Membranes in Electron Microscopy Images, NIPS 2012.

Notable, as a warning: neighbouring windows share almost all of their pixels, and the network
computes on all of them again. `in_one_pass` gives the same answers from one run over the whole
image, since no convolution here pads and every window begins where the poolings do: the step that
made fully convolutional networks (Long et al. 2015, section 3.1).

Legend: B batch, 3 colours (RGB), C channels, K classes, H W of the image, h w of the windows' grid,
p side of a window, N = B h w windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Card, SemanticNetwork
from maskwright.architectures.sizes import require_lengths, require_positive
from maskwright.core.errors import ConfigError
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.initialise import initialise, initialise_scores
from maskwright.layers.reflect import reflect_pad
from maskwright.layers.upsample import enlarge_and_crop


@dataclass(frozen=True, kw_only=True)
class SlidingWindowConfig:
    """Sizes, chosen so that a small machine can bear it; the paper steps by 1.

    Attributes:
        classes: K.
        widths: C of each 3x3 convolution, which a 2x2 max pooling follows.
        left: side of the map that is left of a window when the dense layer reads it.
        hidden: units of the dense layer.
        step: pixels between windows; the answers between them are interpolated.
    """

    classes: int = 21
    widths: tuple[int, ...] = (16, 32, 64)
    left: int = 4
    hidden: int = 128
    step: int = 8

    def __post_init__(self) -> None:
        require_lengths(self, widths=max(1, len(self.widths)))
        require_positive(self, "left", "hidden", "step")
        if self.step > self.window:
            raise ConfigError(
                f"SlidingWindowConfig expects windows that meet, got step {self.step} and windows "
                f"of {self.window} pixels."
            )

    @property
    def window(self) -> int:
        """p, the side that unpadded convolutions and poolings bring down to `left`: 46."""
        side = self.left
        for _ in self.widths:
            side = 2 * side + 2
        return side


class SlidingWindow(SemanticNetwork):
    """Cut windows out, classify each, lay the answers out as a map."""

    def __init__(self, config: SlidingWindowConfig) -> None:
        super().__init__(config)
        self.step, self.window = config.step, config.window
        layers: list[nn.Module] = []
        for inside, width in zip((3, *config.widths), config.widths):
            layers += [ConvNormAct(inside, width, padding=0), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        # a dense layer, written as the convolution that covers the window's whole map
        self.dense = ConvNormAct(config.widths[-1], config.hidden, config.left, padding=0)
        self.classify = nn.Conv2d(config.hidden, config.classes, 1)
        self.apply(initialise)
        initialise_scores(self.classify)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKHW} in the pixels of the image."""
        size = images_B3HW.shape[-2:]
        windows_Bhw3pp = self._cut_out(self._pad(images_B3HW))
        batch, height, width = windows_Bhw3pp.shape[:3]
        logits_NK11 = self._classify_patch(windows_Bhw3pp.flatten(0, 2))
        logits_BKhw = logits_NK11.view(batch, height, width, -1).permute(0, 3, 1, 2)
        return {"logits": enlarge_and_crop(logits_BKhw, self.step, size)}

    def in_one_pass(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """What `forward` answers, outside training, without computing anything twice.

        Raises:
            ConfigError: windows don't begin where the poolings do.
        """
        pooled = 2 ** (len(self.features) // 2)
        if self.step != pooled:
            raise ConfigError(
                f"one pass answers every {pooled} pixels, as the poolings do; got step {self.step}."
            )
        logits_BKhw = self._classify_patch(self._pad(images_B3HW))
        return {"logits": enlarge_and_crop(logits_BKhw, self.step, images_B3HW.shape[-2:])}

    def head_prefixes(self) -> tuple[str, ...]:
        """The layer to the classes."""
        return ("classify.",)

    def _classify_patch(self, patches_N3pp: Tensor) -> Tensor:
        """[N, 3, p, p] -> [N, K, 1, 1]; larger images give a map."""
        return self.classify(self.dense(self.features(patches_N3pp)))

    def _pad(self, images_B3HW: Tensor) -> Tensor:
        """Reflected, so that a window has its cell of step x step pixels in the middle."""
        before = (self.window - self.step) // 2
        after = self.window - self.step - before
        height, width = images_B3HW.shape[-2:]
        rest = (after + -height % self.step, after + -width % self.step)
        return reflect_pad(images_B3HW, (before, rest[0]), (before, rest[1]))

    def _cut_out(self, padded_B3HW: Tensor) -> Tensor:
        """Every window, as a copy: [B, h, w, 3, p, p]."""
        batch, colours = padded_B3HW.shape[:2]
        counts = []
        for axis in (2, 3):
            count = (padded_B3HW.shape[axis] - self.window) // self.step + 1
            starts = self.step * torch.arange(count, device=padded_B3HW.device)
            taps = torch.arange(self.window, device=padded_B3HW.device)
            places = (starts[:, None] + taps).flatten()
            padded_B3HW = padded_B3HW.index_select(axis, places)
            counts.append(count)
        height, width = counts
        windows = padded_B3HW.view(batch, colours, height, self.window, width, self.window)
        return windows.permute(0, 2, 4, 1, 3, 5)


def tiny(classes: int) -> SlidingWindow:
    """The smallest useful one, for tests: 0.02 M parameters, windows of 22 pixels every 4."""
    return SlidingWindow(
        SlidingWindowConfig(classes=classes, widths=(12, 24), left=4, hidden=32, step=4)
    )


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """There is no reference: names are ours already."""
    return dict(weights)


CARD = Card(
    title="Sliding-window patch classification",
    paper=(
        "Ciresan, Giusti, Gambardella, Schmidhuber: Deep Neural Networks Segment Neuronal "
        "Membranes in Electron Microscopy Images, NIPS 2012"
    ),
    tasks=("semantic",),
    repository="none: the authors published no code",
    licence="none: there is no reference code",
    notes=(
        "An interpretation: small, batch norm, a window every 8 pixels, where the paper has one a "
        "pixel. At 512x512 that is 32.7 GFLOPs for answers that one pass gives for 2.7 (12 times "
        "less); a window a pixel would be 2,093. Training keeps every window's features: lower "
        "the batch where memory is short."
    ),
    from_reference=from_reference,
)
