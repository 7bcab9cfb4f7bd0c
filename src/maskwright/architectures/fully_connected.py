"""Direct prediction: one dense layer from what was seen to every pixel's class.

The naive beginning of the field, with no paper of its own: what a classifier does if it is asked
for H W answers instead of one. Compare Long, Shelhamer, Darrell, CVPR 2015, arXiv 1411.4038,
section 3.1, on why dense layers were given up.

Notable, as a warning: every output pixel has weights of its own for every hidden unit, so that
nothing learnt in one place is known in another, parameters grow with the image, and its size is
fixed. The image is therefore shrunk to a small square first, which loses all that is fine.

Legend: B batch, 3 colours (RGB), K classes, H W of the image, S side of the small square.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Card, SemanticNetwork
from maskwright.architectures.sizes import require_positive
from maskwright.layers.initialise import initialise


@dataclass(frozen=True, kw_only=True)
class FullyConnectedConfig:
    """Sizes, chosen so that a small machine can train it.

    Attributes:
        classes: K.
        side: S, of the square that the image is shrunk to and that is answered.
        hidden: units of the one layer between.
    """

    classes: int = 21
    side: int = 64
    hidden: int = 512

    def __post_init__(self) -> None:
        require_positive(self, "side", "hidden")


class FullyConnected(SemanticNetwork):
    """Shrink, one hidden layer, one layer to all pixels, enlarge."""

    def __init__(self, config: FullyConnectedConfig) -> None:
        super().__init__(config)
        pixels = config.side**2
        self.side = config.side
        self.see = nn.Linear(3 * pixels, config.hidden)
        self.answer = nn.Linear(config.hidden, config.classes * pixels, bias=False)
        self.class_bias = nn.Parameter(torch.zeros(config.classes))
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB, normalised -> {"logits": BKSS}."""
        square = (self.side, self.side)
        small_B3SS = F.interpolate(images_B3HW, size=square, mode="bilinear", align_corners=False)
        hidden = F.relu(self.see(small_B3SS.flatten(1)))
        logits_BKSS = self.answer(hidden).view(-1, len(self.class_bias), *square)
        return {"logits": logits_BKSS + self.class_bias[:, None, None]}

    def head_prefixes(self) -> tuple[str, ...]:
        """Each class's bias, and the layer to all pixels."""
        return ("class_bias", "answer.")


def tiny(classes: int) -> FullyConnected:
    """The smallest useful one, for tests: 0.2 M parameters."""
    return FullyConnected(FullyConnectedConfig(classes=classes, side=32, hidden=32))


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """There is no reference: names are ours already."""
    return dict(weights)


CARD = Card(
    title="Direct fully connected prediction",
    paper="none: a baseline of the field's history, built to show what it costs",
    tasks=("semantic",),
    repository="none: an interpretation",
    licence="none: there is no reference code",
    notes=(
        "50.3 M parameters for answers of 64x64, 44 M of them in the last layer. A single layer "
        "from a 512x512 image straight to its 21 classes a pixel would have 4.3 million million "
        "(17 TB). Nothing learnt in one place is known in another: expect little on new images."
    ),
    from_reference=from_reference,
)
