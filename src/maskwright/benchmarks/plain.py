"""What one would write by hand: the network converted by OpenVINO itself, and compiled."""

from __future__ import annotations

from typing import Any

import torch

from maskwright.architectures.contract import Network
from maskwright.core.card import ModelCard
from maskwright.core.errors import ModelFileError
from maskwright.export.onnx import Deploy
from maskwright.export.quiet import quiet
from maskwright.runtimes import Predictor, ov
from maskwright.runtimes.session import INPUT

DEFAULTS = "defaults"
"""OpenVINO chooses threads and precision itself."""


def open_plain(network: Network, card: ModelCard, threads: int) -> dict[str, Predictor]:
    """`openvino.convert_model(module)` and `compile_model`, of the same work: uint8 -> class map.

    Args:
        network: in any mode; it is converted in evaluation mode and left as it was.
        card: of the network.
        threads: of those with a named precision, which get the latency hint, as ours do.

    Returns:
        Predictors by precision: each that the processor has, and `DEFAULTS`.

    Raises:
        ModelFileError: OpenVINO can't convert or compile the network.
    """
    openvino = ov._import_openvino()
    images_B3HW = torch.zeros((1, 3, *card.resize.size), dtype=torch.uint8)
    try:
        with Deploy.of(network, images_B3HW) as module, quiet("torch.jit"):
            model = openvino.convert_model(
                module, example_input=images_B3HW, input=[tuple(images_B3HW.shape)]
            )
        model.inputs[0].get_tensor().set_names({INPUT})
        for output, name in zip(model.outputs, module.names):
            output.get_tensor().set_names({name})
        found = {}
        for precision in (*ov.supported_precisions(), DEFAULTS):
            named = precision != DEFAULTS
            config: dict[Any, Any] = ov._config(openvino, threads, precision) if named else {}
            compiled = ov._core().compile_model(model, "CPU", config)
            facts = ov._facts(openvino, compiled)
            found[precision] = Predictor(card, ov._bound_run(openvino, compiled), facts)
    except Exception as error:  # RuntimeError mostly, but the frontends raise others too
        raise ModelFileError(
            f"OpenVINO {openvino.__version__} can't convert {card.architecture} by itself "
            f"({type(error).__name__}: {error}); leave out --against-plain."
        ) from error
    return found
