"""What a control loop can count on: `python -m benchmarks robot BUNDLE`.

A mean says little to a robot: the frame that came late is the one it falls over. So thousands of
frames are answered one after the other, and the tail is told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.alone import alone, height_width
from maskwright.benchmarks.memory import peak_mib
from maskwright.core.errors import ConfigError
from maskwright.runtimes import load, ov
from maskwright.runtimes.loading import Runtime

STAGES = ("read", "preprocess", "network", "postprocess")
WARM_UP = 20
_DIFFERENT = 8


def measure_robot(
    bundle: Path | str,
    frames: int = 2000,
    size: tuple[int, int] = (360, 480),
    *,
    runtime: Runtime = "auto",
    pin: Sequence[int] = (),
    threads: int = 1,
) -> dict[str, Any]:
    """Answer frames as a robot does: BGR arrays, one answer reused, nothing else in the process.

    OpenCV works in one thread meanwhile, so that all but the network takes one core.

    Args:
        bundle: a ".mask" file.
        frames: how many are timed; some more come before, to warm up.
        size: (height, width) of a frame.
        runtime: as in `load`.
        pin: as in `load`.
        threads: of the network.

    Returns:
        Plain data: for each of "read" (checking the array), "preprocess", "network",
        "postprocess", "all but the network" and "total" (from the array to the answer, by an outer
        clock) "p50_ms", "p95_ms", "p99_ms", "max_ms" and "jitter_ms": p99 - p50, by how much a bad
        frame is later than a usual one. Further "bundle" (its name), "input" and "frame" (height,
        width), "frames", "runtime" (facts as read back) and "peak_memory_mib" (the most that the
        whole process held so far).

    Raises:
        ConfigError: fewer than one frame, a size below 1, or a setting that can't be kept.
        ModelFileError: the bundle can't be used.
    """
    if frames < 1 or min(size) < 1:
        raise ConfigError(f"expected at least one frame of at least 1x1, got {frames} of {size}.")
    predictor = load(bundle, threads=threads, runtime=runtime, pin=pin)
    pictures = _pictures(size)
    spent = {stage: np.empty(frames) for stage in (*STAGES, "total")}
    out = predictor.predict(pictures[0], "bgr")
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for number in range(-WARM_UP, frames):
            start = time.perf_counter()
            out = predictor.predict(pictures[number % _DIFFERENT], "bgr", out=out)
            if number >= 0:
                spent["total"][number] = time.perf_counter() - start
                for stage in STAGES:
                    spent[stage][number] = out.times[stage]
    finally:
        cv2.setNumThreads(before)
    spent["all but the network"] = spent["total"] - spent["network"]
    return {
        "bundle": Path(bundle).name,
        "input": list(predictor.card.resize.size),
        "frame": list(size),
        "frames": frames,
        "runtime": predictor.runtime,
        "times": {stage: _tail(seconds) for stage, seconds in spent.items()},
        "peak_memory_mib": round(peak_mib(), 1),
    }


def _pictures(size: tuple[int, int]) -> list[np.ndarray]:
    """Noise over waves: neither all alike nor nothing to do."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = [np.sin((rows + number * columns) / 25) for number in range(_DIFFERENT)]
    return [
        np.clip(128 + 90 * wave[..., None] + rng.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8)
        for wave in waves
    ]


def _tail(seconds: np.ndarray) -> dict[str, float]:
    p50, p95, p99, most = (1000 * float(v) for v in np.percentile(seconds, (50, 95, 99, 100)))
    found = {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": most, "jitter_ms": p99 - p50}
    return {name: round(value, 4) for name, value in found.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every bundle in every runtime, each in a fresh process."""
    runtimes: list[Runtime] = ["onnxruntime"]
    runtimes += ["openvino"] if ov.installed() else []
    rows = []
    for bundle in options.bundles:
        for runtime in runtimes:
            row = alone(
                measure_robot,
                bundle,
                options.frames,
                options.size,
                runtime=runtime,
                threads=options.threads,
                pin=options.pin,
            )
            rows.append(row)
            network, rest = row["times"]["network"], row["times"]["all but the network"]
            print(
                f"{row['bundle']} {runtime}: network {network['p50_ms']:.2f} ms (p99 "
                f"{network['p99_ms']:.2f}), the rest {rest['p50_ms']:.2f} ms (p99 "
                f"{rest['p99_ms']:.2f}), {row['peak_memory_mib']} MiB"
            )
    return {"threads": options.threads, "rows": rows}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which bundles, frames and threads."""
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument(
        "--size", type=height_width, default=(360, 480), help="of a frame, HEIGHTxWIDTH"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pin", type=int, nargs="*", default=[], help="a core for each thread")
