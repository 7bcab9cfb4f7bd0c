"""What refining gains and costs: `python -m benchmarks refinement CHECKPOINT DATA`.

A network answers the validation images once; its probabilities are scored as they are, and refined
by every step of `refine.STEPS` in its settings, which `--search` found on training images before
they were frozen. The dense CRF is held against itself without any shortcut, and every step is fed
class maps alone, as a bundle without probabilities has them. Where the photos are larger than the
network's input, refining in the photo's pixels is compared, too.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alone import alone, height_width
from benchmarks.refinement_cases import Case, cases_of, spread
from benchmarks.refinement_search import (
    Settings,
    search_confidence,
    search_settings,
)
from benchmarks.refinement_times import time_steps
from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.core.errors import ConfigError
from maskwright.core.resize import resize_nearest
from maskwright.core.sample import Dataset, Sample
from maskwright.export.bundle import torch_predictor
from maskwright.formats import read
from maskwright.jobs.inspect import Progress
from maskwright.jobs.score_maps import MapScorer, MapScores
from maskwright.jobs.scorer import require_same_classes
from maskwright.refine import STEPS, Refinement, most_probable
from maskwright.runtimes import Predictor

NETWORK = "network"
EXACT = "dense-crf without shortcuts"
"""Every pixel by itself, the paper's lattice, every class heard."""

_NO_SHORTCUTS = {"cell": 0.0, "blur": True, "floor": 0.0}
_TIMED = 6


Refine = Callable[[Case], np.ndarray]
"""A case -> class ids [H, W] in the photo's pixels."""


def measure_refinement(
    predictor: Predictor,
    samples: Sequence[Sample],
    settings: Mapping[str, Settings] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a network's class maps as they are and refined.

    Args:
        predictor: that gives probabilities, and refines nothing itself.
        samples: labelled with class maps.
        settings: of each step by name; their defaults unless given.
        progress: called after each image.

    Returns:
        Plain data: "settings"; "variants": name -> "scores" (mIoU, boundary IoU, boundary F, thin
        IoU), "gains" over the network with their paired 95 % intervals, and "agreement", the share
        of pixels with the network's class; "shortcuts": the gains of the dense CRF over itself
        without any, and the share of pixels in which both agree; "images".

    Raises:
        ConfigError: the network has no probabilities, or nothing is labelled.
    """
    steps = {name: Refinement.of(name, (settings or {}).get(name)) for name in STEPS}
    variants = _variants(steps, predictor, samples)
    scorers = {name: MapScorer(predictor.card.classes) for name in variants}
    same = dict.fromkeys((*variants, EXACT + " as with them"), 0)
    pixels = 0
    for done, case in enumerate(cases_of(predictor, samples), start=1):
        maps = {name: refine(case) for name, refine in variants.items()}
        for name, ids_HW in maps.items():
            found = replace(case.answer.found, semantic=ids_HW)
            scorers[name].update(case.name, case.truth, found)
            same[name] += int(np.count_nonzero(ids_HW == maps[NETWORK]))
        same[EXACT + " as with them"] += int(np.count_nonzero(maps["dense-crf"] == maps[EXACT]))
        pixels += maps[NETWORK].size
        if progress is not None:
            progress(done, len(samples))
    scores = {name: _scored(scorer) for name, scorer in scorers.items()}
    return {
        "settings": {name: dict(step.to_postprocess().parameters) for name, step in steps.items()},
        "variants": {
            name: _row(each, scores[NETWORK], same[name] / pixels) for name, each in scores.items()
        },
        "shortcuts": _row(
            scores["dense-crf"], scores[EXACT], same[EXACT + " as with them"] / pixels
        ),
        "images": len(samples),
    }


def _variants(
    steps: Mapping[str, Refinement], predictor: Predictor, samples: Sequence[Sample]
) -> dict[str, Refine]:
    if not samples:
        raise ConfigError("expected labelled images to refine, got none.")
    exact = {**steps["dense-crf"].to_postprocess().parameters, **_NO_SHORTCUTS}
    in_frame = {**steps, EXACT: Refinement.of("dense-crf", exact)}
    variants: dict[str, Refine] = {NETWORK: lambda case: case.found_map}
    for name, step in in_frame.items():
        variants[name] = _in_frame(step)
    for name, step in steps.items():
        variants[f"{name} of class maps"] = _of_class_map(step)
    if samples[0].read_image().shape[:2] != predictor.card.resize.size:
        for name, step in steps.items():
            variants[f"{name} in the photo's pixels"] = _in_photo(step)
    return variants


def _in_frame(step: Refinement) -> Refine:
    def refine(case: Case) -> np.ndarray:
        refined_Khw = step.refine(case.answer.probabilities_Khw, case.frame_hw3)
        return resize_nearest(most_probable(refined_Khw), case.truth.size)

    return refine


def _of_class_map(step: Refinement) -> Refine:
    def refine(case: Case) -> np.ndarray:
        told_Khw = case.answer.probabilities_Khw
        refined_Khw = step.refine_labels(most_probable(told_Khw), len(told_Khw), case.frame_hw3)
        return resize_nearest(most_probable(refined_Khw), case.truth.size)

    return refine


def _in_photo(step: Refinement) -> Refine:
    return lambda case: most_probable(step.refine(case.answer.restored(), case.photo_HW3))


def _scored(scorer: MapScorer) -> MapScores:
    scores = scorer.scores()
    if scores is None:
        raise ConfigError("expected labelled images to score, got none.")
    return scores


def _row(scores: MapScores, other: MapScores, agreement: float) -> dict[str, Any]:
    numbers = scores.numbers()
    values = {name: numbers[name] for name in ("mIoU", "boundary IoU", "boundary F", "thin IoU")}
    return {
        "scores": {name: _rounded(value) for name, value in values.items()},
        "gains": {
            name: {of: _rounded(getattr(gain, of)) for of in ("value", "low", "high")}
            for name, gain in scores.against(other).items()
            if name in values
        },
        "agreement": _rounded(agreement),
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Search, or score and time."""
    dataset = read(options.data, ignore=options.ignore)
    predictor = _open(options.checkpoint, options.input, dataset)
    run = _search if options.search else _score
    return {
        **run(options, predictor, dataset),
        "input": list(predictor.card.resize.size),
        "threads": 1,
    }


def _search(options: argparse.Namespace, predictor: Predictor, dataset: Dataset) -> dict[str, Any]:
    part = spread(dataset.split("train"), options.search)
    cases = list(cases_of(predictor, part))
    classes = predictor.card.classes
    found = search_settings(cases, classes, _tell)
    best = {name: each["settings"] for name, each in found.items()}
    return {
        "search": found,
        "confidence": search_confidence(cases, classes, best),
        "images": len(part),
    }


def _score(options: argparse.Namespace, predictor: Predictor, dataset: Dataset) -> dict[str, Any]:
    every = dataset.split("val", "test")
    samples = spread(every, options.images or len(every))
    found = measure_refinement(predictor, samples)
    for name, row in found["variants"].items():
        print(f"{name}: {_line(row)}")
    print(f"dense-crf minus {EXACT}: {_line(found['shortcuts'])}")
    if options.rounds:
        found["times"] = _timed(predictor, samples, found["settings"], options.rounds)
    return found


def _open(checkpoint: Path, size: tuple[int, int] | None, dataset: Dataset) -> Predictor:
    network, card = load_checkpoint(checkpoint)
    require_same_classes(card.classes, dataset.classes)
    if size is not None:
        card = replace(card, resize=replace(card.resize, size=size))
    return torch_predictor(network, replace(card, postprocess=None), probabilities=True)


def _timed(
    predictor: Predictor, samples: Sequence[Sample], settings: Mapping[str, Settings], rounds: int
) -> list[dict[str, Any]]:
    """In a fresh process that knows of one thread only: NumPy's library reads that at its start."""
    cases = list(cases_of(predictor, spread(samples, _TIMED)))
    told = [case.answer.probabilities_Khw.astype(np.float16) for case in cases]
    steps = {name: (name, dict(values)) for name, values in settings.items()}
    steps[EXACT] = ("dense-crf", {**settings["dense-crf"], **_NO_SHORTCUTS})
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = "1"
    rows = alone(time_steps, told, [case.frame_hw3 for case in cases], steps, rounds)
    for row in rows:
        print(f"{row['step']}, {row['classes']} classes: {row['median_ms']} ms")
    return rows


def _tell(name: str, settings: Settings, score: float) -> None:
    print(f"{name} {settings}: {score:.4f}", flush=True)


def _line(row: Mapping[str, Any]) -> str:
    parts = []
    for name, value in row["scores"].items():
        gain = row["gains"].get(name)
        if value is not None and gain is not None:
            value, gained, low, high = (100 * each for each in (value, *gain.values()))
            parts.append(f"{name} {value:.2f} ({gained:+.2f} [{low:+.2f}, {high:+.2f}])")
    return ", ".join(parts)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which network and images."""
    parser.add_argument("checkpoint", type=Path, help="a .safetensors file that train wrote")
    parser.add_argument("data", type=Path, help="the labelled set")
    parser.add_argument("--ignore", action="append", default=[], help="class to leave out")
    parser.add_argument("--input", type=height_width, help="of the network instead, HEIGHTxWIDTH")
    parser.add_argument(
        "--search",
        type=int,
        default=0,
        help="settings, on so many training images, and measure nothing",
    )
    parser.add_argument("--images", type=int, default=0, help="of validation; all unless given")
    parser.add_argument("--rounds", type=int, default=5, help="timed answers an image; 0: none")
