"""How many generated images a second: `python -m maskwright.benchmarks.synthesis`."""

from __future__ import annotations

import argparse
import datetime
import os
import time
from typing import Any

import cv2

from maskwright.core.files import write_json
from maskwright.core.machine import describe_machine
from maskwright.synthesis import pitch_scene

SIZES = ((120, 160), (240, 320), (480, 640), (1024, 2048))


def measure_synthesis(size: tuple[int, int], seconds: float) -> dict[str, Any]:
    """Make whole samples (drawn scene, image, truth, masks) on one thread for a while.

    Args:
        size: (height, width) in pixels.
        seconds: how long; seeds count up from 0, after two to warm up.

    Returns:
        Plain data: "size", "images", "images_per_second" by the clock,
        "cpu_ms_per_image" by the process's own processor time (which other programs disturb less),
        "threads", "load" (programs that ran on the machine in the last minute, on average; None
        where the system doesn't tell), "date" (UTC, ISO 8601), and "machine".
    """
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for seed in range(2):
            pitch_scene(seed, size)
        start, cpu_start, images = time.perf_counter(), time.process_time(), 0
        while (passed := time.perf_counter() - start) < seconds or not images:
            pitch_scene(images, size)
            images += 1
        cpu = time.process_time() - cpu_start
    finally:
        cv2.setNumThreads(threads_before)
    return {
        "size": list(size),
        "images": images,
        "images_per_second": round(images / passed, 2),
        "cpu_ms_per_image": round(1000 * cpu / images, 2),
        "threads": 1,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
    }


def main() -> None:
    """Measure some sizes and write the result, with the command that made it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="for each size")
    parser.add_argument("--output", default="benchmarks/results/synthesis.json")
    options = parser.parse_args()
    rows = [measure_synthesis(size, options.seconds) for size in SIZES]
    for row in rows:
        print(f"{row['size']}: {row['images_per_second']} images/s")
    threads = os.environ.get("OMP_NUM_THREADS")
    command = f"OMP_NUM_THREADS={threads} " if threads else ""
    command += f"python -m maskwright.benchmarks.synthesis --seconds {options.seconds:g}"
    write_json(options.output, {"command": command, "rows": rows})
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
