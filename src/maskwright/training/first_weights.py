"""First weights: our own checkpoints, or the authors' under their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskwright.architectures import architecture, build
from maskwright.architectures.weights import read_weights
from maskwright.core.download import download, is_address
from maskwright.core.errors import ConfigError, MaskwrightError


def read_first_weights(
    path: Path | str, name: str, options: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """Read weights and bring them under our names.

    The authors' names go through the card's `from_reference`, ours are taken as they are: whichever
    gives more of the network's. Pickles run no code.

    Args:
        path: .safetensors, .pt or .pth.
        name: of the architecture that will take them.
        options: its settings that differ from its own.

    Raises:
        ModelFileError: no weights, or a file that holds more than weights.
        ConfigError: an unknown architecture.
    """
    entry = architecture(name)
    tensors = read_weights(path)
    with torch.device("meta"):
        settings = {**(options or {}), "pretrained": False}
        if not hasattr(entry.config, "pretrained"):
            del settings["pretrained"]
        own = set(build(name, entry.config.classes, **settings).state_dict())
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


def find_weights(
    source: str,
    name: str,
    note: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Where first weights lie, brought here if they must be.

    Args:
        source: a file; else an address, as `core.download` takes them; else words of the name that
            the architecture's card has for one of the authors' checkpoints, such as "cityscapes";
            "authors" means any.
        name: of the architecture that will take them.
        note: told which address is read, and where it is kept.
        progress: called with bytes so far and in all, while they come.

    Raises:
        DownloadError: an address that can't be had.
        ConfigError: no file, and several checkpoints that it can mean; or an unknown architecture.
    """
    if is_address(source):
        address = source
    elif Path(source).exists():
        return Path(source)
    else:
        found = _named(source, name)
        if found is None:
            return Path(source)  # whose absence is told where it is read
        address = found
    path = download(address, progress)
    note(f"weights: {address}, kept in {path}")
    return path


def _named(source: str, name: str) -> str | None:
    """The address of the checkpoint that these words mean, if they mean any."""
    checkpoints = architecture(name).card.checkpoints
    words = [_plain(word) for word in re.split(r"[\s,]+", source) if _plain(word)]
    meant = [
        what
        for what in checkpoints
        if words == ["authors"] or (words and all(one in _plain(what) for one in words))
    ]
    # one card serves all sizes: those of this size are meant before others
    sizes = [_plain(part) for part in name.split("-")[1:]]
    of_this_size = [what for what in meant if any(size in _plain(what) for size in sizes)]
    meant = of_this_size or meant
    exact = [what for what in meant if what.lower() == source.lower()]
    meant = exact or meant
    if len(meant) > 1:
        raise ConfigError(
            f"{source!r} can mean several checkpoints of {name}: {'; '.join(meant)}. Give more of "
            "the name, or a file or an address."
        )
    return checkpoints[meant[0]] if meant else None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", text.lower())
