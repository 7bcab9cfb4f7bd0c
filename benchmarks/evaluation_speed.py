"""How long an evaluation takes from its files on: `python -m benchmarks evaluation-speed`.

Made-up COCO files (`detections.py`: masks as compressed run lengths, no boxes in the results) are
scored in alternating turns, each in a process of its own, so that its time (imports apart) and its
peak memory are its own:

* pycocotools: the usual script, `COCO`, `loadRes`, `COCOeval` on "segm", 12 numbers;
* masks: ours with the same 12 numbers, from the same two files;
* evaluate: all that `maskwright evaluate` does by default: masks, their boundaries and boxes, the
  curves, and with `ci` 95 % intervals.

Beside that, two steps that are felt: a predictor's 100 masks of one image, brought to its pixels
inside their boxes and over whole frames; and one image's panoptic segments, counted by ours and by
`np.unique` of both ids together, as panopticapi does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.alone import alone
from benchmarks.detections import SIZE, coco_files, make_detections
from maskwright.benchmarks.memory import peak_mib
from maskwright.core.errors import DataError

Outcome = tuple[float, float, list[float]]
"""Seconds, peak MiB, numbers."""


def write_files(root: Path, images: int) -> tuple[int, int]:
    """A COCO set and results; truths and detections as numbers."""
    data, results = coco_files(*make_detections(images))
    (root / "set" / "images").mkdir(parents=True)
    jpeg = cv2.imencode(".jpg", np.full((*SIZE, 3), 90, np.uint8))[1].tobytes()
    for image in data["images"]:
        image["file_name"] = f"{image['id']:06}.jpg"
        (root / "set" / "images" / image["file_name"]).write_bytes(jpeg)
    for one in results:
        del one["bbox"]  # with boxes, pycocotools takes their areas for those of the masks
    (root / "set" / "instances.json").write_text(json.dumps(data))
    (root / "results.json").write_text(json.dumps(results))
    return len(data["annotations"]), len(results)


def run_pycocotools(root: Path) -> Outcome:
    """The usual script."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(root / "set" / "instances.json"))
        run = COCOeval(truth, truth.loadRes(str(root / "results.json")), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return time.perf_counter() - start, peak_mib(), list(map(float, run.stats))


def run_masks(root: Path) -> Outcome:
    """Ours, the same numbers."""
    import maskwright.formats as formats
    import maskwright.jobs as jobs

    start = time.perf_counter()
    dataset = formats.read(root / "set")
    samples = dataset.split("all")
    found = formats.read_predictions(root / "results.json", dataset, samples)
    scores = jobs.score(samples, found.read, dataset.classes, tasks=found.tasks, detail=False)
    stats = scores.parts["objects"].first.coco_stats  # type: ignore[attr-defined]
    return time.perf_counter() - start, peak_mib(), list(map(float, stats))


def run_evaluate(root: Path) -> Outcome:
    """All of `maskwright.evaluate`."""
    import maskwright.api as api

    start = time.perf_counter()
    scores = api.evaluate(root / "results.json", root / "set")
    scores.to_dict()
    stats = scores.parts["objects"].first.coco_stats  # type: ignore[attr-defined]
    return time.perf_counter() - start, peak_mib(), list(map(float, stats))


def run_evaluate_ci(root: Path) -> Outcome:
    """All of `maskwright.evaluate`, with intervals of all three kinds."""
    import maskwright.api as api

    start = time.perf_counter()
    scores = api.evaluate(root / "results.json", root / "set", ci=True)
    scores.to_dict()
    stats = scores.parts["objects"].first.coco_stats  # type: ignore[attr-defined]
    return time.perf_counter() - start, peak_mib(), list(map(float, stats))


CONTENDERS: dict[str, Callable[[Path], Outcome]] = {
    "pycocotools": run_pycocotools,
    "masks": run_masks,
    "evaluate": run_evaluate,
    "evaluate with ci": run_evaluate_ci,
}


def measure_evaluation(images: int, rounds: int) -> list[dict[str, Any]]:
    """Score the same files by all contenders, in turns.

    Args:
        images: how many are made.
        rounds: turns of each contender.

    Returns:
        A row for each: "contender", "truths", "detections", "median_s", "seconds",
        "times_pycocotools" (how many times faster, by medians), "peak_mib" of its process, "ap".

    Raises:
        DataError: a contender's 12 numbers are not pycocotools', to the last bit.
    """
    outcomes: dict[str, list[Outcome]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        truths, detections = write_files(Path(folder), images)
        for _ in range(rounds):
            for name, contender in CONTENDERS.items():
                outcomes[name].append(alone(contender, Path(folder)))
                print(f"{name:17} {outcomes[name][-1][:2]}", flush=True)
    expected = outcomes["pycocotools"][0][2]
    median = {n: statistics.median(one[0] for one in found) for n, found in outcomes.items()}
    rows = []
    for name, found in outcomes.items():
        if found[0][2] != expected:
            raise DataError(f"expected the numbers {expected} from {name}, got {found[0][2]}.")
        rows.append(
            {
                "contender": name,
                "truths": truths,
                "detections": detections,
                "median_s": round(median[name], 3),
                "seconds": [round(one[0], 3) for one in found],
                "times_pycocotools": round(median["pycocotools"] / median[name], 2),
                "peak_mib": round(max(one[1] for one in found)),
                "ap": expected[0],
            }
        )
    return rows


def measure_masks(rounds: int) -> list[dict[str, Any]]:
    """100 masks at stride 4 of an input of 640x640 brought to an image, by boxes and by frames.

    Raises:
        DataError: the masks differ.
    """
    from maskwright.core.mask import Mask
    from maskwright.core.resize import Geometry, Resize, restore_class_map
    from maskwright.runtimes.masks import restore_masks

    size, rng, rows = (640, 640), np.random.default_rng(0), []
    drawn = np.zeros((100, 160, 160), np.uint8)
    for canvas in drawn:
        x, y = (int(place) for place in rng.integers(40, 120, 2))
        cv2.circle(canvas, (x, y), int(rng.integers(5, 20)), 1, -1)

    def by_frames(geometry: Geometry) -> list[Mask]:
        enlarged = [cv2.resize(one.astype(np.float32), size) for one in drawn]
        inside = [(values > 0.5).astype(np.uint8) for values in enlarged]
        return [Mask.encode(restore_class_map(one, geometry)) for one in inside]

    for source in ((720, 1280), (1080, 1920)):
        geometry = Resize(size=size, mode="letterbox").geometry(source)
        ways: dict[str, Callable[[], list[Mask]]] = {
            "whole frames": lambda g=geometry: by_frames(g),  # type: ignore[misc]
            "boxes": lambda g=geometry: restore_masks(list(drawn), size, 0.5, g),  # type: ignore[misc]
        }
        if ways["whole frames"]() != ways["boxes"]():
            raise DataError("expected the same masks by boxes as by whole frames.")
        rows.append({"image": list(source), **_in_turns(ways, rounds)})
    return rows


def measure_panoptic(rounds: int) -> list[dict[str, Any]]:
    """One image of 1024x2048 with 68 segments on both sides, smooth and with noise."""
    from maskwright.core.parts import Panoptic
    from maskwright.metrics.panoptic import panoptic_counts

    rows = []
    for noise in (0.0, 0.3):
        truth, found = (_segments(np.random.default_rng(seed), noise) for seed in (0, 1))

        def unique(first: Panoptic = truth, second: Panoptic = found) -> object:
            both = first.segment_ids.astype(np.uint64) * 256**3
            return np.unique(both + second.segment_ids.astype(np.uint64), return_counts=True)

        def ours(first: Panoptic = truth, second: Panoptic = found) -> object:
            return panoptic_counts(first, second, 19)

        rows.append({"noise": noise, **_in_turns({"np.unique": unique, "ours": ours}, rounds)})
    return rows


def _segments(rng: np.random.Generator, noise: float) -> Any:
    from maskwright.core.parts import Panoptic

    ids = np.repeat(np.arange(1, 9, dtype=np.int32) * 1000, 128)[:, None].repeat(2048, axis=1)
    for number in range(60):
        x, y = (int(place) for place in rng.integers(0, (2048, 1024)))
        width, height = (int(radius) for radius in rng.integers(10, 120, 2))
        cv2.ellipse(ids, (x, y), (width, height), 30, 0, 360, 50000 + 256 * number, -1)
    numbers = np.unique(ids)
    some = rng.random(ids.shape) < noise
    ids[some] = rng.choice(numbers, int(some.sum()))
    return Panoptic(segment_ids=ids, class_of={int(n): k % 19 for k, n in enumerate(numbers)})


def _in_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds, the median of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {f"{name} ms": round(1e3 * statistics.median(s), 2) for name, s in seconds.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All contenders on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    return {
        "threads": 1,
        "peers": {"pycocotools": version("pycocotools")},
        "evaluation": measure_evaluation(options.images, options.rounds),
        "masks": measure_masks(3 * options.rounds),
        "panoptic": measure_panoptic(3 * options.rounds),
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many detections, and how often."""
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
