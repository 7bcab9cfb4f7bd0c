"""Channels that stay when others are cut: what pruning leaves, as plain data to do again.

Which channels are worth least is for a pruner to decide (Li et al., ICLR 2017, arXiv 1608.08710,
and many since); a structural one cuts them from every layer that makes or reads them. Here stands
only the result, layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.errors import ConfigError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@torch.no_grad()
def keep_channels(network: nn.Module, parameters: Mapping[str, Any]) -> None:
    """Cut all channels but those that are named; a function of `MODIFICATIONS`.

    Args:
        network: changed in place.
        parameters: "layers": name of a layer -> {"out": indices, "in": indices}, rising; all stay
            where one of the two is left out. Convolutions, transposed and grouped ones too, linear
            layers, batch norms and layer norms over channels ("out" alone). Of a grouped
            convolution whole groups go, or as many channels of each that stays: of a depth-wise
            one, an input with all that is made of it.

    Raises:
        ConfigError: another kind of layer, indices that it lacks, groups of unequal size.
    """
    for name, kept in parameters["layers"].items():
        layer = network.get_submodule(name)
        if isinstance(layer, _CONVOLUTIONS):
            _keep_in_convolution(name, layer, kept)
        elif isinstance(layer, nn.Linear):
            _keep_in_linear(name, layer, kept)
        elif isinstance(layer, (*_NORMS, nn.LayerNorm)) and "in" not in kept:
            _keep_in_norm(name, layer, kept)
        else:
            raise ConfigError(
                f"channels can be cut from convolutions, linear layers and (their outputs) batch "
                f"norms and layer norms, got {name} ({type(layer).__name__}) and {sorted(kept)}."
            )


def _keep_in_convolution(name: str, layer: Any, kept: Mapping[str, Sequence[int]]) -> None:
    outputs = _indices(name, "out", kept, layer.out_channels)
    inputs = _indices(name, "in", kept, layer.in_channels)
    each_out, each_in = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    groups_out, groups_in = _by_group(outputs, each_out), _by_group(inputs, each_in)
    sizes = {(len(groups_out.get(one, ())), len(groups_in.get(one, ())))
             for one in groups_out | groups_in}  # fmt: skip
    if len(sizes) != 1 or 0 in next(iter(sizes)):
        raise ConfigError(
            f"expected as many channels of every group that stays in {name}, which has "
            f"{layer.groups} groups of {each_in} inputs and {each_out} outputs, got {len(inputs)} "
            f"inputs and {len(outputs)} outputs, (outputs, inputs) of a group: {sorted(sizes)}."
        )
    # the channels of a group, or which of its weights a group of the other side has
    first, second = (groups_in, groups_out) if layer.transposed else (groups_out, groups_in)
    each = each_out if layer.transposed else each_in
    parts = [
        _pick(_pick(layer.weight, rows, 0), [column % each for column in second[group]], 1)
        for group, rows in first.items()
    ]
    layer.weight = _parameter(torch.cat(parts), layer.weight)
    if layer.bias is not None:
        layer.bias = _parameter(_pick(layer.bias, outputs, 0), layer.bias)
    layer.in_channels, layer.out_channels, layer.groups = len(inputs), len(outputs), len(first)


def _by_group(indices: Sequence[int], each: int) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for index in indices:
        groups.setdefault(index // each, []).append(index)
    return groups


def _keep_in_linear(name: str, layer: nn.Linear, kept: Mapping[str, Sequence[int]]) -> None:
    outputs = _indices(name, "out", kept, layer.out_features)
    inputs = _indices(name, "in", kept, layer.in_features)
    layer.weight = _parameter(_pick(_pick(layer.weight, outputs, 0), inputs, 1), layer.weight)
    if layer.bias is not None:
        layer.bias = _parameter(_pick(layer.bias, outputs, 0), layer.bias)
    layer.in_features, layer.out_features = len(inputs), len(outputs)


def _keep_in_norm(name: str, layer: Any, kept: Mapping[str, Sequence[int]]) -> None:
    batch = not isinstance(layer, nn.LayerNorm)
    outputs = _indices(
        name, "out", kept, layer.num_features if batch else layer.normalized_shape[-1]
    )
    for leaf in ("weight", "bias"):
        if getattr(layer, leaf) is not None:
            own = getattr(layer, leaf)
            setattr(layer, leaf, _parameter(_pick(own, outputs, 0), own))
    for leaf in ("running_mean", "running_var") if batch else ():
        if getattr(layer, leaf) is not None:
            setattr(layer, leaf, _pick(getattr(layer, leaf), outputs, 0))
    if batch:
        layer.num_features = len(outputs)
    else:
        layer.normalized_shape = (len(outputs),)


def _indices(name: str, side: str, kept: Mapping[str, Sequence[int]], channels: int) -> list[int]:
    """The channels that stay, checked; all of them unless told."""
    strange = set(kept) - {"in", "out"}
    found = [int(index) for index in kept.get(side, range(channels))]
    rising = all(0 <= one < other for one, other in zip(found, [*found[1:], channels]))
    if strange or not found or not rising:
        raise ConfigError(
            f"expected rising indices from 0 to {channels - 1} of what stays of {name} ({side!r}), "
            f"got {sorted(strange) or found}."
        )
    return found


def _pick(tensor: Tensor, indices: Sequence[int], axis: int) -> Tensor:
    return tensor.index_select(axis, torch.tensor(indices, device=tensor.device))


def _parameter(value: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=like.requires_grad)
