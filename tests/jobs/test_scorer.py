"""The one scorer: its numbers against brute force, parts that merge, arrays that lose nothing."""

from __future__ import annotations

import io
import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sets import CLASSES, ids, picture, sample
from test_score import SIZE, moved, objects

from maskwright.core import (
    Classes,
    ConfigError,
    DataError,
    Label,
    Panoptic,
    Sample,
    Segmentation,
)
from maskwright.jobs import Scorer, Scores, compare, find_by, score
from maskwright.metrics import confusion_matrix, interval, label_average_precision, paired_interval

SEMANTIC = frozenset({"semantic"})
EVERY = frozenset({"semantic", "instances", "boxes", "panoptic", "labels"})


def scene(seed: int, found: bool = False) -> Segmentation:
    """Every task at once; `found`: what a model might see in it."""
    rng = np.random.default_rng(seed + (1000 if found else 0))
    segment_ids = rng.integers(0, 3, (4, 5)).repeat(30, 0).repeat(32, 1).astype(np.int32)
    labels = tuple(
        Label(class_id=k, score=round(float(rng.random()), 1) if found else None)
        for k in range(3)
        if found or rng.random() < 0.6
    )
    true = objects(seed, 4)
    return Segmentation(
        size=SIZE,
        classes=CLASSES,
        semantic=ids(seed + (50 if found else 0), SIZE),
        instances=moved(true, seed) if found else true,
        panoptic=Panoptic(segment_ids=segment_ids, class_of={1: 0, 2: 2}),
        labels=labels,
    )


def scored(places, *, placed=True, tasks=EVERY, **options) -> Scorer:
    scorer = Scorer(CLASSES, tasks, **options)
    for n in places:
        scorer.update(f"im{n}", scene(n), scene(n, True), place=n if placed else None)
    return scorer


@pytest.fixture(scope="module")
def whole() -> Scores:
    return scored(range(6)).scores()


# --- class maps, pixel by pixel -------------------------------------------------------------------


def brute_force(pairs, classes: int) -> tuple[list[float], float, float]:
    """IoU of each class, their mean and the pixel accuracy, from sets of pixels."""
    truth = np.concatenate([true.ravel() for true, _ in pairs])
    guess = np.concatenate([found.ravel() for _, found in pairs])
    guess, truth = guess[truth != 255], truth[truth != 255]
    of_classes = []
    for k in range(classes):
        either = ((truth == k) | (guess == k)).sum()
        both = ((truth == k) & (guess == k)).sum()
        of_classes.append(both / either if either else math.nan)
    return of_classes, float(np.nanmean(of_classes)), float((truth == guess).mean())


def test_class_maps_are_those_of_all_pixels_together():
    sizes = {0: (24, 32), 1: (10, 7), 2: (5, 50)}
    samples = [
        Sample(name=f"{seed}", image=picture(seed, size), tasks=SEMANTIC,
               truth_of=Segmentation(size=size, classes=CLASSES, semantic=ids(seed, size)))
        for seed, size in sizes.items()
    ]  # fmt: skip
    answers = {size: ids(seed + 50, size) for seed, size in sizes.items()}

    def predict(image):
        size = image.shape[:2]
        return Segmentation(size=size, classes=CLASSES, semantic=answers[size])

    told = []
    found = score(samples, find_by(predict), CLASSES, tasks=SEMANTIC, detail=False,
                  progress=lambda *step: told.append(step))  # fmt: skip
    pairs = [(ids(seed, size), answers[size]) for seed, size in sizes.items()]
    of_classes, miou, accuracy = brute_force(pairs, 3)
    assert list(found.maps.areas.iou) == of_classes
    assert found.headline().name == "mIoU"
    assert found.headline().value == found.row()["miou"] == pytest.approx(miou, abs=1e-15)
    assert found.row()["pixel_accuracy"] == accuracy
    assert found.names == ("0", "1", "2")
    assert told == [(1, 3), (2, 3), (3, 3)]
    rows = found.to_dict()["maps"]["images"]
    for row, pair in zip(rows, pairs):
        own = brute_force([pair], 3)
        assert (row["miou"], row["pixel_accuracy"]) == pytest.approx(own[1:], abs=1e-15)


def test_background_alone_is_the_score_of_one_class_everywhere():
    answers = [scene(n) for n in range(3)]
    scorer = Scorer(CLASSES, SEMANTIC, detail=False)
    for n, truth in enumerate(answers):
        scorer.update(f"{n}", truth, truth, tasks=SEMANTIC)
    name, value = scorer.scores().maps.background()
    everywhere = np.full(SIZE, CLASSES.index(name), np.uint8)
    pairs = [(truth.semantic, everywhere) for truth in answers]
    assert value == pytest.approx(brute_force(pairs, 3)[1])
    others = [
        brute_force([(t.semantic, np.full(SIZE, k, np.uint8)) for t in answers], 3)[2]
        for k in range(3)
    ]
    assert max(others) == pytest.approx(brute_force(pairs, 3)[2])


def test_less_detail_changes_no_number(whole):
    cheap = scored(range(6), detail=False).scores()
    assert cheap.numbers().items() < whole.numbers().items()
    assert set(cheap.numbers()) == {"mIoU", "FwIoU", "pixel accuracy", "AP masks", "PQ", "SQ", "RQ",
                                    "mAP", "label F1"}  # fmt: skip
    assert cheap.row() == whole.row()
    assert cheap.headline_interval() == whole.headline_interval()
    assert "boundary_iou" not in cheap.to_dict()["maps"]


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [[[0, 2, 4], [1, 3, 5]], [[5], [3, 0, 4], [], [2, 1]]])
def test_parts_of_several_processes_come_to_the_whole(whole, parts):
    merged, *others = [pickle.loads(pickle.dumps(scored(part))) for part in parts]
    for other in others:
        merged.merge(other)
    found = merged.scores()
    assert found.names == whole.names == tuple(f"im{n}" for n in range(6))
    assert json.dumps(found.to_dict()) == json.dumps(whole.to_dict())
    assert found.intervals() == whole.intervals()
    for name, array in whole.maps.arrays().items():
        np.testing.assert_array_equal(found.maps.arrays()[name], array)


def test_parts_without_places_are_counted_on(whole):
    merged, other = scored([0, 1, 2], placed=False), scored([3, 4, 5], placed=False)
    merged.merge(other)
    assert merged.scores().to_dict() == whole.to_dict()


def test_images_that_are_scored_twice_are_refused():
    one = scored([0, 1], tasks=SEMANTIC)
    with pytest.raises(ConfigError, match=r"place 1 is in both parts \(im1\)"):
        one.merge(scored([1], tasks=SEMANTIC))
    with pytest.raises(ConfigError, match="im1 in place 1 of im1"):
        one.update("im1", scene(1), scene(1, True), place=1)
    with pytest.raises(ConfigError, match="for every image or for none"):
        one.update("im9", scene(1), scene(1, True))
    with pytest.raises(ConfigError, match="the same tasks"):
        one.merge(scored([4], tasks=frozenset({"labels"})))


def test_arrays_bring_all_of_it_back(whole):
    written = io.BytesIO()
    np.savez(written, **whole.arrays())
    written.seek(0)
    arrays = dict(np.load(written, allow_pickle=False))
    assert all(array.dtype.kind in "iufb" for array in arrays.values())
    again = Scores.from_arrays(arrays, CLASSES)
    assert again.to_dict() == whole.to_dict()
    assert (again.names, again.headline()) == (whole.names, whole.headline())
    assert again.headline_interval() == whole.headline_interval()
    gains = compare(again, whole)
    assert set(gains) == set(compare(whole, whole))
    assert all(gain.value == gain.low == gain.high == 0 for gain in gains.values())
    marked = replace(whole, wanted="PQ", skipped=3, bad=(("x", "why"),))
    kept = Scores.from_arrays(marked.arrays(), CLASSES)
    assert (kept.wanted, kept.skipped, kept.bad) == ("PQ", 3, (("x", "why"),))


# --- the headline ---------------------------------------------------------------------------------


def test_several_tasks_have_one_headline_their_mean(whole):
    numbers = whole.numbers()
    parts = [numbers[name] for name in ("mIoU", "AP masks", "PQ", "mAP")]
    head = whole.headline()
    assert head.name == "mean of mIoU, AP masks, PQ, mAP"
    assert head.value == pytest.approx(np.mean(parts))
    assert next(iter(whole.row().items())) == ("mean_score", head.value)
    sure = whole.headline_interval()
    assert sure.low < sure.value < sure.high
    assert sure.value == pytest.approx(head.value)


def test_a_headline_can_be_named():
    found = scored(range(3), headline="boundary IoU", detail=False).scores()  # detail for its sake
    assert found.headline().value == found.numbers()["boundary IoU"]
    assert found.row()["boundary_iou"] == found.headline().value
    with pytest.raises(ConfigError, match=r"a headline among mIoU, FwIoU, .*got 'mAP'"):
        Scorer(CLASSES, SEMANTIC, headline="mAP")


def test_the_interval_and_gain_of_class_maps_are_those_of_their_matrices():
    first = scored(range(5), tasks=SEMANTIC).scores()
    worse = Scorer(CLASSES, SEMANTIC)
    for n in range(5):
        worse.update(f"im{n}", scene(n), scene(n + 7, True), place=n)
    second = worse.scores()
    matrices = [
        np.stack(
            [
                confusion_matrix(scene(n).semantic, scene(n + more, True).semantic, 3)
                for n in range(5)
            ]
        )
        for more in (0, 7)
    ]
    np.testing.assert_array_equal(first.maps.matrix, matrices[0].sum(axis=0))
    assert first.headline_interval() == interval(matrices[0])
    assert first.headline_gain(second) == paired_interval(*matrices)
    with pytest.raises(ConfigError, match="same images"):
        first.headline_gain(scored(range(4), tasks=SEMANTIC).scores())
    with pytest.raises(ConfigError, match="the same headline"):
        first.headline_gain(replace(second, wanted="FwIoU"))


def test_images_that_lack_a_task_count_for_the_others():
    scorer = Scorer(CLASSES, EVERY, detail=False)
    for n in range(6):
        truth = scene(n)
        kept = truth if n % 2 else replace(truth, instances=None, panoptic=None, labels=None)
        scorer.update(f"im{n}", kept, scene(n, True))
    found = scorer.scores()
    assert (found.images, len(found.objects.names)) == (6, 3)
    alone = scored([1, 3, 5], placed=False, detail=False).scores()
    assert found.objects.to_dict() == alone.objects.to_dict()
    assert found.headline_interval().value == pytest.approx(found.headline().value)


# --- samples --------------------------------------------------------------------------------------


def test_samples_without_the_task_are_skipped_and_counted():
    samples = [sample(0), replace(sample(1), tasks=frozenset({"boxes"}))]
    shown = []

    def find(one, _):
        shown.append(one.name)
        return one.read_truth()

    found = score(samples, find, CLASSES, tasks=SEMANTIC)
    assert (found.images, found.skipped, found.headline().value) == (1, 1, 1.0)
    assert shown == ["scene_0"]
    with pytest.raises(DataError, match="the 1 images are labelled with boxes"):
        score(samples[1:], find, CLASSES, tasks=SEMANTIC)


def test_masks_are_not_scored_where_only_boxes_are_known():
    def find(one, _):
        found = moved(objects(int(one.name)), 3)
        return Segmentation(size=SIZE, classes=CLASSES, instances=found)

    def labelled(seed, *tasks):
        truth = Segmentation(size=SIZE, classes=CLASSES, instances=objects(seed))
        if "instances" not in tasks:
            boxes = tuple(replace(one, mask=None) for one in truth.instances)
            truth = replace(truth, instances=boxes)
        return Sample(name=f"{seed}", image=np.zeros((*SIZE, 3), np.uint8), truth_of=truth,
                      tasks=frozenset(tasks))  # fmt: skip

    samples = [labelled(1, "instances", "boxes"), labelled(2, "boxes")]
    both = score(samples, find, CLASSES, tasks=frozenset({"instances", "boxes"}))
    assert (both.images, both.skipped) == (1, 1)
    boxes = score(samples, find, CLASSES, tasks=frozenset({"boxes"}))
    assert (boxes.images, boxes.headline().name, list(boxes.row())) == (2, "AP boxes", ["ap_boxes"])


def test_other_classes_are_refused_with_the_difference():
    def seen_as(classes):
        seen = Segmentation(size=(24, 32), classes=classes, semantic=ids(0))
        return lambda *_: seen

    other = Classes.of(["grass", "line", "robot"])
    with pytest.raises(ConfigError, match=r"without \['ball'\] .* and \['robot'\] beyond"):
        score([sample(0)], seen_as(other), CLASSES, tasks=SEMANTIC)
    with pytest.raises(ConfigError, match="another order"):
        score([sample(0)], seen_as(Classes.of(["line", "grass", "ball"])), CLASSES, tasks=SEMANTIC)


def test_a_model_that_lacks_an_answer_is_refused():
    nothing = Segmentation(size=(24, 32), classes=CLASSES)
    with pytest.raises(ConfigError, match="gave no class map for scene_0"):
        score([sample(0)], lambda *_: nothing, CLASSES, tasks=SEMANTIC)
    lying = replace(sample(0), truth_of=nothing)
    with pytest.raises(DataError, match="says that it is labelled with class map"):
        score([lying], lambda *_: nothing, CLASSES, tasks=SEMANTIC)


# --- labels ---------------------------------------------------------------------------------------


def plain_ap(truth, scores) -> float:
    """Precision and recall at each distinct threshold, one after the other."""
    positives = sum(truth)
    if not positives:
        return math.nan
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        given = [s >= threshold for s in scores]
        hits = sum(t and g for t, g in zip(truth, given))
        recall, precision = hits / positives, hits / sum(given)
        area, before = area + (recall - before) * precision, recall
    return area


columns = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=9)


@given(columns, st.data())
@settings(max_examples=60, deadline=None)
def test_label_precision_is_the_area_at_distinct_thresholds(column, data):
    truth, scores = zip(*column)
    truth_N1, score_N1 = np.array(truth)[:, None], np.array(scores, float)[:, None]
    expected = plain_ap(truth, scores)
    np.testing.assert_allclose(label_average_precision(truth_N1, score_N1), [expected])
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(truth), max_size=len(truth)))
    drawn = [pair for pair, count in zip(column, times) for _ in range(count)]
    expected = plain_ap(*zip(*drawn)) if drawn else math.nan
    found = label_average_precision(truth_N1, score_N1, np.array([times]))
    np.testing.assert_allclose(found, [[expected]])


def test_labels_are_ranked_by_class_and_pooled_at_half(whole):
    truth = [{label.class_id for label in scene(n).labels} for n in range(6)]
    told = [{label.class_id: label.score for label in scene(n, True).labels} for n in range(6)]
    aps = [plain_ap([k in t for t in truth], [s.get(k, 0.0) for s in told]) for k in range(3)]
    assert whole.numbers()["mAP"] == pytest.approx(np.nanmean(aps))
    given = [{k for k, s in scores.items() if s >= 0.5} for scores in told]
    hits = sum(len(t & g) for t, g in zip(truth, given))
    mistakes = sum(len(t ^ g) for t, g in zip(truth, given))
    assert whole.numbers()["label F1"] == pytest.approx(2 * hits / (2 * hits + mistakes))
    rows = whole.to_dict()["labels"]["images"]
    assert [row["true_positives"] for row in rows] == [len(t & g) for t, g in zip(truth, given)]
    with pytest.raises(DataError, match="NaN"):
        label_average_precision(np.ones((1, 1), bool), np.array([[math.nan]]))
