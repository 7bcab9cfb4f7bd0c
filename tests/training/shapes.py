"""Eight small pictures to train on, settings of quick runs, and a listener to what they tell."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

import maskwright.formats as formats
from maskwright.core import Dataset
from maskwright.data import NONE
from maskwright.jobs import Headline, Scores
from maskwright.training import Callback, Scored, TrainConfig, loop

MILD = replace(NONE, scale=(0.8, 1.25), flip=0.5, brightness=0.1)


def draw_picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A red rectangle and a blue disc on noisy green: RGB [64, 64, 3] and ids 0, 1, 2."""
    class_map = np.zeros((64, 64), np.uint8)
    x, y, side = rng.integers(2, 24), rng.integers(2, 24), rng.integers(12, 28)
    cv2.rectangle(class_map, (int(x), int(y)), (int(x + side), int(y + side)), 1, -1)
    centre = tuple(int(place) for place in rng.integers(34, 56, 2))
    cv2.circle(class_map, centre, int(rng.integers(8, 13)), 2, -1)
    colours = np.array([[60, 150, 60], [200, 50, 50], [50, 60, 200]])
    image = colours[class_map] + rng.normal(0, 12, (64, 64, 3))
    return np.clip(image, 0, 255).astype(np.uint8), class_map


def make_dataset(root: Path) -> Dataset:
    """Six pictures to train on, two to score on, read from a folder of index masks."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for number in range(count):
            image, class_map = draw_picture(rng)
            for kind, pixels in (("images", image[..., ::-1]), ("masks", class_map)):
                folder = root / split / kind
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f"{number}.png"), pixels)
    (root / "classes.json").write_text(json.dumps(["grass", "box", "ball"]))
    return formats.read(root)


def config(**changes) -> TrainConfig:
    base = {
        "architecture": "unet",
        "options": {"width": 8, "levels": 2},
        "size": (64, 64),
        "batch": 4,
        "steps": 40,
        "lr": 0.01,
        "ema": 0.9,
        "precision": "fp32",
        "augmentation": MILD,
        "evaluate_every": 2,
        "workers": 0,
        "threads": 1,
    }
    return TrainConfig(**(base | changes))


def quick(**changes) -> TrainConfig:
    return config(**({"options": {"width": 2, "levels": 1}, "size": (32, 32)} | changes))


def script_headlines(monkeypatch: pytest.MonkeyPatch, values: Iterable[float]) -> None:
    """What a trainer scores has these headlines, one after the other; then 0.3."""
    score, headline, left = loop.score, Scores.headline, iter(values)

    def scripted(*args: object, **options: object) -> Scores:
        found = score(*args, **options)
        object.__setattr__(found, "scripted", next(left, 0.3))
        return found

    def told(self: Scores) -> Headline:
        known = headline(self)
        return Headline(name=known.name, value=getattr(self, "scripted", known.value))

    monkeypatch.setattr(loop, "score", scripted)
    monkeypatch.setattr(Scores, "headline", told)


class Listener(Callback):
    """Remembers what was told; calls `at` with each step."""

    def __init__(self, at: Callable[[int], None] = lambda step: None) -> None:
        self.notes: list[str] = []
        self.steps: list[int] = []
        self.scores: list[float] = []
        self.closed = 0
        self.at = at

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, step: int, steps: int, loss: float, rate: float) -> None:
        assert loss > 0
        assert rate > 0
        self.steps.append(step)
        self.at(step)

    def score(self, step: int, name: str, value: float, best: bool, scores: Scored) -> None:
        assert best == (value > max(self.scores, default=-1.0))
        self.scores.append(value)

    def end(self, result: object) -> None:
        self.closed += 1


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def losses(folder: Path) -> list[tuple[str, str]]:
    return [(row["step"], row["loss"]) for row in rows(folder) if row["loss"]]


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(path)
