"""AP by two protocols, beside the tools' own answers: `python -m benchmarks ultralytics-scores`.

The tool (AGPL-3.0) is no dependency of ours: it is called in a process of its own, from folders
that you fill, and only asked (`match_predictions`, `ap_per_class`), never read.

    pip install --no-deps --target tool-8.4 ultralytics==8.4.190
    python -m benchmarks ultralytics-scores --tools tool-8.3 tool-8.4
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core import Classes, Instance, MaskwrightError, Segmentation
from maskwright.metrics import AveragePrecision

CLASSES = ("a", "b", "c")
SIDE = 100.0

_TOOL = """
import json, sys, types
import numpy as np, torch
import ultralytics
from ultralytics.engine.validator import BaseValidator
from ultralytics.utils.metrics import ap_per_class, box_iou

asked = types.SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10))
answers = []
for images in json.loads(sys.stdin.read()):
    right, sure, found, there = [], [], [], []
    for truth, detections in images:
        truth = torch.tensor(truth, dtype=torch.float64).reshape(-1, 5)
        detections = torch.tensor(detections, dtype=torch.float64).reshape(-1, 6)
        overlap = box_iou(truth[:, 1:], detections[:, 2:])
        hits = torch.zeros(len(detections), 10, dtype=torch.bool)
        if len(truth) and len(detections):
            hits = BaseValidator.match_predictions(asked, detections[:, 0], truth[:, 0], overlap)
        right.append(np.asarray(hits)); sure.append(detections[:, 1])
        found.append(detections[:, 0]); there.append(truth[:, 0])
    result = ap_per_class(
        np.concatenate(right), np.concatenate(sure), np.concatenate(found), np.concatenate(there)
    )
    [table] = [one for one in result if isinstance(one, np.ndarray) and one.shape[1:] == (10,)]
    answers.append(table.tolist())
print("ANSWER" + json.dumps([ultralytics.__version__, answers]))
"""

Rows = list[list[float]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--tools", type=Path, nargs="+", required=True, help="folders that hold it")
    parser.add_argument("--sets", type=int, default=100, help="of random images")
    parser.add_argument("--seed", type=int, default=0)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """For each tool: the largest difference of any class and threshold, over all sets."""
    rng = np.random.default_rng(options.seed)
    sets = [[_image(rng) for _ in range(12)] for _ in range(options.sets)]
    rows = []
    for place in options.tools:
        version, theirs = _ask(place, sets)
        protocol = "ultralytics-8.3" if version.startswith("8.3.") else "ultralytics-8.4"
        differences = [
            float(np.abs(_ours(images, protocol) - np.array(answer)).max())
            for images, answer in zip(sets, theirs)
        ]
        rows.append({
            "tool": f"ultralytics {version}", "protocol": protocol, "sets": len(sets),
            "largest_difference": max(differences),
        })  # fmt: skip
        print(f"{rows[-1]['tool']}: {protocol} differs by at most {max(differences):.2g}")
    return {"threads": 1, "seed": options.seed, "rows": rows}


def _image(rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Truth (class, box) and detections (class, confidence, box), the surest first."""
    truth = [[float(rng.integers(len(CLASSES))), *_box(rng)] for _ in range(rng.integers(1, 7))]
    found = []
    for class_id, *box in truth:
        for _ in range(rng.integers(0, 4)):
            moved = (np.array(box) + rng.normal(0, 2, 4)).tolist()
            found.append([class_id, float(rng.random()), *moved])
    found += [
        [float(rng.integers(len(CLASSES))), float(rng.random()), *_box(rng)]
        for _ in range(rng.integers(0, 3))
    ]
    return truth, sorted(found, key=lambda row: -row[1])


def _box(rng: np.random.Generator) -> list[float]:
    """Often one of a few places, so that truths overlap and are claimed more than once."""
    left, top = rng.integers(0, 3, 2) * 20.0 + rng.normal(0, 2, 2)
    width, height = rng.uniform(25, SIDE / 2, 2)
    return [float(left), float(top), float(left + width), float(top + height)]


def _ours(images: list[tuple[Rows, Rows]], protocol: str) -> np.ndarray:
    """AP [classes that occur, 10 thresholds]."""
    total = AveragePrecision(CLASSES, kinds=["boxes"])
    for truth, found in images:
        total.update(
            _segmentation([(int(c), tuple(box), None) for c, *box in truth]),
            _segmentation([(int(c), tuple(box), score) for c, score, *box in found]),
        )
    table = total.scores(protocol).average_precision[0].T
    return np.asarray(table[~np.isnan(table).all(axis=1)])


def _segmentation(rows: list[tuple[int, Any, float | None]]) -> Segmentation:
    instances = tuple(Instance(class_id=c, box_xyxy=box, score=score) for c, box, score in rows)
    return Segmentation(size=(200, 200), classes=Classes.of(CLASSES), instances=instances)


def _ask(place: Path, sets: list[list[tuple[Rows, Rows]]]) -> tuple[str, list[Any]]:
    """The tool's version and its AP of each set."""
    with tempfile.TemporaryDirectory() as settings:
        env = os.environ | {
            "PYTHONPATH": str(place.resolve()), "YOLO_CONFIG_DIR": settings, "YOLO_OFFLINE": "true",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", _TOOL], input=json.dumps(sets), env=env, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
    last = next((line for line in done.stdout.splitlines() if line.startswith("ANSWER")), None)
    if last is None:
        raise MaskwrightError(
            f"the tool in {place} gave no answer: {done.stderr[-300:]}. Expected a folder that "
            "pip install --target filled, with what the tool needs."
        )
    version, answers = json.loads(last.removeprefix("ANSWER"))
    return version, answers
