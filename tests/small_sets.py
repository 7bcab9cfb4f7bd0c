"""Labelled sets of a few small pictures, in memory and on disk."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from maskwright.core import Classes, Dataset, Instance, Mask, Sample, Segmentation

CLASSES = Classes.of(["grass", "line", "ball"], [(10, 120, 20), (250, 250, 250), (200, 90, 0)], [2])


def picture(seed: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """uint8 RGB with some texture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def ids(seed: int, size: tuple[int, int] = (24, 32), classes: int = 3) -> np.ndarray:
    """Class ids with some void."""
    drawn = np.random.default_rng(seed).integers(0, classes + 1, size)
    return np.where(drawn == classes, 255, drawn).astype(np.uint8)


def sample(seed: int, name: str | None = None, size: tuple[int, int] = (24, 32)) -> Sample:
    """With a class map and two objects, one of them without a mask."""
    pixels = np.zeros(size, bool)
    pixels[3:9, 4:11] = True
    pixels[5, 6] = False
    instances = (
        Instance(class_id=2, box_xyxy=(4.0, 3.0, 11.0, 9.0), mask=Mask.encode(pixels), crowd=True),
        Instance(class_id=0, box_xyxy=(1.5, 2.25, 20.0, 12.0), track_id=7),
    )
    truth = Segmentation(size=size, classes=CLASSES, semantic=ids(seed, size), instances=instances)
    return Sample(
        name=name or f"scene_{seed}",
        image=picture(seed, size),
        truth_of=truth,
        tasks=frozenset({"semantic", "instances", "boxes"}),
    )


def dataset(**splits: int) -> Dataset:
    """In memory; split name -> number of samples."""
    return Dataset(
        root=Path("memory"),
        format="memory",
        classes=CLASSES,
        splits={
            split: tuple(sample(100 * place + i) for i in range(count))
            for place, (split, count) in enumerate(splits.items())
        },
    )


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    """Write by Pillow, so that what the package writes is not read back by itself alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def mask_folder(root: Path, splits: dict[str, int], classes: object = None) -> Path:
    """root/{split}/images and masks; `classes` becomes classes.json unless None."""
    for place, (split, count) in enumerate(splits.items()):
        for i in range(count):
            seed = 100 * place + i
            save(root / split / "images" / f"im{seed}.png", picture(seed))
            save(root / split / "masks" / f"im{seed}.png", ids(seed))
    if classes is not None:
        (root / "classes.json").write_text(json.dumps(classes))
    return root


def exif(orientation: int) -> Image.Exif:
    """Metadata that tells how the photo is to be turned."""
    tags = Image.Exif()
    tags[274] = orientation
    return tags
