"""Scores of files equal those of pycocotools, of numpy on all pixels, and of what was compared."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from small_sets import CLASSES, dataset, ids

from maskwright.core import (
    Classes,
    ConfigError,
    DataError,
    Dataset,
    Instance,
    Mask,
    Panoptic,
    Sample,
    Segmentation,
)
from maskwright.formats import coco, read, read_predictions
from maskwright.jobs import Around, compare, find_by, score, write_score_report
from maskwright.metrics import confusion_matrix, semantic_scores

SIZE = (120, 160)


def blob(rng):
    height, width = rng.integers(4, 60, 2)
    top, left = rng.integers(0, SIZE[0] - height), rng.integers(0, SIZE[1] - width)
    pixels = np.zeros(SIZE, bool)
    pixels[top : top + height, left : left + width] = rng.random((height, width)) < 0.9
    pixels[top, left] = True
    return pixels


def objects(seed, count=5, scored=False):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        mask = Mask.encode(blob(rng))
        confidence = round(float(rng.random()), 2) if scored else None
        found.append(
            Instance(class_id=int(rng.integers(3)), box_xyxy=mask.box_xyxy, mask=mask,
                     score=confidence)
        )  # fmt: skip
    return tuple(found)


def moved(instances, seed):
    """The same objects, shifted a little, some lost, some of another class, with confidences."""
    rng = np.random.default_rng(seed)
    found = []
    for one in instances:
        if rng.random() < 0.2:
            continue
        mask = Mask.encode(np.roll(one.mask.decode(), rng.integers(-3, 4, 2), (0, 1)))
        class_id = one.class_id if rng.random() < 0.8 else int(rng.integers(3))
        found.append(
            Instance(class_id=class_id, box_xyxy=mask.box_xyxy, mask=mask,
                     score=round(float(rng.random()), 1))
        )  # fmt: skip
    return tuple(found)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """A COCO set of eight images, one of them empty."""
    root = tmp_path_factory.mktemp("scored") / "truth"
    samples = tuple(
        Sample(
            name=f"scene_{i}",
            image=np.full((*SIZE, 3), 20 * i, np.uint8),
            truth_of=Segmentation(
                size=SIZE, classes=CLASSES, instances=objects(i) if i != 3 else ()
            ),
            tasks=frozenset({"instances", "boxes"}),
        )
        for i in range(8)
    )
    written = Dataset(root=root, format="memory", classes=CLASSES, splits={"all": samples})
    coco.write(written, root)
    return read(root)


def results(truth, file, seed):
    listed = json.loads((truth.root / "instances.json").read_text())
    image_ids = {image["file_name"].split(".")[0]: image["id"] for image in listed["images"]}
    entries = [
        {
            "image_id": image_ids[sample.name],
            "category_id": one.class_id + 1,
            "segmentation": one.mask.to_coco(),
            "score": one.score,
        }
        for number, sample in enumerate(truth.splits["all"])
        for one in moved(sample.read_truth().instances, 100 * seed + number)
    ]
    file.write_text(json.dumps(entries))
    return file


def scored(truth, file, protocol="coco"):
    samples = truth.splits["all"]
    found = read_predictions(file, truth, samples)
    return score(samples, found.read, truth.classes, tasks=found.tasks, protocol=protocol)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_files_score_as_pycocotools_scores_them(truth, tmp_path):
    file = results(truth, tmp_path / "results.json", 1)
    ours = scored(truth, file).objects
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(truth.root / "instances.json"))
        theirs = COCOeval(reference, reference.loadRes(str(file)), "segm")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    assert list(ours.kinds["masks"].coco_stats) == list(theirs.stats)
    assert 0 < ours.first.ap < 1


def test_perfect_answers_score_one_and_their_tallies_are_the_truth(truth):
    samples = truth.splits["all"]

    def find(sample, _):
        known = sample.read_truth()
        return replace(known, instances=tuple(replace(o, score=0.9) for o in known.instances))

    found = score(samples, find, CLASSES, tasks=frozenset({"instances", "boxes"}))
    assert all(part.ap == 1.0 for part in found.objects.kinds.values())
    tallies = found.objects.tallies
    assert [(i.true_positives, i.false_positives, i.false_negatives) for i in tallies] == [
        (0 if i == 3 else 5, 0, 0) for i in range(8)
    ]


def test_tallies_add_up_to_what_is_there(truth, tmp_path):
    found = scored(truth, results(truth, tmp_path / "r.json", 2)).objects
    assert sum(i.true_positives + i.false_negatives for i in found.tallies) == 35
    curve = found.curves[""]
    best = 2 * curve.precision * curve.recall / np.maximum(curve.precision + curve.recall, 1e-9)
    right, wrong, missed = (
        sum(getattr(i, name) for i in found.tallies)
        for name in ("true_positives", "false_positives", "false_negatives")
    )
    assert 2 * right / (2 * right + wrong + missed) == pytest.approx(best.max())


def test_intervals_hold_their_score_and_a_model_against_itself_gains_nothing(truth, tmp_path):
    first = scored(truth, results(truth, tmp_path / "a.json", 1))
    intervals = first.intervals()
    assert set(intervals) == {"AP masks", "AP boundary", "AP boxes"}
    for name, found in intervals.items():
        assert found.value == pytest.approx(first.numbers()[name], abs=1e-12)
        assert found.low <= found.high
    same = compare(first, first)
    assert all((g.value, g.low, g.high) == (0, 0, 0) for g in same.values())
    second = scored(truth, results(truth, tmp_path / "b.json", 7))
    gain = compare(first, second)["AP masks"]
    expected = first.objects.first.ap - second.objects.first.ap
    assert gain.value == pytest.approx(expected, abs=1e-12)
    assert gain.low <= gain.high


@pytest.mark.parametrize("protocol", ["voc07", "voc10", "cityscapes", "ultralytics-8.4"])
def test_every_protocol_reaches_the_files(truth, tmp_path, protocol):
    found = scored(truth, results(truth, tmp_path / "r.json", 1), protocol)
    assert found.objects.first.protocol.name == protocol
    assert 0 < found.objects.first.ap < 1


def test_class_maps_are_counted_over_all_pixels():
    samples = dataset(val=4).splits["val"]

    def find(sample, size):
        number = int(sample.name.rsplit("_", 1)[1])
        return Segmentation(size=size, classes=CLASSES, semantic=ids(number + 40, size))

    found = score(samples, find, CLASSES, tasks=frozenset({"semantic"}))
    assert found.objects is None
    matrix = sum(
        confusion_matrix(s.read_truth().semantic, find(s, s.read_truth().size).semantic, 3)
        for s in samples
    )
    assert found.maps.areas == semantic_scores(matrix, CLASSES.names)
    assert found.numbers()["mIoU"] == found.maps.areas.miou
    interval = found.intervals()["mIoU"]
    assert interval.low <= interval.value <= interval.high
    json.dumps(found.to_dict())


def test_panoptic_segments_are_scored():
    ids_HW = np.zeros((8, 8), np.int32)
    ids_HW[:4], ids_HW[4:, :3] = 1, 2
    known = Panoptic(segment_ids=ids_HW, class_of={1: 0, 2: 2})
    whole = Segmentation(size=(8, 8), classes=CLASSES, panoptic=known)
    sample = Sample(name="a", image=np.zeros((8, 8, 3), np.uint8), truth_of=whole,
                    tasks=frozenset({"panoptic"}))  # fmt: skip
    missed = replace(whole, panoptic=Panoptic(segment_ids=ids_HW * (ids_HW == 1), class_of={1: 0}))
    tasks = frozenset({"panoptic"})
    perfect = score([sample, replace(sample, name="b")], lambda *_: whole, CLASSES, tasks=tasks)
    half = score([sample, replace(sample, name="b")], lambda *_: missed, CLASSES, tasks=tasks)
    assert (perfect.numbers()["PQ"], half.numbers()["PQ"]) == (1.0, 0.5)
    assert compare(perfect, half)["PQ"].value == 0.5
    assert half.intervals()["PQ"].value == 0.5


def test_what_cannot_be_scored_is_told():
    samples = dataset(val=2).splits["val"]
    tasks = frozenset({"semantic"})
    with pytest.raises(DataError, match=r"labelled with .*, but the predictions hold panoptic"):
        score(samples, find_by(lambda _: None), CLASSES, tasks=frozenset({"panoptic"}))

    def other(_, size):
        return Segmentation(size=size, classes=Classes.of(["a", "b", "c"]), semantic=ids(0, size))

    with pytest.raises(ConfigError, match="the model's classes are a, b, c"):
        score(samples, other, CLASSES, tasks=tasks)

    def small(_, __):
        return Segmentation(size=(8, 8), classes=CLASSES, semantic=ids(0, (8, 8)))

    with pytest.raises(DataError, match=r"expected a prediction of \(24, 32\)"):
        score(samples, small, CLASSES, tasks=tasks)
    with pytest.raises(DataError, match="none of the 2 images could be scored"):
        score(samples, small, CLASSES, tasks=tasks, skip_bad=True)
    with pytest.raises(ConfigError, match="protocol"):
        score(samples, small, CLASSES, tasks=frozenset({"boxes"}), protocol="kitti")


def test_bad_images_are_left_out_on_request_and_counted():
    samples = dataset(val=3).splits["val"]

    def find(sample, size):
        if sample.name.endswith("_1"):
            raise DataError("a damaged file")
        return Segmentation(size=size, classes=CLASSES, semantic=sample.read_truth().semantic)

    found = score(samples, find, CLASSES, tasks=frozenset({"semantic"}), skip_bad=True)
    assert (found.images, found.bad) == (2, (("scene_1", "a damaged file"),))
    assert found.maps.areas.miou == 1.0
    with pytest.raises(DataError, match="a damaged file"):
        score(samples, find, CLASSES, tasks=frozenset({"semantic"}))


def test_the_page_holds_tables_curves_and_worst_images(truth, tmp_path):
    first = scored(truth, results(truth, tmp_path / "a.json", 1))
    samples = truth.splits["all"]
    find = read_predictions(tmp_path / "a.json", truth, samples).read
    gains = compare(first, first)
    around = Around(gains=gains, intervals=first.intervals(), other="the same")
    write_score_report(tmp_path / "page.html", "a on b", first, samples, find, around)
    page = (tmp_path / "page.html").read_text()
    for wanted in ("Against the same", "protocol coco", "Precision over recall", "Worst images",
                   "false negatives"):  # fmt: skip
        assert wanted in page
