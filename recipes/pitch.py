"""Pitch lines and ball: a small network for photos of football pitches.

    python recipes/pitch.py ../shared/data/fieldlines_msl --budget 15m --out runs/pitch
    python recipes/pitch.py ../shared/data/fieldlines_msl --out runs/pitch --ship pitch.mask

Scenes of our own generator, and the photos of fieldlines_msl (Apache-2.0; RoboCup Middle Size
League; its line labels come from a rule, not from people). Its boxes of balls become discs. Robots
and posts are background.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.core import Classes, Dataset, Instance, Resize, Sample, Segmentation
from maskwright.core.errors import MaskwrightError
from maskwright.core.files import write_json
from maskwright.data import Augmentation
from maskwright.export import answer_agreement, export, store_half
from maskwright.formats import read
from maskwright.jobs import answers_of, score, synthesize, tasks_of
from maskwright.runtimes import Bundle, load, open_bundle, read_bundle, write_bundle
from maskwright.synthesis import PITCH_CLASSES, pitch_scene
from maskwright.training import Terminal, TrainConfig, environment, parse_duration, train

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


def ship(run: Path, data: Dataset, path: Path) -> dict[str, object]:
    """Export the run with its weights stored in half precision, and score what ships on test.

    Args:
        run: the run's folder.
        data: photos; test is another event than train and val.
        path: of the bundle.

    Returns:
        What `benchmarks/results/pitch.json` holds.
    """
    network, card = load_checkpoint(run / "best.safetensors")
    # Photos come upright and lying: padding keeps their shape.
    card = replace(
        card,
        name="pitch",
        resize=Resize(size=card.resize.size, mode="letterbox"),
        measured={},  # what training measured was stretched
        training={
            **card.training,
            "recipe": "recipes/pitch.py",
            "data": "generated scenes and fieldlines_msl (Apache-2.0)",
            "first_weights": "EfficientNet-Lite0, ImageNet (Apache-2.0)",
        },
    )
    images = [sample.read_image() for sample in data.splits["val"]]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.mask"
        export(network, card, whole, images)
        bundle = read_bundle(whole)
        expected = [load(whole, runtime="onnxruntime").predict(image) for image in images]
        half = Bundle(card=bundle.card, graph=store_half(bundle.graph), source=str(path))
        predictor = open_bundle(half, runtime="onnxruntime")
    agreement = [answer_agreement(a, predictor.predict(b)) for a, b in zip(expected, images)]
    find, tasks = answers_of(predictor), tasks_of(predictor.card.tasks)
    scores = score(data.splits["test"], find, CLASSES, tasks=tasks, detail=False).to_dict()
    areas = scores["maps"]["areas"]
    measured = {
        **bundle.card.measured,
        "half_precision_weights": {"agreement_with_fp32": float(np.mean(agreement))},
        "test": {
            "data": "fieldlines_msl test",
            "miou": areas["miou"],
            "classes": areas["classes"],
        },
    }
    size = write_bundle(path, replace(bundle.card, measured=measured), half.graph)
    return {**environment(), "bytes": size, "measured": measured}


def main() -> None:
    """Make the scenes, train, and ship where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path, help="fieldlines_msl")
    parser.add_argument("--budget", default="15m", help="time for training")
    parser.add_argument("--scenes", type=int, default=900)
    parser.add_argument("--out", type=Path, default=Path("runs/pitch"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--ship", type=Path, help="export the run that lies in --out to this file")
    parser.add_argument("--record", type=Path, help="with --ship: write the figures as JSON")
    chosen = parser.parse_args()
    try:
        scenes = chosen.out.with_name(f"{chosen.out.name}-scenes")
        data = dataset(chosen.photos, scenes, chosen.scenes)
        if chosen.ship is not None:
            figures = ship(chosen.out, data, chosen.ship)
            if chosen.record is not None:
                write_json(chosen.record, figures)
            return
        config = recipe(parse_duration(chosen.budget), chosen.seed)
        train(
            config, data, chosen.out, licence="Apache-2.0", overwrite=chosen.overwrite,
            progress=Terminal(),
        )  # fmt: skip
    except MaskwrightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
