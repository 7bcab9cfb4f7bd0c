"""OpenVINO: graph -> compiled model. It runs bf16 silently where it can, so precision is set."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.machine import processor, system
from maskwright.runtimes.bundle import Bundle
from maskwright.runtimes.session import INPUT, Session, thread_count

PRECISIONS = ("f32", "bf16", "f16")


def installed() -> bool:
    """Whether OpenVINO can be imported; it is not imported to find out."""
    return importlib.util.find_spec("openvino") is not None


def supported_precisions() -> tuple[str, ...]:
    """The float precisions that this processor computes in natively; f32 is always among them."""
    openvino = _import_openvino()
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for name in PRECISIONS if name == "f32" or _capability(name) in able)


def open_session(bundle: Bundle, threads: int | None, precision: str) -> Session:
    """Compile a bundle for the processor: its OpenVINO IR where it has one, else its ONNX graph.

    Args:
        bundle: the graph and its card.
        threads: of the computation; None takes every core that we may run on.
        precision: of the float operations: "f32", "bf16" or "f16".

    Raises:
        ModelFileError: OpenVINO can't run the graph.
        ConfigError: OpenVINO is not installed, the processor lacks the precision, or fewer than
            one thread is asked for.
    """
    if not installed():
        raise ConfigError(
            'runtime="openvino" needs OpenVINO, which is not installed; run '
            "pip install 'maskwright[openvino]', or choose runtime=\"onnxruntime\"."
        )
    openvino = _import_openvino()
    if precision not in PRECISIONS:
        raise ConfigError(f"expected precision {', '.join(PRECISIONS)}, got {precision!r}.")
    config = _config(openvino, thread_count(threads), precision)
    try:
        core = openvino.Core()
        compiled = core.compile_model(_model(core, bundle), "CPU", config)
    except Exception as error:  # RuntimeError mostly, but the frontends raise others too
        raise ModelFileError(
            f"{bundle.source}: OpenVINO {openvino.__version__} can't run the graph: {error}. "
            'Choose runtime="onnxruntime", or export the model again.'
        ) from error
    _refuse_other_precision(compiled, precision)
    outputs = tuple(output.get_any_name() for output in compiled.outputs)
    request = compiled.create_infer_request()

    def run(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        request.infer({INPUT: images_B3HW}, share_inputs=True)
        return {name: request.get_tensor(name).data for name in outputs}

    return Session(
        run=run,
        inputs={value.get_any_name(): tuple(value.shape) for value in compiled.inputs},
        outputs=outputs,
        facts=_facts(openvino, compiled),
    )


def _import_openvino() -> Any:
    """OpenVINO without its telemetry, which would send an event to a server at each import."""
    telemetry = "openvino_telemetry"
    if "openvino" not in sys.modules and telemetry not in sys.modules:
        sys.modules[telemetry] = None  # type: ignore[assignment]  # as if it weren't installed
        try:
            return importlib.import_module("openvino")
        finally:
            del sys.modules[telemetry]
    return importlib.import_module("openvino")


def _model(core: Any, bundle: Bundle) -> Any:
    if "model.xml" in bundle.openvino:
        return core.read_model(bundle.openvino["model.xml"], bundle.openvino["model.bin"])
    return core.read_model(bundle.graph)


def _config(openvino: Any, threads: int, precision: str) -> dict[str, Any]:
    hint = openvino.properties.hint
    return {
        hint.inference_precision: getattr(openvino.Type, precision),
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        openvino.properties.inference_num_threads: threads,
        openvino.properties.num_streams: 1,
    }


def _refuse_other_precision(compiled: Any, precision: str) -> None:
    got = _read_precision(compiled)
    if got != precision:
        raise ConfigError(
            f"precision {precision!r} was asked for, but on {processor()} OpenVINO computes in "
            f'{got}; choose precision="{got}".'
        )


def _read_precision(compiled: Any) -> str:
    return str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())


def _capability(precision: str) -> str:
    return {"f16": "FP16"}.get(precision, precision.upper())


def _facts(openvino: Any, compiled: Any) -> dict[str, Any]:
    return {
        "name": "openvino",
        "version": openvino.__version__,
        "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
        "precision": _read_precision(compiled),
        "processor": processor(),
        "system": system(),
    }
