"""What a control loop can count on: `python -m maskwright.benchmarks.robot BUNDLE`.

A mean says little to a robot: the frame that came late is the one it falls over. So thousands of
frames are answered one after the other, and the tail is told.
"""

from __future__ import annotations

import argparse
import datetime
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.benchmarks.memory import peak_mib
from maskwright.core.errors import ConfigError
from maskwright.core.files import write_json
from maskwright.core.machine import describe_machine
from maskwright.runtimes import load, ov
from maskwright.runtimes.loading import Runtime

OUT = "benchmarks/results/robot.json"
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
        width), "frames", "runtime" (facts as read back), "peak_memory_mib" (the most that the
        whole process held so far; None where the system doesn't tell) and "load_average" (of the
        last minute: more than the cores, and the tail is that of a crowded machine).

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
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
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


def main() -> None:
    """Measure every bundle in every runtime, each in a fresh process, and write the result."""
    options = _options()
    runtimes = ["onnxruntime", *(["openvino"] if ov.installed() else [])]
    height, _, width = options.size.partition("x")
    rows = []
    for bundle in options.bundles:
        for runtime in runtimes:
            arguments = (bundle, options.frames, (int(height), int(width)))
            settings = {"runtime": runtime, "threads": options.threads, "pin": options.pin}
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                row = process.submit(measure_robot, *arguments, **settings).result()
            rows.append(row)
            network, rest = row["times"]["network"], row["times"]["all but the network"]
            print(
                f"{row['bundle']} {runtime}: network {network['p50_ms']:.2f} ms (p99 "
                f"{network['p99_ms']:.2f}), the rest {rest['p50_ms']:.2f} ms (p99 "
                f"{rest['p99_ms']:.2f}), {row['peak_memory_mib']} MiB"
            )
    found = {
        "command": _command(options),
        "rows": rows,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
    }
    write_json(options.out, found)
    print(f"wrote {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", default="360x480", help="of a frame, HEIGHTxWIDTH")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pin", type=int, nargs="*", default=[], help="a core for each thread")
    parser.add_argument("--out", default=OUT, help="the JSON file to write")
    return parser.parse_args()


def _command(options: argparse.Namespace) -> str:
    names = " ".join(bundle.name for bundle in options.bundles)
    pins = "".join(f" {core}" for core in options.pin)
    return (
        f"python -m maskwright.benchmarks.robot {names} --frames {options.frames} --size "
        f"{options.size} --threads {options.threads}" + (f" --pin{pins}" if pins else "")
    )


if __name__ == "__main__":
    main()
