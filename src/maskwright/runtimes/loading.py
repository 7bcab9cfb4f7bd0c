"""`load`: a bundle's path -> a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from maskwright.core.errors import ConfigError
from maskwright.runtimes import ort, ov, pinning
from maskwright.runtimes.bundle import Bundle, read_bundle
from maskwright.runtimes.predictor import Predictor
from maskwright.runtimes.session import check_session

Precision = Literal["f32", "bf16", "f16"]
Runtime = Literal["auto", "onnxruntime", "openvino"]

RUNTIMES = {"onnxruntime": ort.open_session, "openvino": ov.open_session}


def load(
    path: Path | str,
    *,
    threads: int | None = None,
    runtime: Runtime = "auto",
    precision: Precision = "f32",
    pin: Sequence[int] = (),
) -> Predictor:
    """Make a bundle ready to use.

    Args:
        path: a ".mask" file.
        threads: of the computation; None takes every core that the process may run on.
        runtime: "onnxruntime" or "openvino". "auto" is ONNX Runtime, which is always there, so
            that a bundle answers alike wherever it runs; `maskwright benchmark` tells whether
            OpenVINO is faster on a processor.
        precision: of the float operations; "bf16" and "f16" need OpenVINO and a processor with it.
        pin: a core for each thread, such as (2, 3); the thread that calls `predict` computes too
            and is pinned to the first. OpenVINO's models share threads: load the pinned one
            first; it counts for all of them. Linux only.

    Raises:
        ModelFileError: missing, no bundle, damaged, from a newer version, or unsafe.
        ConfigError: OpenVINO is not installed, or a setting that the machine can't keep.
    """
    return open_bundle(
        read_bundle(path), threads=threads, runtime=runtime, precision=precision, pin=pin
    )


def open_bundle(
    bundle: Bundle,
    *,
    threads: int | None = None,
    runtime: Runtime = "auto",
    precision: Precision = "f32",
    pin: Sequence[int] = (),
) -> Predictor:
    """`load` for a bundle in memory; same arguments and errors."""
    chosen = "onnxruntime" if runtime == "auto" else runtime
    if chosen not in RUNTIMES:
        raise ConfigError(f"expected runtime auto, onnxruntime or openvino, got {runtime!r}.")
    cores = pinning.check_pin(pin, threads)
    if cores:
        pinning.unpin_this_thread()  # a model that was pinned before must not narrow this one
    known = pinning.thread_ids()
    session = RUNTIMES[chosen](bundle, len(cores) or threads, precision, cores)
    check_session(session, bundle.card, bundle.source)
    if cores:
        pinning.warm_up(session)
    started = pinning.threads_since(known, chosen)
    if cores:
        session = pinning.pin_session(session, cores, started)
    return Predictor(bundle.card, session.run, session.facts)
