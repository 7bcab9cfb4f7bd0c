"""Made-up detections, many of them and quickly: what AP is measured on.

Wobbly outlines in images of 480 x 640, of all of COCO's sizes and with about as many runs a mask as
COCO's have; few classes are common, most rare; some truth is crowd. Of the detections three in five
are a true object somewhat moved and stretched (one in ten of those under another class), the others
are anywhere. Scores have three digits, so many are equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from maskwright.core import Classes, Instance, Mask, Segmentation

SIZE = (480, 640)
CLASSES = 80
OBJECTS = (6, 7, 7, 7, 7, 7, 7, 7, 7, 7)
"""Objects of an image, by its number modulo ten: 6,900 in 1,000 images."""
DETECTIONS = 100


def make_detections(images: int, seed: int = 0) -> tuple[list[Segmentation], list[Segmentation]]:
    """Truth and predictions of some images, the same for the same seed."""
    rng = np.random.default_rng(seed)
    classes = Classes.of([f"class {k}" for k in range(CLASSES)])
    truths: list[Segmentation] = []
    predictions: list[Segmentation] = []
    for number in range(images):
        shapes = [_shape(rng) for _ in range(OBJECTS[number % len(OBJECTS)])]
        truth = [_instance(_outline(rng, shape), shape) for shape in shapes]
        found = list(_found(rng, shapes))
        for instances, contents in ((truth, truths), (found, predictions)):
            contents.append(Segmentation(size=SIZE, classes=classes, instances=tuple(instances)))
    return truths, predictions


def coco_files(
    truths: list[Segmentation], predictions: list[Segmentation]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same as the contents of COCO files: annotations, and results with boxes and masks."""
    data: dict[str, Any] = {
        "info": {},
        "images": [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in range(len(truths))],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(CLASSES)],
        "annotations": [],
    }
    results = []
    for number, (truth, prediction) in enumerate(zip(truths, predictions)):
        for one in truth.instances or ():
            told = {"id": len(data["annotations"]) + 1, "iscrowd": int(one.crowd)}
            area = 0 if one.mask is None else one.mask.area
            data["annotations"].append(_entry(one, number) | told | {"area": area})
        for one in prediction.instances or ():
            results.append(_entry(one, number) | {"score": one.score})
    return data, results


def _entry(one: Instance, image: int) -> dict[str, Any]:
    left, top, right, bottom = one.box_xyxy
    return {
        "image_id": image,
        "category_id": one.class_id,
        "bbox": [left, top, right - left, bottom - top],
        "segmentation": None if one.mask is None else one.mask.to_coco(),
    }


def _shape(rng: np.random.Generator) -> dict[str, Any]:
    commonness = 1 / np.arange(1, CLASSES + 1)
    radius = min(float(np.exp(rng.normal(3.4, 0.9))), 200.0)
    return {
        "centre": rng.uniform(0, (SIZE[1], SIZE[0])),
        "radii": np.array([radius, min(radius * rng.uniform(0.6, 1.6), 200.0)]),
        "phases": rng.uniform(0, 6, 2),
        "class_id": int(rng.choice(CLASSES, p=commonness / commonness.sum())),
        "crowd": bool(rng.random() < 0.01),
    }


def _found(rng: np.random.Generator, shapes: list[dict[str, Any]]) -> Iterator[Instance]:
    for number in range(DETECTIONS):
        shape = _shape(rng)
        if number < 3 * DETECTIONS // 5:
            wrong, other = rng.random() < 0.1, shape["class_id"]
            shape = dict(shapes[number % len(shapes)])
            shape["centre"] = shape["centre"] + rng.normal(0, 0.12, 2) * shape["radii"]
            shape["radii"] = shape["radii"] * np.exp(rng.normal(0, 0.12, 2))
            shape["class_id"] = other if wrong else shape["class_id"]
        score = round(float(rng.random()), 3)
        yield _instance(_outline(rng, shape), shape | {"crowd": False}, score)


def _outline(rng: np.random.Generator, shape: dict[str, Any]) -> np.ndarray:
    """int32 [24, 2], x and y inside the image."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    first, second = shape["phases"]
    reach = 1 + 0.25 * np.sin(3 * angle + first) + 0.15 * np.sin(5 * angle + second)
    reach = reach + rng.normal(0, 0.04, 24)
    points = shape["centre"] + shape["radii"] * np.stack(
        [reach * np.cos(angle), reach * np.sin(angle)], axis=1
    )
    return np.clip(np.round(points), 0, (SIZE[1] - 1, SIZE[0] - 1)).astype(np.int32)


def _instance(outline: np.ndarray, shape: dict[str, Any], score: float | None = None) -> Instance:
    mask = _filled(outline)
    return Instance(
        class_id=shape["class_id"],
        box_xyxy=mask.box_xyxy,
        mask=mask,
        score=score,
        crowd=shape["crowd"],
    )


def _filled(outline: np.ndarray) -> Mask:
    # Drawn in a window one pixel larger than the outline, turned so that columns are contiguous;
    # no run then reaches around a column's end, and the window's runs are moved to the image's.
    left, top = outline.min(axis=0)
    width, height = outline.max(axis=0) - (left, top) + 1
    window = np.zeros((width, height + 2), np.uint8)
    cv2.fillPoly(window, [outline[:, ::-1] - (top - 1, left)], 1)
    flat = window.reshape(-1)
    toggles = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    column, row = np.divmod(toggles, height + 2)
    starts_and_ends = (column + left) * SIZE[0] + row - 1 + top
    runs = np.diff(starts_and_ends, prepend=0, append=SIZE[0] * SIZE[1])
    return Mask.from_runs(runs, SIZE)  # it takes out the runs of 0 between full columns
