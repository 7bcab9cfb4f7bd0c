"""How many generated images a second: `python -m benchmarks synthesis`."""

from __future__ import annotations

import argparse
import time
from typing import Any

import cv2

from maskwright.synthesis import pitch_scene

SIZES = ((120, 160), (240, 320), (480, 640), (1024, 2048))


def measure_synthesis(size: tuple[int, int], seconds: float) -> dict[str, Any]:
    """Make whole samples (drawn scene, image, truth, masks) on one thread for a while.

    Args:
        size: (height, width) in pixels.
        seconds: how long; seeds count up from 0, after two to warm up.

    Returns:
        Plain data: "size", "images", "images_per_second" by the clock, and "cpu_ms_per_image" by
        the process's own processor time (which other programs disturb less).
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
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Some sizes, from a robot's camera to a city's."""
    rows = []
    for size in SIZES:
        rows.append(measure_synthesis(size, options.seconds))
        print(f"{size[0]}x{size[1]}: {rows[-1]['images_per_second']} images/s")
    return {"threads": 1, "rows": rows}


def arguments(parser: argparse.ArgumentParser) -> None:
    """How long."""
    parser.add_argument("--seconds", type=float, default=15.0, help="for each size")
