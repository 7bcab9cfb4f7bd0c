"""Networks trained for the same time on the same data, and what each came to; `compare` runs it.

The folder of a comparison:

comparison.json  settings, machine, a row a model; written anew after every model
runs/NAME/       log, result and run folder of each
report.html      the page
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.errors import ConfigError
from maskwright.core.files import write_json
from maskwright.training.run_folder import environment

FILE = "comparison.json"

_RENAMED = {
    "miou": "score",
    "iou": "of_classes",
    "test_miou": "test_score",
    "test_iou": "test_of_classes",
    "best_miou": "best_score",
}
"""Fields of records that knew class maps only."""

_SPANS = ("interval", "basic_span", "best_span")


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One model's figures. What was not reached is None or empty.

    Attributes:
        name: key of `ARCHITECTURES`.
        title: as the paper writes it.
        first_weights: "ImageNet" or "random".
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
    first_weights: str = "random"
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


class Comparison:
    """The settings and rows of a comparison, kept on disk.

    Attributes:
        folder: of its files.
        settings: what every row has in common; a comparison goes on only with the same.
        rows: by name, in the order of training.
        facts: what a measurement must name, of training and of the timing.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Begin, or go on with the one that lies in `folder`.

        Raises:
            ConfigError: it has other settings, or is damaged.
        """
        self.folder = folder
        self.settings = json.loads(json.dumps(settings))
        self.rows: dict[str, ComparisonRow] = {}
        self.facts: dict[str, Any] = {"training": environment()}
        if (folder / FILE).exists():
            self._go_on()

    def _go_on(self) -> None:
        before = read_record(self.folder)
        for name, value in self.settings.items():
            if before["settings"].get(name) != value:
                raise ConfigError(
                    f"{self.folder} holds a comparison with {name} "
                    f"{before['settings'].get(name)}, but got {value}; give the same settings to "
                    "go on with it, or another folder."
                )
        rows = [ComparisonRow.from_dict(row) for row in before["rows"]]
        self.rows = {row.name: row for row in rows}
        self.facts = {key: before[key] for key in ("training", "timing") if key in before}

    def keep(self, row: ComparisonRow) -> None:
        """Take a row in, in the place of an older one, and write the file."""
        self.rows[row.name] = row
        self.write()

    def write(self) -> None:
        """Write the file anew."""
        write_json(self.folder / FILE, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **self.facts,
            "settings": self.settings,
            "rows": [asdict(row) for row in self.rows.values()],
        }


def read_record(folder: Path) -> dict[str, Any]:
    """What comparison.json holds.

    Args:
        folder: of a comparison, or the file itself.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    path = folder if folder.suffix == ".json" else folder / FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _ = [ComparisonRow.from_dict(row) for row in record["rows"]], dict(record["settings"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"expected a comparison in {path}, but it can't be read ({error}); give the folder of "
            "an earlier maskwright compare."
        ) from error
    return dict(record)


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
