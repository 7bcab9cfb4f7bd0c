"""Initial weights: our own checkpoints, or the authors' under their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskwright.architectures import architecture, read_card, rebuild
from maskwright.architectures.channels import adapt_weight, for_channels
from maskwright.architectures.contract import Checkpoint, Network
from maskwright.architectures.darknet_files import is_darknet, read_darknet
from maskwright.architectures.weights import (
    load_weights,
    read_weights,
    usable,
)
from maskwright.core.card import Modification
from maskwright.core.download import download, is_address, original_name
from maskwright.core.errors import ConfigError, MaskwrightError, ModelFileError


class InitialWeights(dict[str, Tensor]):
    """Tensors under our names, and what else their file or the architecture's card tells.

    Attributes:
        source: the file.
        checkpoint: whose mean and std they were trained with; None: nobody tells.
        modifications: what was done to the network that they are from.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        source: str,
        checkpoint: Checkpoint | None = None,
        modifications: tuple[Modification, ...] = (),
    ) -> None:
        super().__init__(tensors)
        self.source, self.checkpoint, self.modifications = source, checkpoint, modifications


def load_initial_weights(
    network: Network, weights: Mapping[str, Tensor], note: Callable[[str], None]
) -> None:
    """Put initial weights into a network, and normalise images as they want it.

    Args:
        network: keeps its first values where the tensors lack or don't fit.
        weights: `InitialWeights`, or tensors under our names, of which nothing else is known.
        note: told what was loaded and how images are normalised.

    Raises:
        ModelFileError: nothing fits, or a tensor outside of the head has another shape.
    """
    note(str(load_weights(network, _for_pixels(network, weights))))
    checkpoint = weights.checkpoint if isinstance(weights, InitialWeights) else None
    if checkpoint is not None and checkpoint.mean is not None and checkpoint.std is not None:
        count = network.expects.channels
        mean, std = (for_channels(each, count) for each in (checkpoint.mean, checkpoint.std))
        network.normalise_by(mean, std)
    if checkpoint is None or network.normalisation != network.built_normalisation:
        told = ["(" + ", ".join(f"{v:.4g}" for v in each) + ")" for each in network.normalisation]
        why = (
            "nobody tells what the weights were trained with, so"
            if checkpoint is None
            else "as the weights want it,"
        )
        note(f"{why} images are normalised with mean {told[0]} and std {told[1]}.")


def _for_pixels(network: Network, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that read RGB, for the images that the network was adapted to."""
    adapted, channels = dict(weights), network.expects.channels
    own = network.state_dict()
    for modification in network.modifications:
        layers = modification.parameters["layers"] if modification.name == "input-channels" else ()
        for name in (f"{layer}.weight" for layer in layers):
            came = weights.get(name)
            if came is None or came.ndim < 2 or came.shape[1] % 3:
                continue
            if came.shape[1] * channels == own[name].shape[1] * 3 and channels != 3:
                adapted[name] = adapt_weight(came, 3, channels)
    return adapted


def read_initial_weights(
    path: Path | str, name: str, options: Mapping[str, Any] | None = None
) -> InitialWeights:
    """Read weights and bring them under our names.

    The authors' names go through the card's `from_reference`, ours are taken as they are: whichever
    gives more of the network's. Pickles run no code. What images were normalised with is told by
    the card of our own checkpoints, and of the authors' by the architecture's card: a file that
    has the name of one of them is taken for it.

    Args:
        path: .safetensors, .pt or .pth; Darknet's .weights for its detectors.
        name: of the architecture that will take them.
        options: its settings that differ from its own.

    Raises:
        ModelFileError: no weights, or a file that holds more than weights.
        ConfigError: an unknown architecture.
    """
    entry = architecture(name)
    if is_darknet(path):
        tensors = usable(path, read_darknet(path, name, options))
        return InitialWeights(tensors, str(path), _published(path, name))
    tensors = read_weights(path)
    checkpoint, modifications = _own_card(path, name) or (_published(path, name), ())
    with torch.device("meta"):
        settings = {**(options or {}), "pretrained": False}
        if not hasattr(entry.config, "pretrained"):
            del settings["pretrained"]
        network = rebuild(name, entry.config.classes, settings, modifications)
    named = _under_our_names(tensors, set(network.state_dict()), entry.card.from_reference)
    return InitialWeights(named, str(path), checkpoint, modifications)


def _under_our_names(
    tensors: Mapping[str, Tensor],
    own: set[str],
    from_reference: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
) -> Mapping[str, Tensor]:
    ours = own & set(tensors)
    if ours == set(tensors):
        return tensors
    try:
        renamed = from_reference(tensors)
    except MaskwrightError:
        if ours:
            return tensors
        raise
    # some authors share some of our names, such as those of a residual network
    return renamed if not ours or len(own & set(renamed)) > len(ours) else tensors


def _own_card(
    path: Path | str, name: str
) -> tuple[Checkpoint | None, tuple[Modification, ...]] | None:
    """What the card in a file of ours tells, if it has one of this architecture."""
    try:
        card = read_card(path)
    except ModelFileError:  # a plain file; whether it can be read is told already
        return None
    if card.architecture != name:
        return None
    return Checkpoint(address=str(path), mean=card.mean, std=card.std), card.modifications


def _published(path: Path | str, name: str) -> Checkpoint | None:
    """The checkpoint of the architecture's card that has the name of this file, kept or not."""
    checkpoints = architecture(name).card.checkpoints.values()
    meant = {one.address.rsplit("/", 1)[-1]: one for one in checkpoints}
    return meant.get(Path(path).name) or meant.get(original_name(path))


def find_weights(
    source: str,
    name: str,
    note: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Where initial weights lie, brought here if they must be.

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
    return checkpoints[meant[0]].address if meant else None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", text.lower())
