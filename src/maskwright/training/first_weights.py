"""First weights from a file: our own checkpoints, or the authors' under their names."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from maskwright.architectures import architecture
from maskwright.architectures.weights import read_weights


def read_first_weights(path: Path | str, name: str) -> dict[str, Tensor]:
    """Read weights and bring them under our names.

    A file whose names are all the authors' goes through the card's `from_reference`; ours is taken
    as it is. Pickles run no code.

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
    if own & set(tensors):
        return tensors
    return entry.card.from_reference(tensors)
