"""Names of the authors' checkpoints -> ours, by a short list of rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from maskwright.core.errors import ModelFileError


def rename(weights: Mapping[str, Tensor], *rules: tuple[str, str]) -> dict[str, Tensor]:
    """Rewrite every name by the rules, each applied to what the one before left.

    Args:
        weights: name -> tensor.
        rules: (regular expression, replacement), as `re.sub` takes them.

    Raises:
        ModelFileError: two names became one.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        ours = name
        for pattern, replacement in rules:
            ours = re.sub(pattern, replacement, ours)
        if ours in renamed:
            raise ModelFileError(
                f"expected a checkpoint of one naming, got two entries that both mean {ours!r} "
                f"(one of them is {name!r}); pass the authors' file as it was published."
            )
        renamed[ours] = tensor
    return renamed
