"""torch network -> ONNX: its deploy path as one graph, uint8 image in, standard outputs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import evaluating
from maskwright.export.operators import translations
from maskwright.export.quiet import quiet
from maskwright.runtimes.session import INPUT

OPSET = 20
"""Of the graphs we write: read by ONNX Runtime >= 1.17 and OpenVINO >= 2024.0."""

_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "torch._dynamo")


def to_onnx(network: Network, size: tuple[int, int], *, probabilities: bool = False) -> bytes:
    """Export `network.deploy` for one image of a fixed size.

    Args:
        network: in any mode; it is exported in evaluation mode and left as it was.
        size: (height, width) of the input.
        probabilities: `network.deploy_probabilities` instead: "probabilities" float32
            [1, K, height, width] are another output.

    Returns:
        A serialised ONNX model: input "images" uint8 [1, 3, height, width], or uint16 and of other
        channels as the network expects; outputs named as the
        deploy path names them; weights inside, batch norms folded, no paths of this machine.

    Raises:
        ConfigError: probabilities of a network that has none.
    """
    pixels = network.expects
    dtype = torch.uint8 if pixels.dtype == np.uint8 else torch.uint16
    images_B3HW = torch.zeros((1, pixels.channels, *size), dtype=dtype, device=network.mean.device)
    deploy = network.deploy_probabilities if probabilities else network.deploy
    with Deploy.of(network, images_B3HW, deploy) as wrapped, quiet(*_LOGGERS):
        program = torch.onnx.export(
            wrapped,
            (images_B3HW,),
            dynamo=True,
            optimize=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(wrapped.names),
            external_data=False,
            custom_translation_table=translations(),
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"torch.onnx.export returned no program for {type(network).__name__}")
    model = program.model_proto
    _forget_source(model)
    return model.SerializeToString()


class Deploy(nn.Module):
    """The deploy path as `forward`, its outputs in a fixed order.

    Attributes:
        network: whose path it is.
        deploy: the path.
        names: of the outputs.
    """

    def __init__(
        self,
        network: Network,
        deploy: Callable[[Tensor], dict[str, Tensor]],
        names: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.network = network
        self.deploy = deploy
        self.names = names

    @classmethod
    @contextlib.contextmanager
    def of(
        cls,
        network: Network,
        images_B3HW: Tensor,
        deploy: Callable[[Tensor], dict[str, Tensor]] | None = None,
    ) -> Iterator[Deploy]:
        """The module for the time of a conversion, in evaluation mode and without gradients.

        Args:
            network: in any mode; each module gets its mode back.
            images_B3HW: of the size that is converted, to find the outputs' names.
            deploy: its deploy path, or `network.deploy_probabilities`.
        """
        with evaluating(network), torch.no_grad():
            deploy = network.deploy if deploy is None else deploy
            yield cls(network, deploy, tuple(deploy(images_B3HW))).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs of uint8 RGB [1, 3, H, W], as `names` tells."""
        outputs = self.deploy(images)
        return tuple(outputs[name] for name in self.names)


def _forget_source(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes for debugging: stack traces with this machine's paths."""
    graph = model.graph
    for entry in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")
    for tensor in graph.initializer:
        tensor.ClearField("doc_string")
        tensor.ClearField("metadata_props")
    graph.ClearField("value_info")  # inner shapes; the runtimes infer them
