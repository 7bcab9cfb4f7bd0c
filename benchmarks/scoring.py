"""How fast class maps are counted, beside torchmetrics: `python -m benchmarks scoring`.

Both count the same images in turns on one thread, in one process, and must come to the same
matrix. torchmetrics is a tool of this measurement only (`pip install maskwright[dev]`).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.semantic import confusion_matrix

SIZE = (1024, 2048)
CLASSES = 19
VOID = 255
OURS = "maskwright.metrics.confusion_matrix, uint8"


def measure_confusion_matrix(
    rounds: int = 15, size: tuple[int, int] = SIZE, classes: int = CLASSES
) -> dict[str, Any]:
    """Count maps of a city's size by turns: ours, and torchmetrics' ConfusionMatrix.

    torchmetrics gets its input as it counts it fastest (uint8) and as its users have it (int64,
    what argmax gives); the tensors are made beforehand.

    Args:
        rounds: measured turns of each, after one to warm up; each turn counts another image.
        size: (height, width) in pixels.
        classes: K.

    Returns:
        Plain data: "rows" with "name", "median_ms", "min_ms", "max_ms" and "images_per_second"
        (by the median); "ratio" of torchmetrics' fastest median to ours; "size", "classes",
        "rounds", "threads", and "torchmetrics", its version.

    Raises:
        ConfigError: fewer than one round, torchmetrics isn't installed, or the two disagree.
    """
    if rounds < 1:
        raise ConfigError(f"expected at least one round, got {rounds}.")
    torch, metric = _torchmetrics(classes)
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        spent = _take_turns(rounds, size, classes, torch, metric)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    rows = [_row(name, seconds) for name, seconds in spent.items()]
    ours, *theirs = (row["median_ms"] for row in rows)
    return {
        "rows": rows,
        "ratio": round(min(theirs) / ours, 1),
        "size": list(size),
        "classes": classes,
        "rounds": rounds,
        "threads": 1,
        "torchmetrics": version("torchmetrics"),
    }


def street(
    seed: int, size: tuple[int, int] = SIZE, classes: int = CLASSES
) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction as uint8 maps: regions with crooked edges, a void rim, 10 % wrong.

    Args:
        seed: another map for each.
        size: (height, width) in pixels.
        classes: K.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (16, 32)).astype(np.uint8)
    rows, columns = (np.arange(side) for side in size)
    bend = (rng.uniform(2, 9) * np.sin(columns / rng.uniform(9, 40))).astype(np.intp)
    bent = np.clip(rows[:, None] + bend, 0, size[0] - 1) * 16 // size[0]
    truth = coarse[bent, columns * 32 // size[1]]
    wrong = rng.random(size) < 0.1
    prediction = np.where(wrong, rng.integers(0, classes, size), truth).astype(np.uint8)
    truth[-max(1, size[0] // 25) :] = VOID
    return truth, prediction


def _torchmetrics(classes: int) -> tuple[Any, Callable[[], Any]]:
    try:
        import torch
        from torchmetrics import ConfusionMatrix
    except ImportError as error:
        raise ConfigError(
            f"expected torchmetrics to compare with, got {error}; pip install 'maskwright[dev]'."
        ) from None
    return torch, lambda: ConfusionMatrix(task="multiclass", num_classes=classes, ignore_index=VOID)


def _take_turns(
    rounds: int, size: tuple[int, int], classes: int, torch: Any, metric: Callable[[], Any]
) -> dict[str, list[float]]:
    """Seconds of each turn, the warming one left out."""
    dtypes = {f"torchmetrics.ConfusionMatrix, {d}": getattr(torch, d) for d in ("uint8", "int64")}
    spent: dict[str, list[float]] = {name: [] for name in (OURS, *dtypes)}
    for turn in range(rounds + 1):
        truth, prediction = street(turn, size, classes)
        start = time.perf_counter()
        ours = confusion_matrix(truth, prediction, classes, VOID)
        spent[OURS].append(time.perf_counter() - start)
        for name, dtype in dtypes.items():
            counts = metric()
            tensors = [torch.from_numpy(ids).to(dtype) for ids in (prediction, truth)]
            start = time.perf_counter()
            counts.update(*tensors)
            spent[name].append(time.perf_counter() - start)
            if not np.array_equal(counts.compute().numpy(), ours[:, :classes]):
                raise ConfigError(f"{name} counted another matrix than {OURS} on image {turn}.")
    return {name: seconds[1:] for name, seconds in spent.items()}


def _row(name: str, seconds: list[float]) -> dict[str, Any]:
    middle = statistics.median(seconds)
    return {
        "name": name,
        "median_ms": round(1000 * middle, 3),
        "min_ms": round(1000 * min(seconds), 3),
        "max_ms": round(1000 * max(seconds), 3),
        "images_per_second": round(1 / middle, 1),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Maps of a city's size."""
    found = measure_confusion_matrix(options.rounds)
    for row in found["rows"]:
        print(f"{row['name']}: {row['median_ms']} ms, {row['images_per_second']} images/s")
    print(f"{found['ratio']} times as fast as torchmetrics")
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """How often."""
    parser.add_argument("--rounds", type=int, default=15, help="turns of each")
