"""How fast AP is counted beside its peers: `python -m benchmarks scoring-ap`.

pycocotools, faster-coco-eval, hotcoco and ours in turns, in one process on one core, on the same
made-up detections (`detections.py`) in memory. Theirs start from their loaded `COCO` objects
(loading is told apart), ours from `Segmentation`s; both end with the 12 numbers, which must agree.
Needs the `dev` extra. Memory is what a process of its own came to need beyond the detections.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.detections import coco_files, make_detections
from maskwright.benchmarks.memory import peak_mib, resident_mib
from maskwright.core import Segmentation
from maskwright.core.errors import DataError
from maskwright.metrics import AveragePrecision, Kind

KINDS: tuple[Kind, ...] = ("masks", "boxes")
OURS = "maskwright"
_PEER_KIND = {"masks": "segm", "boxes": "bbox"}

Images = tuple[list[Segmentation], list[Segmentation]]
Files = tuple[dict[str, Any], list[dict[str, Any]]]
Outcome = tuple[float, float, np.ndarray]
"""Seconds to load, seconds to score, the 12 numbers."""


def score_ours(images: Images, files: Files, kind: Kind) -> Outcome:
    """Our accumulator, image by image, and its scores."""
    start = time.perf_counter()
    total = AveragePrecision(images[0][0].classes.names, kinds=(kind,))
    for truth, prediction in zip(*images):
        total.update(truth, prediction)
    stats = total.scores("coco").coco_stats
    return 0.0, time.perf_counter() - start, stats


def _score_peer(module: str, images: Images, files: Files, kind: Kind) -> Outcome:
    data, results = files
    # With boxes beside them, pycocotools takes their areas for those of the masks.
    dropped = "bbox" if kind == "masks" else "segmentation"
    results = [{k: v for k, v in one.items() if k != dropped} for one in results]
    data = data | {"annotations": [dict(one) for one in data["annotations"]]}
    with _silence():
        start = time.perf_counter()
        run = _PEERS[module](data, results, _PEER_KIND[kind])
        loaded = time.perf_counter()
        run.evaluate()
        run.accumulate()
        run.summarize()
        done = time.perf_counter()
    return loaded - start, done - loaded, np.asarray(run.stats)[:12]


def _pycocotools(data: dict[str, Any], results: list[dict[str, Any]], kind: str) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = data
    truth.createIndex()
    return COCOeval(truth, truth.loadRes(results), kind)


def _faster_coco_eval(data: dict[str, Any], results: list[dict[str, Any]], kind: str) -> Any:
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(data)
    return COCOeval_faster(truth, truth.loadRes(results), kind)


def _hotcoco(data: dict[str, Any], results: list[dict[str, Any]], kind: str) -> Any:
    from hotcoco import COCO, COCOeval

    truth = COCO(data)
    return COCOeval(truth, truth.load_res(results), kind)


_PEERS: dict[str, Callable[..., Any]] = {
    "pycocotools": _pycocotools,
    "faster-coco-eval": _faster_coco_eval,
    "hotcoco": _hotcoco,
}


def _score(name: str, images: Images, files: Files, kind: Kind) -> Outcome:
    gc.collect()
    if name == OURS:
        return score_ours(images, files, kind)
    return _score_peer(name, images, files, kind)


def measure_scoring(images: int, rounds: int) -> list[dict[str, Any]]:
    """Time all contenders in turns, on masks and on boxes.

    Args:
        images: how many.
        rounds: how often each contender has its turn.

    Returns:
        A row for each kind and contender: "kind", "contender", "median_s" and "seconds" of scoring,
        "load_s", "times_pycocotools" (how many times faster), "ap" and "equal_bits" (whether all
        12 numbers are pycocotools').

    Raises:
        DataError: a contender's numbers are not those of pycocotools.
    """
    made = make_detections(images)
    files = coco_files(*made)
    rows = []
    for kind in KINDS:
        outcomes: dict[str, list[Outcome]] = {name: [] for name in (*_PEERS, OURS)}
        for _ in range(rounds):
            for name, of_name in outcomes.items():
                of_name.append(_score(name, made, files, kind))
        expected = outcomes["pycocotools"][0][2]
        reference = statistics.median(seconds for _, seconds, _ in outcomes["pycocotools"])
        for name, of_name in outcomes.items():
            stats = of_name[0][2]
            if not np.allclose(stats, expected, rtol=0, atol=1e-6):
                raise DataError(
                    f"expected the 12 numbers of pycocotools from {name}, {expected.tolist()}, got "
                    f"{stats.tolist()}."
                )
            median = statistics.median(seconds for _, seconds, _ in of_name)
            rows.append(
                {
                    "kind": kind,
                    "contender": name,
                    "median_s": round(median, 4),
                    "seconds": [round(seconds, 4) for _, seconds, _ in of_name],
                    "load_s": round(statistics.median(load for load, _, _ in of_name), 3),
                    "times_pycocotools": round(reference / median, 1),
                    "ap": float(stats[0]),
                    "equal_bits": bool((stats == expected).all()),
                }
            )
    return rows


def measure_memory(images: int, copies: int) -> list[dict[str, Any]]:
    """Score masks of many images once, each contender in a process of its own.

    Args:
        images: how many are made.
        copies: how often each of them comes, under another number.

    Returns:
        A row for each contender: "images", "kind", "contender", "added_mib" (2^20 bytes at the
        peak, beyond the detections), "load_s", "score_s", "ap".
    """
    made = make_detections(images)
    data, results = coco_files(*made)
    many = (made[0] * copies, made[1] * copies)
    files = _copied(data, results, images, copies)
    rows = []
    for name in (*_PEERS, OURS):
        found = _in_own_process(name, many, files)
        rows.append({"images": images * copies, "kind": "masks", "contender": name, **found})
    return rows


def _copied(data: dict[str, Any], results: list[dict[str, Any]], images: int, copies: int) -> Files:
    moves = [number * images for number in range(copies)]
    truth = [
        one | {"image_id": one["image_id"] + move} for move in moves for one in data["annotations"]
    ]
    return (
        data
        | {
            "images": [one | {"id": one["id"] + move} for move in moves for one in data["images"]],
            "annotations": [one | {"id": number + 1} for number, one in enumerate(truth)],
        },
        [one | {"image_id": one["image_id"] + move} for move in moves for one in results],
    )


def _in_own_process(name: str, images: Images, files: Files) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            before = resident_mib()
            load, seconds, stats = _score(name, images, files, "masks")
            told = {
                "added_mib": round(peak_mib() - before),
                "load_s": round(load, 2),
                "score_s": round(seconds, 2),
                "ap": float(stats[0]),
            }
            os.write(writing, json.dumps(told).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if not text:
        raise DataError(f"the process that scores with {name} ended without an answer.")
    return dict(json.loads(text))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing that peers print, from whatever language, reaches the terminal."""
    kept = os.dup(1)
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        os.dup2(nothing.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Memory and time of all contenders, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # peers start threads: one core for all
    cv2.setNumThreads(1)
    # First, since a process can't be forked once a peer has started its threads.
    memory = measure_memory(options.images, options.copies)
    for row in memory:
        told = f"{row['score_s']:7.2f} s, {row['added_mib']} MiB"
        print(f"{row['images']} images: {row['contender']:17} {told}", flush=True)
    rows = measure_scoring(options.images, options.rounds)
    for row in rows:
        print(f"{row['kind']:6} {row['contender']:17} {row['median_s']:8.3f} s", flush=True)
    peers = {name: version(name) for name in _PEERS}
    return {"threads": 1, "peers": peers, "rows": rows, "memory": memory}


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many detections, and how often."""
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=5, help="of the images, for memory")
