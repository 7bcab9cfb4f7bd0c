"""OpenVINO: graph -> compiled model. It runs bf16 silently where it can, so precision is set."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.machine import processor, system
from maskwright.runtimes.bundle import Bundle
from maskwright.runtimes.predictor import Run
from maskwright.runtimes.session import Session, thread_count

PRECISIONS = ("f32", "bf16", "f16")


def installed() -> bool:
    """Whether OpenVINO can be imported; it is not imported to find out."""
    return importlib.util.find_spec("openvino") is not None


def supported_precisions() -> tuple[str, ...]:
    """The float precisions that this processor computes in natively; f32 is always among them."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for name in PRECISIONS if name == "f32" or _capability(name) in able)


def open_session(
    bundle: Bundle, threads: int | None, precision: str, pin: tuple[int, ...] = ()
) -> Session:
    """Compile a bundle for the processor: its OpenVINO IR where it has one, else its ONNX graph.

    Args:
        bundle: the graph and its card.
        threads: of the computation; None takes every core that we may run on.
        precision: of the float operations: "f32", "bf16" or "f16".
        pin: a core for each thread. OpenVINO can't be told which, so `pinning` sets them.

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
    _refuse_missing_precision(precision)
    config = _config(openvino, thread_count(threads), precision)
    if pin:  # its own choice of cores would contradict ours at each answer
        config[openvino.properties.hint.enable_cpu_pinning] = False
    try:
        core = _core()
        compiled = core.compile_model(_model(core, bundle), "CPU", config)
    except Exception as error:  # RuntimeError mostly, but the frontends raise others too
        raise ModelFileError(
            f"{bundle.source}: OpenVINO {openvino.__version__} can't run the graph: {error}. "
            'Choose runtime="onnxruntime", or export the model again.'
        ) from error
    outputs = tuple(output.get_any_name() for output in compiled.outputs)
    return Session(
        run=_bound_run(openvino, compiled),
        inputs={value.get_any_name(): tuple(value.shape) for value in compiled.inputs},
        outputs=outputs,
        facts=_facts(openvino, compiled),
    )


def _bound_run(openvino: Any, compiled: Any) -> Run:
    """A run that writes into the same arrays each time, and allocates none."""
    request = compiled.create_infer_request()
    answers: dict[str, np.ndarray] = {}
    bound: np.ndarray | None = None  # kept, so that its memory lives as long as the request's
    for output in compiled.outputs:
        name = output.get_any_name()
        if output.partial_shape.is_static:
            answers[name] = np.empty(tuple(output.shape), output.element_type.to_dtype())
            tensor = openvino.Tensor(answers[name], shared_memory=True)
            request.set_tensor(output, tensor)
    sized_late = [
        name
        for name in (output.get_any_name() for output in compiled.outputs)
        if name not in answers
    ]

    def run(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal bound
        if images_B3HW is not bound:
            bound = images_B3HW
            request.set_input_tensor(openvino.Tensor(images_B3HW, shared_memory=True))
        request.infer(share_outputs=True)  # else the answers would be copied
        for name in sized_late:
            answers[name] = request.get_tensor(name).data
        return answers

    return run


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


@functools.cache
def _core() -> Any:
    """The one core of this process.

    A core's CPU plugin gives the thread that makes it an alternate signal stack, and unmaps that
    memory as the core is dropped. Of two cores, the second may then leave the thread with the first
    one's stack, and the next signal that Python handles ends the host's process. This one stays.
    """
    return _import_openvino().Core()


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


def _refuse_missing_precision(precision: str) -> None:
    """Asked before compiling: a graph compiled for bf16 says bf16 on processors without it, too."""
    native = supported_precisions()
    if precision not in native:
        raise ConfigError(
            f"precision {precision!r} was asked for, but {processor()} has only "
            f'{" and ".join(native)}; choose precision="{native[-1]}".'
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
