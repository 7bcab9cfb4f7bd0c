"""Pitch lines and ball: a small network for photos of football pitches.

    python recipes/pitch.py ../shared/data/fieldlines_msl --budget 15m --out runs/pitch

Scenes of our own generator, and the photos of fieldlines_msl (Apache-2.0; RoboCup Middle Size
League; its line labels come from a rule, not from people). Its boxes of balls become discs. Robots
and posts are background.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from maskwright.core import Classes, Dataset, Instance, Sample, Segmentation
from maskwright.core.errors import MaskwrightError
from maskwright.data import Augmentation
from maskwright.formats import read
from maskwright.jobs import synthesize
from maskwright.synthesis import PITCH_CLASSES, pitch_scene
from maskwright.training import Terminal, TrainConfig, parse_duration, train

CLASSES = Classes.of(
    ["background", "field", "line", "ball"],
    [
        PITCH_CLASSES.colours[PITCH_CLASSES.index(n)]
        for n in ("background", "field", "line", "ball")
    ],
)
REAL_REPEATS = 4
"""Each photo stands so often among the scenes."""


def recipe(seconds: float, seed: int = 0) -> TrainConfig:
    """The whole configuration: four levels of EfficientNet-Lite0, 0.9 M parameters."""
    return TrainConfig(
        architecture="unet-lite0",
        options={"pretrained": True, "encoder_levels": 4, "decoder_channels": [64, 32, 24]},
        size=(320, 320),
        batch=8,
        budget=seconds,
        lr=2e-3,
        encoder_lr=0.5,
        ema=0.99,
        loss="weighted-ce+dice",
        augmentation=Augmentation(scale=(0.5, 1.6), largest_share=0.95, hue=0.05, blur=0.2),
        evaluate_every=6,
        seed=seed,
    )


def dataset(photos: Path, scenes: Path, count: int) -> Dataset:
    """Scenes and photos together; val and test are photos only.

    Args:
        photos: fieldlines_msl.
        scenes: where the generated ones lie, or will.
        count: how many scenes.
    """
    synthesize(partial(pitch_scene, size=(320, 400)), count, scenes, seed=7, workers=2)
    made = read(scenes, "index_masks")
    table = np.zeros(256, np.uint8)
    for old, name in enumerate(made.classes.names):
        table[old] = CLASSES.names.index(name) if name in CLASSES.names else 0
    table[made.classes.void] = CLASSES.void
    generated = [_mapped(one, table) for split in made.splits.values() for one in split]
    real = read(photos, "index_masks")
    splits = {
        name: _with_balls(photos / name, real.splits[name]) for name in ("train", "val", "test")
    }
    repeated = [
        replace(sample, name=f"photo{turn}/{sample.name}")
        for turn in range(REAL_REPEATS)
        for sample in splits["train"]
    ]
    return Dataset(
        root=photos,
        format="index_masks",
        classes=CLASSES,
        splits={**splits, "train": (*generated, *repeated)},
    )


def _mapped(sample: Sample, table: np.ndarray) -> Sample:
    return replace(sample, tasks=frozenset({"semantic"}), truth_of=partial(_map, sample, table))


def _map(sample: Sample, table: np.ndarray) -> Segmentation:
    truth = sample.read_truth()
    return Segmentation(
        size=truth.size,
        classes=CLASSES,
        semantic=None if truth.semantic is None else table[truth.semantic],
    )


def _with_balls(folder: Path, samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    boxes = read(folder / "boxes.json", "coco")
    ball = boxes.classes.index("ball")
    found: Mapping[str, tuple[Instance, ...]] = {
        sample.name: tuple(
            one for one in sample.read_truth().instances or () if one.class_id == ball
        )
        for split in boxes.splits.values()
        for sample in split
    }
    return tuple(
        replace(one, truth_of=partial(_draw_balls, one, found.get(one.name, ()))) for one in samples
    )


def _draw_balls(sample: Sample, balls: tuple[Instance, ...]) -> Segmentation:
    truth = sample.read_truth()
    if truth.semantic is None:
        return truth
    semantic = truth.semantic.copy()
    disc = np.zeros_like(semantic)
    for one in balls:
        x1, y1, x2, y2 = one.box_xyxy
        centre, axes = ((x1 + x2) / 2 - 0.5, (y1 + y2) / 2 - 0.5), (x2 - x1, y2 - y1)
        cv2.ellipse(disc, (centre, axes, 0.0), 1, -1)
    semantic[disc > 0] = CLASSES.index("ball")
    return Segmentation(size=truth.size, classes=CLASSES, semantic=semantic)


def main() -> None:
    """Make the scenes and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path, help="fieldlines_msl")
    parser.add_argument("--budget", default="15m", help="time for training")
    parser.add_argument("--scenes", type=int, default=900)
    parser.add_argument("--out", type=Path, default=Path("runs/pitch"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true")
    chosen = parser.parse_args()
    try:
        scenes = chosen.out.with_name(f"{chosen.out.name}-scenes")
        data = dataset(chosen.photos, scenes, chosen.scenes)
        config = recipe(parse_duration(chosen.budget), chosen.seed)
        train(
            config, data, chosen.out, licence="Apache-2.0", overwrite=chosen.overwrite,
            progress=Terminal(),
        )  # fmt: skip
    except MaskwrightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
