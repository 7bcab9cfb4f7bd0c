"""CamVid: 367 street photos of 480x360, 11 classes, a U-Net on EfficientNet-Lite0.

    python recipes/camvid.py ../shared/data/camvid --budget 30m --out runs/camvid

CamVid is for research use: weights trained on it are not published.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maskwright.core.errors import MaskwrightError
from maskwright.core.files import write_json
from maskwright.data import Augmentation
from maskwright.formats import read
from maskwright.training import Terminal, TrainConfig, TrainResult, parse_duration, train
from maskwright.training.run_folder import environment


def recipe(seconds: float = 1800.0, seed: int = 0) -> TrainConfig:
    """The whole configuration.

    Rare classes (poles, signs, bicyclists) weigh more in the cross entropy, by the root of the
    median-frequency weights, and Dice counts every class alike. The decoder ends at stride 2,
    because poles and signs are a few pixels wide.
    """
    return TrainConfig(
        architecture="unet-lite0",
        options={"pretrained": True},
        size=(360, 480),
        batch=8,
        budget=seconds,
        lr=1e-3,
        encoder_lr=0.5,
        weight_decay=0.01,
        ema=0.995,
        loss="weighted-ce+dice",
        augmentation=Augmentation(scale=(0.6, 2.0)),
        evaluate_every=8,
        seed=seed,
    )


def record(result: TrainResult) -> dict[str, object]:
    """What `benchmarks/results/camvid.json` holds: the run's command, machine, curve and scores."""
    maps = None if result.scores is None else result.scores.maps
    scored = [row for row in result.history if "miou" in row]
    return {
        **environment(),
        "threads": result.config.threads or environment()["cores"],
        "seconds": round(result.seconds, 1),
        "config": result.config.to_dict(),
        "curve": scored,
        "validation": None if maps is None else maps.areas.to_dict(),
    }


def main() -> None:
    """Train, and write the record where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="CamVid: train/ and val/ with images/ and masks/")
    parser.add_argument("--budget", default="30m", help="time for everything")
    parser.add_argument("--out", type=Path, default=Path("runs/camvid"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--record", type=Path, help="write command, machine, curve, scores as JSON")
    chosen = parser.parse_args()
    try:
        dataset = read(chosen.data, ignore=("Unlabelled",))
        config = recipe(parse_duration(chosen.budget), chosen.seed)
        result = train(
            config, dataset, chosen.out, overwrite=chosen.overwrite, progress=Terminal(),
            licence="research use only (CamVid)",
        )  # fmt: skip
        if chosen.record is not None:
            write_json(chosen.record, record(result))
    except MaskwrightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
