"""First weights from a file: our own checkpoints, or the authors' under their names."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from maskwright.architectures import architecture
from maskwright.architectures.weights import read_weights
from maskwright.core.errors import MaskwrightError


def read_first_weights(path: Path | str, name: str) -> dict[str, Tensor]:
    """Read weights and bring them under our names.

    The authors' names go through the card's `from_reference`, ours are taken as they are: whichever
    gives more of the network's. Pickles run no code.

    Args:
        path: .safetensors, .pt or .pth.
        name: of the architecture that will take them.

    Raises:
        ModelFileError: no weights, or a file that holds more than weights.
        ConfigError: an unknown architecture.
    """
    entry = architecture(name)
    tensors = read_weights(path)
    own = set(entry.network(entry.config).state_dict())
    ours = own & set(tensors)
    if ours == set(tensors):
        return tensors
    try:
        renamed = entry.card.from_reference(tensors)
    except MaskwrightError:
        if ours:
            return tensors
        raise
    # some authors share some of our names, such as those of a residual network
    return renamed if not ours or len(own & set(renamed)) > len(ours) else tensors
