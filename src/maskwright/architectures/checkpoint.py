"""Checkpoints: a network's tensors and its card in one safetensors file.

The card travels as JSON in the file's metadata, so the file is read by any safetensors program and
holds no code. `load_checkpoint` rebuilds the network from the card alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from maskwright.architectures.catalogue import ARCHITECTURES
from maskwright.architectures.contract import Architecture, Network
from maskwright.architectures.modifications import modify
from maskwright.architectures.weights import (
    is_safetensors,
    parse_safetensors,
    read_model_file,
    usable,
)
from maskwright.core.card import FORMAT_VERSION, ModelCard
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.files import write_bytes
from maskwright.core.settings import config_values

METADATA_KEY = "maskwright_card"


def save_checkpoint(path: Path | str, network: Network, card: ModelCard) -> None:
    """Write tensors and card atomically.

    Args:
        path: ends in ".safetensors" by convention; folders are made.
        network: its state dict is written, on the processor, in standard memory order.
        card: `architecture` and `config` must be the network's own; what the network remembers is
            written into it (`describe`).

    Raises:
        MaskwrightError: the folder can't be written or the disk is full; what stood there before
            is unchanged.
    """
    tensors = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in network.state_dict().items()
    }
    entries = describe(card, network).to_dict()
    if network.normalisation != network.built_normalisation:
        entries["format_version"] = FORMAT_VERSION  # older programs would normalise as it was built
    metadata = {"format": "pt", METADATA_KEY: json.dumps(entries, ensure_ascii=False)}
    write_bytes(path, safetensors.torch.save(tensors, metadata))


def describe(card: ModelCard, network: Network) -> ModelCard:
    """The card with what the network itself knows: its normalisation, pixels and modifications."""
    (mean, std), changes = network.normalisation, network.modifications
    return replace(card, mean=mean, std=std, pixels=network.expects, modifications=changes)


def load_checkpoint(path: Path | str) -> tuple[Network, ModelCard]:
    """Rebuild a network from a checkpoint, modified as it was.

    Returns:
        The network on the processor, in evaluation mode, and its card.

    Raises:
        ModelFileError: missing, no checkpoint, damaged, from a newer version, of an architecture or
            with a modification that is not known, or with other tensors than the network has.
    """
    data = read_model_file(path)
    card = _read_card(path, data)
    record = ARCHITECTURES.get(card.architecture)
    if record is None:
        raise ModelFileError(
            f"{path} is of the architecture {card.architecture!r}, which this version lacks; it "
            f"has {', '.join(ARCHITECTURES)}. Run pip install --upgrade maskwright."
        )
    tensors = usable(path, parse_safetensors(path, data))
    try:
        network = _build(path, record, card, tensors)
    except RuntimeError as error:  # load_state_dict
        reason = " ".join(str(error).split())[:400]
        raise ModelFileError(
            f"{path} holds other tensors than {card.architecture} with its configuration has "
            f"({reason}); it was changed after it was written, or comes from another version."
        ) from error
    return network.eval(), card


def read_card(path: Path | str) -> ModelCard:
    """The card of a checkpoint; the network is not built.

    Raises:
        ModelFileError: missing, no checkpoint, damaged, or from a newer version.
    """
    return _read_card(path, read_model_file(path))


def _build(
    path: Path | str, record: Architecture, card: ModelCard, tensors: Mapping[str, Tensor]
) -> Network:
    try:
        with torch.device("meta"):  # first values cost time, and the file's take their place
            network = _restore(record, card)
        if any(tensor.is_meta for tensor in _not_in_state_dict(network)):
            network = _restore(record, card)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except (ConfigError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{path} has a configuration that can't be built: {error} It comes from another "
            "version, or was changed."
        ) from error
    network.load_state_dict(tensors, assign=True)
    return network


def _restore(record: Architecture, card: ModelCard) -> Network:
    kind = type(record.config)
    given = dict(card.config)
    if "pretrained" in given:  # all tensors come from the file
        given["pretrained"] = False
    network = record.network(kind(**config_values(kind, given, kind.__name__)))
    for modification in card.modifications:
        modify(network, modification)
    if card.mean is not None and card.std is not None:
        network.normalise_by(card.mean, card.std)
    network.highest = card.pixels.highest
    if network.expects != card.pixels:
        raise ConfigError(f"the card promises {card.pixels}, the network takes {network.expects}.")
    return network


def _not_in_state_dict(network: Network) -> list[Tensor]:
    saved = network.state_dict()
    return [tensor for name, tensor in network.named_buffers() if name not in saved]


def _read_card(path: Path | str, data: bytes) -> ModelCard:
    if not is_safetensors(data):
        raise ModelFileError(
            f"{path} is no checkpoint of Maskwright ({len(data)} bytes, beginning "
            f"{data[:8]!r}); expected a .safetensors file written by maskwright train. Weights of "
            "other programs can start a training, but not be used by themselves."
        )
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        metadata = header.get("__metadata__", {})
        card = json.loads(metadata[METADATA_KEY]) if METADATA_KEY in metadata else None
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is damaged or truncated ({len(data)} bytes: {error}); copy it again."
        ) from error
    if card is None:
        raise ModelFileError(
            f"{path} holds weights ({len(header)} entries) but no card, so its network can't be "
            "rebuilt; expected a file written by maskwright train."
        )
    return ModelCard.from_dict(card, str(path))
