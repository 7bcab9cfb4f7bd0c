"""Settings of a refining step, searched on training images by one setting after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.refinement_cases import Case
from maskwright.core.classes import Classes
from maskwright.core.resize import resize_nearest
from maskwright.metrics import (
    boundary_matches,
    boundary_overlaps,
    confusion_matrix,
    matrix_overlaps,
    mean_boundary_f,
    mean_iou,
)
from maskwright.refine import STEPS, Refinement, most_probable

Settings = dict[str, Any]
Tell = Callable[[str, Settings, float], None]

GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "dense-crf": {
        "appearance_weight": (2.0, 3.0, 4.0, 6.0, 9.0),
        "appearance_width": (9.0, 12.0, 16.0, 24.0, 40.0, 80.0),
        "colour_width": (1.5, 2.0, 2.7, 3.5, 5.0, 8.0, 13.0),
        "smooth_weight": (0.0, 0.3, 1.0, 3.0),
        "iterations": (2, 3, 5, 10),
    },
    "guided-filter": {
        "subsample": (1, 2, 4, 6, 8),
        "radius": (2, 4, 6, 8, 12, 16),
        "epsilon": (1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
    },
}
"""Step -> what each of its settings may be."""

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9)


def search_settings(
    cases: Sequence[Case], classes: Classes, tell: Tell | None = None, *, passes: int = 2
) -> dict[str, dict[str, Any]]:
    """Go through the settings of every step, keep the best value of each, and go through again.

    What is raised is the mean of mIoU, boundary IoU and boundary F: areas and edges.

    Args:
        cases: of training images.
        classes: that are told apart.
        tell: called with a step, settings and their score.
        passes: how often each setting is gone through.

    Returns:
        Step -> "settings", "score", "before" (of the network alone) and "tried", how many.
    """
    before = _score(None, cases, classes)
    found = {}
    for name, grid in GRIDS.items():
        known: dict[str, float] = {}
        best = asdict(STEPS[name].settings())
        for _ in range(passes):
            for key, values in grid.items():
                candidates = [{**best, key: value} for value in (best[key], *values)]
                for settings in candidates:
                    if str(settings) not in known:
                        step = Refinement.of(name, settings)
                        known[str(settings)] = _score(step, cases, classes)
                        if tell is not None:
                            tell(name, settings, known[str(settings)])
                best = max(candidates, key=lambda settings: known[str(settings)])
        score = known[str(best)]
        found[name] = {"settings": best, "score": score, "before": before, "tried": len(known)}
    return found


def search_confidence(
    cases: Sequence[Case], classes: Classes, settings: Mapping[str, Settings]
) -> dict[str, dict[str, float]]:
    """How sure class maps without probabilities are best taken to be.

    Args:
        cases: of training images.
        classes: that are told apart.
        settings: of each step.

    Returns:
        Step -> confidence -> score, as of `search_settings`.
    """
    return {
        name: {
            str(confidence): _score(
                Refinement.of(name, {**own, "confidence": confidence}),
                cases,
                classes,
                probabilities=False,
            )
            for confidence in CONFIDENCES
        }
        for name, own in settings.items()
    }


def _score(
    step: Refinement | None, cases: Sequence[Case], classes: Classes, *, probabilities: bool = True
) -> float:
    totals: list[np.ndarray | int] = [0, 0, 0]
    for case in cases:
        probabilities_Khw = case.answer.probabilities_Khw
        if step is not None and probabilities:
            probabilities_Khw = step.refine(probabilities_Khw, case.frame_hw3)
        elif step is not None:
            probabilities_Khw = step.refine_labels(
                most_probable(probabilities_Khw), len(classes), case.frame_hw3
            )
        found_HW = resize_nearest(most_probable(probabilities_Khw), case.truth.size)
        maps = (case.truth_map, found_HW, len(classes), classes.void)
        for index, count in enumerate((confusion_matrix, boundary_overlaps, boundary_matches)):
            totals[index] = totals[index] + count(*maps)
    areas, bands, outlines = (np.asarray(each) for each in totals)
    scores = mean_iou(matrix_overlaps(areas)), mean_iou(bands), mean_boundary_f(outlines)
    return float(np.mean(scores))
