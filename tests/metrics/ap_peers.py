"""Sets of detections made by a seed, pycocotools as the reference, and plain slow definitions."""

from __future__ import annotations

import contextlib
import io

import numpy as np

from maskwright.core import Classes, Instance, Mask, Segmentation

NAMES = tuple(f"class {i}" for i in range(6))  # the last one never occurs in truth


def disc(rng, size, centre, radius):
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    wobble = 1 + 0.3 * np.sin(3 * np.arctan2(y - centre[0], x - centre[1]) + rng.uniform(0, 6))
    return np.hypot((y - centre[0]) / radius[0], (x - centre[1]) / radius[1]) < wobble


def instance(pixels, class_id, score=None, crowd=False):
    mask = pixels if isinstance(pixels, Mask) else Mask.encode(pixels)
    return Instance(class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask, score=score, crowd=crowd)


def perturbed(rng, truth, size, known=NAMES):
    """Detections of one image: shifted, doubled, tied, of wrong classes, empty and invented."""
    found = []
    for one in truth:
        for _ in range(rng.integers(0, 5)):
            moved = one.mask.shift(*(int(v) for v in rng.integers(-3, 4, 2)))
            if rng.random() < 0.3:
                moved = one.mask
            wrong = rng.random() < 0.1
            class_id = int(rng.integers(len(known))) if wrong else one.class_id
            found.append(instance(moved, class_id, float(rng.integers(1, 12)) / 12))
    for _ in range(rng.integers(0, 4)):
        centre, radius = rng.uniform(0, size), rng.uniform(1, 14, 2)
        found.append(
            instance(disc(rng, size, centre, radius), int(rng.integers(len(known))), rng.random())
        )
    if rng.random() < 0.2:
        found.append(instance(np.zeros(size, bool), 0, 0.5))
    order = rng.permutation(len(found))
    return [found[i] for i in order]


def generated(seed, images=24, size=(150, 170), crowds=0.15):
    """Truth and predictions: images without truth, without predictions, crowds, all three sizes."""
    rng = np.random.default_rng(seed)
    classes = Classes.of(NAMES)
    truths, predictions = [], []
    for number in range(images):
        truth = []
        for _ in range(0 if number % 7 == 3 else rng.integers(1, 8)):
            centre = rng.uniform(0, size)
            radius = np.exp(rng.uniform(0.7, 4.2)) * rng.uniform(0.7, 1.4, 2)
            pixels = disc(rng, size, centre, radius)
            if pixels.any():
                class_id = int(rng.integers(len(NAMES) - 1))
                truth.append(instance(pixels, class_id, crowd=bool(rng.random() < crowds)))
        found = [] if number % 11 == 5 else perturbed(rng, truth, size)
        truths.append(Segmentation(size=size, classes=classes, instances=tuple(truth)))
        predictions.append(Segmentation(size=size, classes=classes, instances=tuple(found)))
    return truths, predictions


def as_coco(truths, predictions, ids=None, areas=None):
    """The dictionaries that COCO tools read, with gaps among the ids."""
    ids = [10 + 7 * i for i in range(len(truths))] if ids is None else ids
    names = truths[0].classes.names
    data = {
        "info": {},
        "images": [
            {"id": i, "height": t.size[0], "width": t.size[1], "file_name": f"{i}.jpg"}
            for i, t in zip(ids, truths)
        ],
        "categories": [{"id": 3 * k + 1, "name": name} for k, name in enumerate(names)],
        "annotations": [],
    }
    results = []
    for at, (i, truth, prediction) in enumerate(zip(ids, truths, predictions)):
        for n, one in enumerate(truth.instances):
            area = one.mask.area if areas is None else areas[at][n]
            data["annotations"].append(
                entry(one, i)
                | {"id": 5 + 2 * len(data["annotations"]), "iscrowd": int(one.crowd), "area": area}
            )
        results += [entry(one, i) | {"score": one.score} for one in prediction.instances]
    return data, results


def entry(one, image):
    left, top, right, bottom = one.box_xyxy
    return {
        "image_id": image,
        "category_id": 3 * one.class_id + 1,
        "bbox": [left, top, right - left, bottom - top],
        "segmentation": one.mask.to_coco(),
    }


def pycocotools_eval(data, results, kind, max_detections=(1, 10, 100)):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = data
        truth.createIndex()
        if kind == "segm":  # pycocotools would take the area of the box for that of the mask
            results = [{k: v for k, v in one.items() if k != "bbox"} for one in results]
        found = truth.loadRes([dict(one) for one in results])
        run = COCOeval(truth, found, kind)
        run.params.maxDets = list(max_detections)
        run.evaluate()
        run.accumulate()
        run.summarize() if max_detections[-1] == 100 else None
    return run


def pixels_of(one):
    return one.mask.decode()


def plain_iou(a, b, kind):
    if kind == "boxes":
        width = min(a.box_xyxy[2], b.box_xyxy[2]) - max(a.box_xyxy[0], b.box_xyxy[0])
        height = min(a.box_xyxy[3], b.box_xyxy[3]) - max(a.box_xyxy[1], b.box_xyxy[1])
        common = width * height if width > 0 and height > 0 else 0
        areas = [
            (one.box_xyxy[2] - one.box_xyxy[0]) * (one.box_xyxy[3] - one.box_xyxy[1])
            for one in (a, b)
        ]
        return common / (sum(areas) - common) if common else 0.0
    first, second = pixels_of(a), pixels_of(b)
    return (first & second).sum() / max((first | second).sum(), 1)


def plain_voc(truths, predictions, class_id, points11, kind, threshold=0.5):
    """The development kit's definition, a loop a step; "difficult" is `crowd`."""
    found = [
        (one, image)
        for image, prediction in enumerate(predictions)
        for one in prediction.instances
        if one.class_id == class_id
    ]
    found.sort(key=lambda pair: (-pair[0].score, pair[1]))  # stable
    there = [[one for one in t.instances if one.class_id == class_id] for t in truths]
    used = [[False] * len(of_image) for of_image in there]
    positives = sum(not one.crowd for of_image in there for one in of_image)
    if not positives:
        return float("nan")
    hits, misses, precision, recall = 0, 0, [], []
    for one, image in found:
        best, at = -1.0, None
        for n, truth in enumerate(there[image]):
            overlap = plain_iou(one, truth, kind)
            if overlap > best:
                best, at = overlap, n
        if best >= threshold:
            if not there[image][at].crowd:
                hits, misses = (hits, misses + 1) if used[image][at] else (hits + 1, misses)
                used[image][at] = True
        else:
            misses += 1
        precision.append(hits / (hits + misses) if hits + misses else 0.0)
        recall.append(hits / positives)
    if points11:
        levels = np.arange(0.0, 1.1, 0.1)
        return sum(max([p for p, r in zip(precision, recall) if r >= v] + [0]) for v in levels) / 11
    area, before = 0.0, 0.0
    for n, r in enumerate(recall):
        area += (r - before) * max(precision[n:])
        before = r
    return area


def plain_cityscapes(truths, predictions, voids, class_id, threshold, smallest=100):
    """The instance-level benchmark's definition; groups are `crowd`."""
    true_score, hard_misses, have_truth, have_found = [], 0, False, False
    for truth, prediction, void in zip(truths, predictions, voids):
        there = [one for one in truth.instances if one.class_id == class_id]
        valid = [not one.crowd and one.mask.area >= smallest for one in there]
        found = [one for one in prediction.instances if one.class_id == class_id and one.mask.area]
        have_truth |= any(valid)
        have_found |= bool(found)
        overlap = [[plain_iou(d, g, "masks") for g in there] for d in found]
        for n in range(len(there)):
            if valid[n]:
                scores = sorted(d.score for d, row in zip(found, overlap) if row[n] > threshold)
                hard_misses += not scores
                if scores:
                    true_score.append((1, scores[-1]))
                    true_score += [(0, score) for score in scores[:-1]]
        for d, row in zip(found, overlap):
            if any(value > threshold for value in row):
                continue
            lost = (pixels_of(d) & void).sum()
            for g in there:
                shared = (pixels_of(d) & pixels_of(g)).sum()
                lost += shared * int(g.crowd) + shared * int(g.mask.area < smallest)
            if lost / d.mask.area <= threshold:
                true_score.append((0, d.score))
    if not have_truth:
        return float("nan")
    if not true_score:
        return 0.0
    precision, recall = [], []
    for score in sorted({s for _, s in true_score}):
        hits = sum(t for t, s in true_score if s >= score)
        misses = sum(1 - t for t, s in true_score if s >= score)
        lost = sum(t for t, s in true_score if s < score) + hard_misses
        precision.append(hits / (hits + misses))
        recall.append(hits / (hits + lost) if hits + lost else 0.0)
    precision.append(1.0)
    recall.append(0.0)
    padded = [recall[0], *recall, 0.0]
    widths = [(padded[i] - padded[i + 2]) / 2 for i in range(len(recall))]
    return sum(p * w for p, w in zip(precision, widths))


def plain_ultralytics(truths, predictions, class_id, threshold, kind, version="8.4"):
    """The tool's matching and area, told by its answers: see `benchmarks/ultralytics_scores.py`.

    8.3: best truth of each detection, surest detection of each truth. 8.4: from the surest on, each
    detection takes the best truth that is left.
    """
    flagged, positives = [], 0
    for image, (truth, prediction) in enumerate(zip(truths, predictions)):
        there = [o for o in truth.instances if o.class_id == class_id and not o.crowd]
        positives += len(there)
        ranked = sorted(prediction.instances, key=lambda one: -one.score)[:300]
        found = [one for one in ranked if one.class_id == class_id]
        used = set()
        for one in found:
            rows = [(plain_iou(one, g, kind), -n) for n, g in enumerate(there)]
            if version == "8.4":
                rows = [row for row in rows if -row[1] not in used]
            iou, n = max(rows, default=(0.0, 0))
            right = iou >= threshold and -n not in used
            used |= {-n} if right else set()
            flagged.append((-one.score, image, right))
    if not positives:
        return float("nan")
    flagged.sort(key=lambda row: row[:2])
    if not flagged:
        return 0.0
    hits = np.cumsum([right for _, _, right in flagged])
    found = hits / (positives + 1e-16)
    end = [found[-1], 1.0] if version == "8.4" else [1.0]
    recall = np.concatenate(([0.0], found, end))
    precision = np.concatenate(([1.0], hits / np.arange(1, len(hits) + 1), [0.0] * len(end)))
    envelope = np.array([precision[i:].max() for i in range(len(precision))])
    x = np.linspace(0, 1, 101)
    y = np.interp(x, recall, envelope)
    return float(sum((y[i] + y[i + 1]) / 2 * (x[i + 1] - x[i]) for i in range(100)))
