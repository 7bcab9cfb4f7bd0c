"""`load`: a bundle's path -> a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from maskwright.core.errors import ConfigError
from maskwright.runtimes import ort, ov, pinning
from maskwright.runtimes.bundle import Bundle, read_bundle
from maskwright.runtimes.predictor import Predictor
from maskwright.runtimes.recommendation import recommended
from maskwright.runtimes.session import check_session
from maskwright.runtimes.zoo import BUNDLED, bundled

Precision = Literal["auto", "f32", "bf16", "f16"]
Runtime = Literal["auto", "onnxruntime", "openvino"]

RUNTIMES = {"onnxruntime": ort.open_session, "openvino": ov.open_session}


def load(
    path: Path | str,
    *,
    threads: int | None = None,
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    pin: Sequence[int] = (),
) -> Predictor:
    """Make a bundle ready to use.

    Args:
        path: a ".mask" file, or the name of a bundle that ships, such as "pitch".
        threads: of the computation; None takes every core that the process may run on.
        runtime: "onnxruntime" or "openvino". "auto" is what the bundle's card recommends, if
            `export` measured one and it is installed here; else ONNX Runtime, always there.
        precision: of the float operations; "bf16" and "f16" need OpenVINO and a processor with it.
            "auto" is f32, or what the card recommends where it chose the runtime, too. What was
            read back stands in the predictor's `runtime`.
        pin: a core for each thread, such as (2, 3); the thread that calls `predict` computes too
            and is pinned to the first. OpenVINO's models share threads: load the pinned one
            first; it counts for all of them. Linux only.

    Raises:
        ModelFileError: missing, no bundle, damaged, from a newer version, or unsafe.
        ConfigError: OpenVINO is not installed, or a setting that the machine can't keep.
    """
    if str(path) in BUNDLED and not Path(path).exists():
        path = bundled(str(path))
    return open_bundle(
        read_bundle(path), threads=threads, runtime=runtime, precision=precision, pin=pin
    )


def open_bundle(
    bundle: Bundle,
    *,
    threads: int | None = None,
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    pin: Sequence[int] = (),
) -> Predictor:
    """`load` for a bundle in memory; same arguments and errors."""
    chosen, floats = recommended(bundle.card) if runtime == "auto" else (str(runtime), "f32")
    floats = floats if precision == "auto" else precision
    if chosen not in RUNTIMES:
        raise ConfigError(f"expected runtime auto, onnxruntime or openvino, got {runtime!r}.")
    cores = pinning.check_pin(pin, threads)
    known = pinning.thread_ids()
    with pinning.born_on(cores):
        session = RUNTIMES[chosen](bundle, len(cores) or threads, floats, cores)
        check_session(session, bundle.card, bundle.source)
        if cores:
            pinning.warm_up(session, bundle.card.pixels.dtype)
            session = pinning.pin_session(
                session, cores, lambda: pinning.threads_since(known, chosen)
            )
        else:
            pinning.threads_since(known, chosen)  # OpenVINO's are remembered for the next model
    run = session.run if "probabilities" in session.outputs else None
    return Predictor(bundle.card, session.run, session.facts, run_probabilities=run)
