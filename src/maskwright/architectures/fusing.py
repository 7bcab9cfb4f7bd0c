"""Batch norms folded into the convolutions before them: the same function in fewer layers.

A batch norm outside training multiplies each channel and adds to it, as a convolution's weights and
bias can do as well: Jacob et al., CVPR 2018, arXiv 1712.05877, section 3.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.ops import FrozenBatchNorm2d

from maskwright.architectures.contract import Network
from maskwright.architectures.probing import probe
from maskwright.core.card import Modification
from maskwright.core.errors import ConfigError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, FrozenBatchNorm2d)


def batch_norm_fusion(network: Network) -> Modification:
    """The modification that folds every batch norm that can be, for `modify`.

    A batch norm can be folded if it alone reads what one convolution gives. One image is sent
    through the network in evaluation mode to see that, so heads that rest outside training stay.

    Args:
        network: left as it is.
    """
    watch = _Watch()
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, CONVOLUTIONS):
            hooks.append(module.register_forward_hook(watch.made_by(name)))
        elif isinstance(module, NORMS) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(watch.read_by(name)))
    try:
        with torch.no_grad(), watch:
            probe(network)
    finally:
        for hook in hooks:
            hook.remove()
    return Modification(name="fuse-batch-norm", parameters={"pairs": watch.pairs()})


class _Watch(TorchFunctionMode):
    """Sees which tensors come from convolutions, and how many functions read each."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] = []  # so that no other tensor gets the id of one of them
        self._maker: dict[int, str] = {}
        self._norms: list[tuple[str, int]] = []
        self._readers: Counter[int] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor | tuple | list):  # else only a size or the like was asked for
            self._readers.update(_tensors((args, kwargs)))
        return result

    def made_by(self, name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._kept.append(output)
            self._maker[id(output)] = name
            self._readers[id(output)] = 0  # a tensor that is gone may have had this id

        return note

    def read_by(self, name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if id(inputs[0]) in self._maker:  # another tensor's id may be given to a later one
                self._norms.append((name, id(inputs[0])))

        return note

    def pairs(self) -> list[list[str]]:
        """[convolution, batch norm], in the order of the forward pass."""
        calls = Counter([*self._maker.values(), *(name for name, _ in self._norms)])
        return [
            [self._maker[read], norm]
            for norm, read in self._norms
            if self._readers[read] == 1 == calls[norm] == calls[self._maker[read]]
        ]


def _tensors(value: Any) -> set[int]:
    """The ids of the tensors somewhere in a function's arguments."""
    if isinstance(value, Tensor):
        return {id(value)}
    parts = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list | tuple):
        return set()
    return set().union(*map(_tensors, parts))


@torch.no_grad()
def fuse_batch_norms(network: nn.Module, parameters: Mapping[str, Any]) -> None:
    """Fold batch norms into convolutions; a function of `MODIFICATIONS`.

    Args:
        network: changed in place; in evaluation mode it answers as before.
        parameters: "pairs": [name of a convolution, name of its batch norm], one after the other.

    Raises:
        ConfigError: a name of something else.
    """
    for conv_name, norm_name in parameters["pairs"]:
        conv, norm = network.get_submodule(conv_name), network.get_submodule(norm_name)
        if not isinstance(conv, CONVOLUTIONS) or not isinstance(norm, NORMS):
            raise ConfigError(
                f"expected a convolution and a batch norm to fold into it, got {conv_name} "
                f"({type(conv).__name__}) and {norm_name} ({type(norm).__name__})."
            )
        _fold(conv, norm)
        # timm's batch norms hold the activation behind them
        rest = list(norm.children())
        network.set_submodule(norm_name, nn.Sequential(*rest) if rest else nn.Identity())


def _fold(conv: Any, norm: Any) -> None:
    weight, mean = conv.weight, norm.running_mean
    one_C = torch.ones_like(mean)
    affine = getattr(norm, "affine", True)  # frozen norms always are
    scale_C = (norm.weight if affine else one_C) / torch.sqrt(norm.running_var + norm.eps)
    shift_C = norm.bias if affine else torch.zeros_like(mean)
    bias_C = torch.zeros_like(mean) if conv.bias is None else conv.bias
    if conv.transposed:  # [in, out / groups, ...]: the outputs of a group stand beside each other
        grouped = weight.unflatten(0, (conv.groups, -1))
        factors = scale_C.view(conv.groups, 1, -1, *[1] * (weight.ndim - 2))
        conv.weight = _parameter((grouped * factors).flatten(0, 1), weight)
    else:
        conv.weight = _parameter(weight * scale_C.view(-1, *[1] * (weight.ndim - 1)), weight)
    conv.bias = _parameter((bias_C - mean) * scale_C + shift_C, weight)


def _parameter(value: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=like.requires_grad)
