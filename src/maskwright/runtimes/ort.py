"""ONNX Runtime: graph -> session, with everything that decides speed or precision set by us."""

from __future__ import annotations

from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.machine import processor, system
from maskwright.runtimes.bundle import Bundle
from maskwright.runtimes.predictor import Run
from maskwright.runtimes.session import INPUT, Session, thread_count

PRECISIONS = ("f32",)

# On ARM, matrix products may silently run in bf16. session.set_denormal_as_zero stays off: it would
# set the calling thread's processor flags, and with them the arithmetic of the host's own program.
_BF16_KEY = "mlas.enable_gemm_fastmath_arm64_bfloat16"
_NUMPY = {
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
}
_ENTRIES = {_BF16_KEY: "0"}


def open_session(
    bundle: Bundle, threads: int | None, precision: str, pin: tuple[int, ...] = ()
) -> Session:
    """Open a bundle's graph.

    Args:
        bundle: the graph and its card.
        threads: of the computation; None takes every core that we may run on.
        precision: of the float operations: "f32". Integer operations are part of the graph.
        pin: a core for each thread; the calling thread's, which computes too, is the first.

    Raises:
        ModelFileError: ONNX Runtime can't run the graph.
        ConfigError: another precision, or fewer than one thread.
    """
    import onnxruntime

    if precision not in PRECISIONS:
        raise ConfigError(
            f"ONNX Runtime computes in f32 on processors, got precision {precision!r}; choose "
            'precision="f32" or runtime="openvino".'
        )
    onnxruntime.disable_telemetry_events()
    options = _options(onnxruntime, thread_count(threads))
    if len(pin) > 1:
        # Of the other threads; ONNX Runtime counts the system's cores from 1.
        others = ";".join(str(core + 1) for core in pin[1:])
        options.add_session_config_entry("session.intra_op_thread_affinities", others)
    try:
        session = onnxruntime.InferenceSession(
            bundle.graph, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions share no base but Exception
        raise ModelFileError(
            f"{bundle.source}: ONNX Runtime {onnxruntime.__version__} can't run the graph: "
            f"{error}. Export the model again, or run pip install --upgrade onnxruntime."
        ) from error
    outputs = tuple(output.name for output in session.get_outputs())
    return Session(
        run=_bound_run(onnxruntime, session),
        inputs={value.name: tuple(value.shape) for value in session.get_inputs()},
        outputs=outputs,
        facts=_facts(onnxruntime.__version__, session.get_session_options()),
    )


def _bound_run(onnxruntime: Any, session: Any) -> Run:
    """A run that writes into the same arrays each time, and allocates none."""
    binding = session.io_binding()
    answers: dict[str, np.ndarray] = {}
    bound: np.ndarray | None = None  # kept, so that its memory lives as long as the binding
    for output in session.get_outputs():
        fixed = all(isinstance(length, int) for length in output.shape)
        if not fixed or output.type not in _NUMPY:
            return _plain_run(session)  # what it needs is known only when it has been computed
        answers[output.name] = np.empty(output.shape, _NUMPY[output.type])
        value = onnxruntime.OrtValue.ortvalue_from_numpy(answers[output.name])
        binding.bind_ortvalue_output(output.name, value)

    def run(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal bound
        if images_B3HW is not bound:
            bound = images_B3HW
            value = onnxruntime.OrtValue.ortvalue_from_numpy(images_B3HW)
            binding.bind_ortvalue_input(INPUT, value)
        session.run_with_iobinding(binding)
        return answers

    return run


def _plain_run(session: Any) -> Run:
    outputs = tuple(output.name for output in session.get_outputs())
    return lambda images_B3HW: dict(zip(outputs, session.run(outputs, {INPUT: images_B3HW})))


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Shapes are fixed, so all memory is planned once and kept.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = True
    options.log_severity_level = 4  # what goes wrong comes back as an exception
    for key, value in _ENTRIES.items():
        options.add_session_config_entry(key, value)
    return options


def _facts(version: str, options: Any) -> dict[str, Any]:
    half = options.get_session_config_entry(_BF16_KEY) != "0"
    return {
        "name": "onnxruntime",
        "version": version,
        "threads": options.intra_op_num_threads,
        "precision": "bf16" if half else "f32",
        "processor": processor(),
        "system": system(),
    }
