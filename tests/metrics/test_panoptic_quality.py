"""Panoptic quality against a slow transcription of its definition (Kirillov et al. 2019)."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared_path

from maskwright.core import Panoptic
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.image import read_image
from maskwright.metrics import PanopticQuality, panoptic_quality
from maskwright.metrics.panoptic import _stretches

NAMES = ("road", "sky", "car", "person")


def plain_quality(truths, predictions, classes):
    """Sections 4.1 and 4.2 over sets of pixels: (PQ, SQ, RQ) of each class."""
    total = np.zeros((classes, 4))  # IoU, TP, FP, FN
    for truth, prediction in zip(truths, predictions):
        void = truth.segment_ids == 0
        there = {
            i: (truth.segment_ids == i, truth.class_of[i])
            for i in sorted({*truth.segment_ids.ravel().tolist()} - {0})
        }
        found = {
            i: (prediction.segment_ids == i, prediction.class_of[i])
            for i in sorted({*prediction.segment_ids.ravel().tolist()} - {0})
        }
        matched_truth, matched_found = set(), set()
        for g, (true_pixels, true_class) in there.items():
            for p, (pixels, class_id) in found.items():
                if true_class != class_id or g in truth.crowds:
                    continue
                counted = pixels & ~void  # "all void pixels are removed from the prediction"
                iou = (true_pixels & counted).sum() / (true_pixels | counted).sum()
                if iou > 0.5:
                    total[class_id] += (iou, 1, 0, 0)
                    matched_truth.add(g)
                    matched_found.add(p)
        for g, (_, class_id) in there.items():
            if g not in matched_truth and g not in truth.crowds:
                total[class_id, 3] += 1
        for p, (pixels, class_id) in found.items():
            forgiven = void.copy()
            for g in truth.crowds:
                if g in there and there[g][1] == class_id:
                    forgiven |= there[g][0]
            if p not in matched_found and (pixels & forgiven).sum() / pixels.sum() <= 0.5:
                total[class_id, 2] += 1
    rows = []
    for iou, hits, wrong, missed in total:
        weight = hits + wrong / 2 + missed / 2
        if not weight:
            rows.append((math.nan,) * 3)
        else:
            sq = iou / hits if hits else 0.0
            rows.append((sq * hits / weight, sq, hits / weight))
    return rows


def random_pair(rng, classes=4, size=(12, 14)):
    """A truth of rectangles with void and crowds, and a prediction that resembles it."""
    ids = np.zeros(size, np.int32)
    numbers = rng.permutation(50)[:7] + 1
    for number in numbers:
        top, left = rng.integers(0, size)
        ids[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = number
    class_of = {int(n): int(rng.integers(classes)) for n in numbers}
    crowds = frozenset(int(n) for n in numbers if rng.random() < 0.25)
    truth = Panoptic(segment_ids=ids, class_of=class_of, crowds=crowds)
    moved = np.roll(ids, rng.integers(-1, 2, 2), axis=(0, 1))
    moved[rng.random(size) < 0.05] = 0
    top, left = rng.integers(0, size)
    moved[top : top + 4, left : left + 4] = 99
    found = {
        n: c if rng.random() < 0.9 else int(rng.integers(classes)) for n, c in class_of.items()
    }
    return truth, Panoptic(segment_ids=moved, class_of=found | {99: int(rng.integers(classes))})


def assert_equals_plain(truths, predictions, names):
    scores = panoptic_quality(truths, predictions, names)
    plain = np.array(plain_quality(truths, predictions, len(names)))
    np.testing.assert_allclose(np.array([scores.pq, scores.sq, scores.rq]).T, plain, rtol=1e-12)
    return scores


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_quality_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng) for _ in range(3)]
    assert_equals_plain(*zip(*pairs), NAMES)


def test_coco_mini_equals_the_definition():
    folder = shared_path("data/coco_mini") / "val"
    file = json.loads((folder / "panoptic.json").read_text(encoding="utf-8"))
    place = {entry["id"]: k for k, entry in enumerate(file["categories"])}
    rng = np.random.default_rng(0)
    truths, predictions = [], []
    for annotation in file["annotations"][:8]:
        picture = read_image(folder / "panoptic" / annotation["file_name"]).astype(np.int32)
        ids = picture[..., 0] + 256 * picture[..., 1] + 65536 * picture[..., 2]
        class_of = {s["id"]: place[s["category_id"]] for s in annotation["segments_info"]}
        crowds = frozenset(s["id"] for s in annotation["segments_info"] if s["iscrowd"])
        truths.append(Panoptic(segment_ids=ids, class_of=class_of, crowds=crowds))
        moved = np.roll(ids, rng.integers(-6, 7, 2), axis=(0, 1))
        predictions.append(Panoptic(segment_ids=moved, class_of=class_of))
    scores = assert_equals_plain(truths, predictions, [str(k) for k in range(len(place))])
    assert 0.3 < scores.mean() < 0.99


def test_means_are_over_classes_of_the_group_and_plain_json():
    rng = np.random.default_rng(1)
    pairs = [random_pair(rng, classes=3) for _ in range(6)]
    scores = panoptic_quality(*zip(*pairs), NAMES, things=(2, 3))
    assert scores.mean("pq", "things") == scores.pq[2]  # nobody is a person
    assert scores.mean("sq", "stuff") == pytest.approx((scores.sq[0] + scores.sq[1]) / 2)
    assert scores.mean("rq") == pytest.approx(sum(scores.rq[:3]) / 3)
    data = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert data["classes"][3]["pq"] is None
    assert data["classes"][2]["thing"]
    assert data["things"]["pq"] == scores.pq[2]
    with pytest.raises(ConfigError, match="'animals'"):
        scores.mean("pq", "animals")


def test_merging_processes_is_counting_on():
    rng = np.random.default_rng(2)
    pairs = [random_pair(rng) for _ in range(6)]
    one, two = PanopticQuality(NAMES), PanopticQuality(NAMES)
    for n, pair in enumerate(pairs):
        (one, two)[n >= 3].update(*pair)
    one.merge(two)
    scores = one.scores()
    whole = panoptic_quality(*zip(*pairs), NAMES)
    for kind in ("true_positives", "false_positives", "false_negatives"):
        assert getattr(scores, kind) == getattr(whole, kind)
    np.testing.assert_allclose(scores.pq, whole.pq, rtol=1e-14)
    assert scores.images == 6
    with pytest.raises(ConfigError, match="2 classes"):
        one.merge(PanopticQuality(NAMES[:2]))


def test_what_does_not_fit_is_told():
    ids = np.array([[0, 7]], np.int32)
    good = Panoptic(segment_ids=ids, class_of={7: 1})
    counts = PanopticQuality(NAMES)
    with pytest.raises(DataError, match="segment 7 of the truth"):
        counts.update(Panoptic(segment_ids=ids, class_of={}), good)
    with pytest.raises(DataError, match="class 9"):
        counts.update(good, Panoptic(segment_ids=ids, class_of={7: 9}))
    with pytest.raises(DataError, match=r"\(1, 2\) and \(2, 1\)"):
        counts.update(good, Panoptic(segment_ids=ids.T, class_of={7: 1}))
    with pytest.raises(DataError, match="got 1 and 0"):
        panoptic_quality([good], [], NAMES)
    assert counts.images == 0
    counts.update(good, Panoptic(segment_ids=ids, class_of={}))  # no class: void, so a miss
    assert counts.scores().false_negatives == (0, 1, 0, 0)


@given(st.integers(0, 10**6), st.sampled_from([1, 200, 2**24, -(2**31)]))
def test_counting_by_stretches_equals_counting_by_pixels(seed, factor):
    """Many ids, large and negative ones, beside `np.unique` of both ids together."""
    rng = np.random.default_rng(seed)
    truth, prediction = random_pair(rng, size=(5, 7))
    far = Panoptic(
        segment_ids=(prediction.segment_ids.astype(np.int64) * factor),
        class_of={number * factor: k for number, k in prediction.class_of.items()},
    )
    near, other = (panoptic_quality([truth], [one], NAMES) for one in (prediction, far))
    assert json.dumps(near.to_dict()) == json.dumps(other.to_dict())
    pixels = np.stack([truth.segment_ids.ravel(), far.segment_ids.ravel()], axis=1)
    expected = np.unique(pixels, axis=0, return_counts=True)
    starts, lengths = _stretches(truth.segment_ids, far.segment_ids)
    found: dict[tuple[int, ...], int] = {}
    for pair, length in zip(pixels[starts].tolist(), lengths.tolist()):
        found[tuple(pair)] = found.get(tuple(pair), 0) + length
    assert found == dict(zip(map(tuple, expected[0].tolist()), expected[1].tolist()))
