"""Equal ranges for a graph's channels, so that one int8 scale suits all of them.

A tensor has one scale in int8. Where channels of small range lie beside one of large range, the
small ones get few of the 256 steps: a U-Net's concatenation joins a skip of -65..70 with the
decoder's 0..8, which is left with sixteen steps. A channel may be multiplied by any positive number
if the convolution that makes it takes the factor, and those that read it the inverse: ReLU, sums,
concatenation, pooling and resizing all commute with it. The float network answers the same.

The idea is Nagel et al.'s, "Data-free quantization through weight equalization and bias correction"
(2019), section 4.1; here whole regions of sums and concatenations are equalised, and the ranges are
those that images cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from maskwright.runtimes.session import INPUT

SMALLEST_RANGE = 1 / 64
"""Of a tensor's largest range: a channel that these images hardly stir may be stirred by others."""

_COMMUTING = {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize"}


def equalise(model: onnx.ModelProto, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """The same network with channels of like range.

    Args:
        model: float, its constants folded, of one image of a fixed size.
        images: uint8 RGB [1, 3, H, W]; a few dozen are plenty, as only the largest values count.

    Returns:
        A model that answers as the given one up to the rounding of floats.
    """
    channels = _find_channels(model)
    if not channels.of:
        return model
    return _rescale(model, channels, channels.factors(_measure(model, channels, images)))


@dataclass
class _Channels:
    """Which channels must be scaled alike: classes of (tensor, channel), joined as they are found.

    Attributes:
        of: tensor -> class of each of its channels, int64 [C]; look them up with `roots`.
        parent: class -> another one that it was joined with, or itself.
        locked: classes that can't be scaled, as something else than a convolution reads them.
    """

    of: dict[str, np.ndarray] = field(default_factory=dict)
    parent: list[int] = field(default_factory=list)
    locked: set[int] = field(default_factory=set)

    def add(self, tensor: str, count: int) -> None:
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        self.of[tensor] = np.arange(start, start + count)

    def root(self, one: int) -> int:
        while self.parent[one] != one:
            self.parent[one] = one = self.parent[self.parent[one]]
        return one

    def roots(self, tensor: str) -> np.ndarray:
        return np.array([self.root(one) for one in self.of[tensor].tolist()], np.int64)

    def join(self, left: str, right: str) -> None:
        for one, other in zip(self.of[left].tolist(), self.of[right].tolist()):
            self.parent[self.root(one)] = self.root(other)

    def lock(self, tensor: str) -> None:
        self.locked.update(self.of.get(tensor, np.empty(0, np.int64)).tolist())

    def factors(self, ranges: Mapping[str, np.ndarray]) -> np.ndarray:
        """What each class is multiplied with, float64; 1 for the locked ones.

        Those that share a tensor with locked channels take their range, the others 1.
        """
        locked = np.zeros(len(self.parent), bool)
        locked[[self.root(one) for one in self.locked]] = True
        largest, wanted = np.zeros(len(self.parent)), np.zeros(len(self.parent))
        for tensor, range_C in ranges.items():
            floor = SMALLEST_RANGE * range_C.max()
            np.maximum.at(largest, self.roots(tensor), np.maximum(range_C, floor))
        for tensor, range_C in ranges.items():
            roots = self.roots(tensor)
            np.maximum.at(wanted, roots, range_C[locked[roots]].max(initial=0.0))
        wanted[wanted == 0] = 1.0
        scaled = ~locked & (largest > 0)
        factors = np.ones(len(self.parent))
        factors[scaled] = wanted[scaled] / largest[scaled]
        return factors


def _find_channels(model: onnx.ModelProto) -> _Channels:
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    channels = _Channels()
    for node in model.graph.node:
        inputs = [name for name in node.input if name and name not in weights]
        made = node.output[0]
        known = bool(inputs) and all(name in channels.of for name in inputs)
        if _is_plain_convolution(node, weights):
            channels.add(made, weights[node.input[1]].dims[0])
        elif known and _ties(node, inputs, channels):
            channels.of[made] = channels.of[inputs[0]]
        elif known and _joins_channels(node, weights):
            channels.of[made] = np.concatenate([channels.of[name] for name in inputs])
        else:
            for name in inputs:
                channels.lock(name)
    for output in model.graph.output:
        channels.lock(output.name)
    return channels


def _ties(node: onnx.NodeProto, inputs: Sequence[str], channels: _Channels) -> bool:
    """Whether the node's output has its inputs' channels; those of a sum are joined."""
    if node.op_type in _COMMUTING:
        return len(inputs) == 1
    sizes = {len(channels.of[name]) for name in inputs}
    if node.op_type != "Add" or len(inputs) != 2 or len(sizes) > 1:
        return False
    channels.join(*inputs)
    return True


def _joins_channels(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    if node.op_type != "Concat" or any(name in weights for name in node.input):
        return False
    return onnx.helper.get_node_attr_value(node, "axis") == 1


def _is_plain_convolution(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    """Over all channels, or over each alone, with constant weights that only it reads."""
    if node.op_type != "Conv" or any(name not in weights for name in node.input[1:] if name):
        return False
    return _groups(node) in (1, weights[node.input[1]].dims[0])


def _groups(node: onnx.NodeProto) -> int:
    found = [attribute.i for attribute in node.attribute if attribute.name == "group"]
    return found[0] if found else 1


def _measure(
    model: onnx.ModelProto, channels: _Channels, images: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Tensor -> largest absolute value of each of its channels, float [C]."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = list(channels.of)
    known = {output.name for output in model.graph.output}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ranges = {name: np.zeros(len(channels.of[name])) for name in names}
    for image in images:
        values = session.run(names, {INPUT: image})
        for name, value in zip(names, values):
            np.maximum(ranges[name], np.abs(value).max(axis=(0, 2, 3)), out=ranges[name])
    return ranges


def _rescale(model: onnx.ModelProto, channels: _Channels, factors: np.ndarray) -> onnx.ModelProto:
    """Each convolution's weights divided by the factors it reads, multiplied by those it makes."""
    rescaled = onnx.ModelProto()
    rescaled.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in rescaled.graph.initializer}
    for number, node in enumerate(rescaled.graph.node):
        if not _is_plain_convolution(node, weights):
            continue
        made_O = factors[channels.roots(node.output[0])]
        values = numpy_helper.to_array(weights[node.input[1]]).astype(np.float64)
        values = values * made_O.reshape(-1, 1, 1, 1)
        if node.input[0] in channels.of:
            read_I = factors[channels.roots(node.input[0])]
            values = values / read_I.reshape((1, -1, 1, 1) if _groups(node) == 1 else (-1, 1, 1, 1))
        new = {1: values}
        if len(node.input) > 2 and node.input[2]:
            new[2] = numpy_helper.to_array(weights[node.input[2]]) * made_O
        for place, value in new.items():
            name = f"{node.input[place]}_equal_{number}"
            rescaled.graph.initializer.append(
                numpy_helper.from_array(value.astype(np.float32), name)
            )
            node.input[place] = name
    read = {name for node in rescaled.graph.node for name in node.input}
    read.update(output.name for output in rescaled.graph.output)
    kept = [tensor for tensor in rescaled.graph.initializer if tensor.name in read]
    del rescaled.graph.initializer[:]
    rescaled.graph.initializer.extend(kept)
    return rescaled
