"""How fast sets are converted beside their peers: `python -m benchmarks conversion`.

Made-up COCO sets of small images to YOLO and back: ours (`maskwright.convert`), supervision's
`DetectionDataset`, and the loops that people write with pycocotools and OpenCV, in alternating
turns on one core. Every contender reads the same files and writes a folder of its own, images
copied; what it read back is told as a number of objects and as their mean IoU with the first
masks, since peers draw outlines that lose holes and parts. Needs the `dev` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import maskwright.api as api
from maskwright.core import Mask
from maskwright.core.errors import ConfigError
from maskwright.core.image import read_image
from maskwright.core.mask_lists import boxes_of, masks_to_coco
from maskwright.formats import read

SIDE = 96
CLASSES = ("ant", "bee", "cat")


def make_set(root: Path, images: int, objects: int, seed: int = 0) -> None:
    """A COCO set of small images, objects spread evenly over them; every eighth has a hole."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    grey = np.full((SIDE, SIDE, 3), 120, np.uint8)
    jpeg = cv2.imencode(".jpg", grey)[1].tobytes()
    annotations: list[dict[str, Any]] = []
    named = []
    for number in range(images):
        name = f"{number:06}.jpg"
        (root / "images" / name).write_bytes(jpeg)
        named.append({"id": number + 1, "file_name": name, "height": SIDE, "width": SIDE})
        count = objects * (number + 1) // images - objects * number // images
        masks = [_blob(rng, hole=rng.random() < 1 / 8) for _ in range(count)]
        boxes = boxes_of(masks).tolist()
        for mask, box, coded in zip(masks, boxes, masks_to_coco(masks)):
            left, top, right, bottom = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": int(rng.integers(len(CLASSES))) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": mask.area,
                    "iscrowd": 0,
                    "segmentation": coded,
                }
            )
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    document = {"images": named, "annotations": annotations, "categories": categories}
    (root / "instances.json").write_text(json.dumps(document))


def _blob(rng: np.random.Generator, hole: bool) -> Mask:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    x, y = (int(place) for place in rng.integers(12, SIDE - 12, 2))
    first, second = (int(radius) for radius in rng.integers(6, 30, 2))
    cv2.ellipse(canvas, (x, y), (first, second), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    if hole:
        cv2.circle(canvas, (x, y), 3, 0, -1)
    return Mask.encode(canvas)


def ours_to_yolo(source: Path, out: Path) -> None:
    """`maskwright.convert`, in this process."""
    api.convert(source, out, to="yolo_seg", workers=1)


def ours_to_coco(source: Path, out: Path) -> None:
    """`maskwright.convert`, in this process."""
    api.convert(source, out, to="coco", workers=1)


def supervision_to_yolo(source: Path, out: Path) -> None:
    """`DetectionDataset.from_coco`, then `as_yolo`."""
    from supervision import DetectionDataset

    found = DetectionDataset.from_coco(
        str(source / "images"), str(source / "instances.json"), force_masks=True
    )
    found.as_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))


def supervision_to_coco(source: Path, out: Path) -> None:
    """`DetectionDataset.from_yolo`, then `as_coco`."""
    from supervision import DetectionDataset

    found = DetectionDataset.from_yolo(
        str(source / "images"), str(source / "labels"), str(source / "data.yaml"), force_masks=True
    )
    found.as_coco(str(out / "images"), str(out / "instances.json"))


def loops_to_yolo(source: Path, out: Path) -> None:
    """pycocotools' `annToMask`, OpenCV's outer contours, the longest one a row."""
    from pycocotools.coco import COCO

    truth = COCO(str(source / "instances.json"))
    (out / "labels").mkdir(parents=True)
    shutil.copytree(source / "images", out / "images")
    for image in truth.loadImgs(truth.getImgIds()):
        rows = []
        for entry in truth.loadAnns(truth.getAnnIds(image["id"])):
            mask = truth.annToMask(entry)
            loops, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            loop = max(loops, key=len).reshape(-1, 2) / (image["width"], image["height"])
            if len(loop) > 2:
                told = " ".join(f"{share:.6f}" for share in loop.ravel())
                rows.append(f"{entry['category_id'] - 1} {told}\n")
        name = Path(image["file_name"]).stem
        (out / "labels" / f"{name}.txt").write_text("".join(rows))
    (out / "data.yaml").write_text(json.dumps({"names": CLASSES, "nc": len(CLASSES)}))


def loops_to_coco(source: Path, out: Path) -> None:
    """OpenCV's `fillPoly`, pycocotools' `encode`, `toBbox` and `area`, row by row."""
    from pycocotools import mask as coco

    shutil.copytree(source / "images", out / "images")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for path in sorted((source / "images").iterdir()):
        height, width = read_image(path).shape[:2]
        images.append(
            {"id": len(images) + 1, "file_name": path.name, "height": height, "width": width}
        )
        label = source / "labels" / f"{path.stem}.txt"
        for row in label.read_text().splitlines():
            class_id, *numbers = row.split()
            corners = np.array(numbers, float).reshape(-1, 2) * (width, height)
            canvas = np.zeros((height, width), np.uint8)
            cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
            coded = coco.encode(np.asfortranarray(canvas))
            box, area = coco.toBbox(coded).tolist(), int(coco.area(coded))
            coded["counts"] = coded["counts"].decode()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": int(class_id) + 1,
                    "bbox": box,
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": coded,
                }
            )
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (out / "instances.json").write_text(json.dumps(document))


Step = Callable[[Path, Path], None]

CONTENDERS: dict[str, tuple[Step, Step]] = {
    "maskwright": (ours_to_yolo, ours_to_coco),
    "supervision": (supervision_to_yolo, supervision_to_coco),
    "pycocotools loops": (loops_to_yolo, loops_to_coco),
}


def read_back(first: Path, last: Path) -> tuple[int, float]:
    """Objects that came back, and the mean over all first ones of the best IoU in their image."""
    truth, found = read(first), read(last)
    answers = {sample.name: sample for sample in found.split("all")}
    ious, count = [], 0
    for sample in truth.split("all"):
        there = answers[sample.name].read_truth().instances or ()
        count += len(there)
        for one in sample.read_truth().instances or ():
            ious.append(
                max(
                    (one.mask.iou(other.mask) for other in there if one.mask and other.mask),
                    default=0.0,
                )
            )
    return count, float(np.mean(ious))


def measure_conversion(images: int, objects: int, rounds: int) -> list[dict[str, Any]]:
    """Convert there and back, all contenders in turns.

    Args:
        images: how many are made.
        objects: in all of them.
        rounds: turns of each contender.

    Returns:
        A row for each contender: "contender", "to_yolo_s" and "to_coco_s" (medians),
        "to_yolo_seconds" and "to_coco_seconds", "objects" that came back and their "mean_iou".

    Raises:
        ConfigError: no round.
    """
    if rounds < 1:
        raise ConfigError(f"expected one round or more, got {rounds}.")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    kept: dict[str, tuple[int, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        make_set(source, images, objects)
        for turn in range(rounds):
            for name, (to_yolo, to_coco) in CONTENDERS.items():
                there, back = Path(folder) / "there", Path(folder) / "back"
                start = time.perf_counter()
                to_yolo(source, there)
                middle = time.perf_counter()
                to_coco(there, back)
                times[name].append((middle - start, time.perf_counter() - middle))
                print(f"{name:18} {times[name][-1]}", flush=True)
                if not turn:
                    kept[name] = read_back(source, back)
                shutil.rmtree(there)
                shutil.rmtree(back)
    rows = []
    for name, seconds in times.items():
        first, second = (sorted(one[k] for one in seconds) for k in (0, 1))
        rows.append(
            {
                "contender": name,
                "to_yolo_s": round(statistics.median(first), 3),
                "to_coco_s": round(statistics.median(second), 3),
                "to_yolo_seconds": [round(one, 3) for one in first],
                "to_coco_seconds": [round(one, 3) for one in second],
                "objects": kept[name][0],
                "mean_iou": round(kept[name][1], 5),
            }
        )
    return rows


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All contenders on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    rows = measure_conversion(options.images, options.objects, options.rounds)
    peers = {name: version(name) for name in ("supervision", "pycocotools")}
    return {
        "threads": 1,
        "images": options.images,
        "objects": options.objects,
        "peers": peers,
        "rows": rows,
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many images and objects, and how often."""
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=40000)
    parser.add_argument("--rounds", type=int, default=3)
