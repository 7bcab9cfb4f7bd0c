"""One model's figures in a comparison, and which of several no other beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_RENAMED = {
    "first_weights": "initial_weights",
    "miou": "score",
    "iou": "of_classes",
    "test_miou": "test_score",
    "test_iou": "test_of_classes",
    "best_miou": "best_score",
}
"""Fields that earlier records had under other names."""

_SPANS = ("interval", "basic_span", "best_span")


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One model's figures. What was not reached is None or empty.

    Attributes:
        name: key of `ARCHITECTURES`.
        title: as the paper writes it.
        initial_weights: "ImageNet" or "random".
        parameters: auxiliary heads included.
        gflops: 1e9 operations of one answer, 2 a multiply-add.
        jobs: networks that trained side by side, this one among them.
        steps, epochs: of training.
        precision: of training, "fp32" or "bf16".
        batch: images a step; below the settings' where memory was short, gradients then summed.
        training_mib: 2^20 bytes that training had resident at most.
        headline: the name of the score, such as "mIoU".
        score: of the last weights on the validation split, by PyTorch, 0..1.
        numbers: every number of these weights by name, the headline among them.
        of_classes: class -> its IoU, AP or PQ, of these weights.
        test_score, test_of_classes: the same on the test split, where there is one beside.
        basic_ms: median of PyTorch eager, the network alone.
        best_ms: median of the fastest runtime.
        basic_span, best_span: the medians' 95 % intervals over the turns, lowest and highest.
        best: its name, such as "OpenVINO bf16".
        best_score: headline of its answers on the validation split.
        interval: of that, the bootstrap's lowest and highest at 95 %, over the images.
        boundary_iou, boundary_f, thin_iou: of those answers, means over the classes.
        agreement: share of pixels, 0..1, on which it answers as PyTorch.
        peak_mib: 2^20 bytes that a process takes which only answers with it.
        file_mib: of the bundle.
        unsure: what the times leave open; "" where nothing.
        error: why the model failed; "" where it didn't.
    """

    name: str
    title: str = ""
    initial_weights: str = "random"
    parameters: int | None = None
    gflops: float | None = None
    jobs: int | None = None
    steps: int | None = None
    epochs: float | None = None
    precision: str | None = None
    batch: int | None = None
    training_mib: float | None = None
    headline: str = "mIoU"
    score: float | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    of_classes: Mapping[str, float | None] = field(default_factory=dict)
    test_score: float | None = None
    test_of_classes: Mapping[str, float | None] = field(default_factory=dict)
    basic_ms: float | None = None
    best_ms: float | None = None
    basic_span: tuple[float, float] | None = None
    best_span: tuple[float, float] | None = None
    best: str | None = None
    best_score: float | None = None
    interval: tuple[float, float] | None = None
    boundary_iou: float | None = None
    boundary_f: float | None = None
    thin_iou: float | None = None
    agreement: float | None = None
    peak_mib: float | None = None
    file_mib: float | None = None
    unsure: str = ""
    error: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ComparisonRow:
        """Inverse of `dataclasses.asdict`, through JSON too; earlier records are read as well."""
        row = {_RENAMED.get(name, name): value for name, value in data.items()}
        accuracy = row.pop("pixel_accuracy", None)
        if accuracy is not None:
            row["numbers"] = {"mIoU": row.get("score"), "pixel accuracy": accuracy}
        spans = {name: tuple(row[name]) for name in _SPANS if row.get(name) is not None}
        return cls(**{**row, **spans})


def pareto(
    rows: Sequence[ComparisonRow], most: int = 8, cost: str = "best_ms", score: str = "score"
) -> list[ComparisonRow]:
    """Those that no other beats in both accuracy and cost, the cheapest first.

    Args:
        rows: without a score or cost they are left out.
        most: of more than so many, those between the ends go that add the least area below the
            front, over the logarithm of the cost.
        cost: field that should be low, above 0.
        score: field that should be high.
    """
    points = [
        (getattr(row, cost), getattr(row, score), row)
        for row in rows
        if getattr(row, cost) is not None and getattr(row, score) is not None
    ]
    front: list[tuple[float, float, ComparisonRow]] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    while len(front) > max(2, most):
        areas = [
            (score - before) * (math.log(after) - math.log(cost))
            for (_, before, _), (cost, score, _), (after, _, _) in zip(front, front[1:], front[2:])
        ]
        front.pop(1 + areas.index(min(areas)))
    return [row for *_, row in front]
