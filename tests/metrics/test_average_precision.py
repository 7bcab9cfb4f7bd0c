"""AP against pycocotools (to the last bit), faster-coco-eval, and plain slow definitions."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from dataclasses import replace

import ap_peers as peers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared_path

from maskwright.core import Classes, Instance, Mask, Segmentation
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.object_arrays import ObjectArrays
from maskwright.metrics import AveragePrecision, Objects, Spans, average_precision, boundary_mask
from maskwright.metrics.matching import mask_intersections
from maskwright.metrics.protocols import PROTOCOLS, protocol_of

PEER_KIND = {"boxes": "bbox", "masks": "segm"}


def scored(truths, predictions, kinds=("boxes", "masks"), ids=None, areas=None):
    total = AveragePrecision(truths[0].classes.names, kinds=kinds)
    for n, (truth, prediction) in enumerate(zip(truths, predictions)):
        total.update(
            truth,
            prediction,
            image=None if ids is None else ids[n],
            truth_areas=None if areas is None else areas[n],
        )
    return total


def assert_equals_pycocotools(total, data, results, kind, limits=(1, 10, 100)):
    theirs = peers.pycocotools_eval(data, results, PEER_KIND[kind], limits)
    ours = total.scores("coco", kind=kind, max_detections=limits)
    if limits[-1] == 100:
        np.testing.assert_array_equal(ours.coco_stats, theirs.stats)
        assert 0.01 < theirs.stats[0] < 0.99
    precision = theirs.eval["precision"][..., -1].transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(np.nan_to_num(ours.precision, nan=-1), precision)
    recall = theirs.eval["recall"].transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(np.nan_to_num(ours.average_recall, nan=-1), recall)


@pytest.mark.parametrize("kind", ["boxes", "masks"])
@pytest.mark.parametrize("seed", range(4))
def test_coco_equals_pycocotools_to_the_last_bit(seed, kind):
    truths, predictions = peers.generated(seed)
    data, results = peers.as_coco(truths, predictions)
    total = scored(truths, predictions)
    assert_equals_pycocotools(total, data, results, kind)
    assert_equals_pycocotools(total, data, results, kind, limits=(2, 3))


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_coco_mini_equals_pycocotools_to_the_last_bit(kind):
    """With the areas and crowds of the file; more detections than the limit in some images."""
    path = shared_path("data/coco_mini") / "val" / "instances.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    rng = np.random.default_rng(5)
    place = {entry["id"]: k for k, entry in enumerate(file["categories"])}
    classes = Classes.of([entry["name"] for entry in file["categories"]])
    truths, predictions, areas, ids = [], [], [], []
    for image in sorted(file["images"], key=lambda entry: entry["id"]):
        size = (image["height"], image["width"])
        own = [a for a in file["annotations"] if a["image_id"] == image["id"]]
        truth = [
            peers.instance(read_mask(a, size), place[a["category_id"]], crowd=bool(a["iscrowd"]))
            for a in own
        ]
        found = peers.perturbed(rng, truth, size, classes.names)
        if len(truths) % 9 == 0 and truth:
            found += [
                peers.instance(truth[0].mask.shift(i % 7 - 3, i % 5 - 2), truth[0].class_id, 0.25)
                for i in range(130)
            ]
        truths.append(Segmentation(size=size, classes=classes, instances=tuple(truth)))
        predictions.append(Segmentation(size=size, classes=classes, instances=tuple(found)))
        areas.append([a["area"] for a in own])
        ids.append(image["id"])
    assert any(one.crowd for truth in truths for one in truth.instances)
    data, results = peers.as_coco(truths, predictions, ids, areas)
    total = scored(truths, predictions, (kind,), ids, areas)
    assert_equals_pycocotools(total, data, results, kind)


def read_mask(annotation, size):
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        return Mask.from_polygons(segmentation, size)
    return Mask.from_coco(segmentation)


@pytest.mark.parametrize("crowds", [0.15, 0.6])
def test_boundary_ap_equals_faster_coco_evals(crowds):
    from faster_coco_eval import COCO, COCOeval_faster

    truths, predictions = peers.generated(7, crowds=crowds)
    data, results = peers.as_coco(truths, predictions)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(data)
        found = truth.loadRes([{k: v for k, v in one.items() if k != "bbox"} for one in results])
        run = COCOeval_faster(truth, found, "boundary")
        run.run()
    total = scored(truths, predictions, ("masks", "boundary"))
    ours = total.scores("coco", kind="boundary").coco_stats
    np.testing.assert_allclose(ours, np.asarray(run.stats[:12]), rtol=0, atol=1e-12)
    assert ours[0] < total.scores("coco", kind="masks").ap


def test_the_boundary_mask_is_what_lies_near_the_edge():
    """Every pixel that has one outside the mask within `distance` steps of a king in chess."""
    rng = np.random.default_rng(3)
    mask = Mask.encode(peers.disc(rng, (60, 80), (25, 30), (22, 26)))
    distance = round(0.05 * 100)  # the diagonal of 60 x 80 is 100
    inside = np.pad(mask.decode(), distance)
    deep = np.ones((60, 80), bool)
    for dy in range(2 * distance + 1):
        for dx in range(2 * distance + 1):
            deep &= inside[dy : dy + 60, dx : dx + 80]
    band = boundary_mask(mask, 0.05).decode()
    np.testing.assert_array_equal(band, mask.decode() & ~deep)
    assert deep.any()
    empty = Mask.encode(np.zeros((4, 4), bool))
    assert boundary_mask(empty).area == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_voc_equals_its_definition(seed, kind):
    truths, predictions = peers.generated(seed, images=14, size=(60, 70))
    total = scored(truths, predictions)
    for name in ("voc07", "voc10"):
        ours = total.scores(name, kind=kind).class_ap
        plain = [
            peers.plain_voc(truths, predictions, k, name == "voc07", kind)
            for k in range(len(peers.NAMES))
        ]
        np.testing.assert_allclose(ours, plain, rtol=1e-12)
        assert 0.05 < np.nanmean(plain) < 0.95


@pytest.mark.parametrize("seed", range(3))
def test_cityscapes_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    truths, predictions = peers.generated(seed, images=14, size=(60, 70))
    truths, voids = with_void(truths, rng)
    ours = scored(truths, predictions, ("masks",)).scores("cityscapes")
    plain = [
        [peers.plain_cityscapes(truths, predictions, voids, k, t) for k in range(len(peers.NAMES))]
        for t in ours.protocol.ious
    ]
    np.testing.assert_allclose(ours.average_precision[0], plain, rtol=1e-9, atol=1e-12)
    assert ours.ap == pytest.approx(np.nanmean(plain))
    without = scored(*peers.generated(seed, images=14, size=(60, 70)), ("masks",))
    assert without.scores("cityscapes").ap != ours.ap  # void was seen


def with_void(truths, rng):
    """Truth whose objects don't overlap, as in Cityscapes, and void beside them."""
    made, voids = [], []
    for truth in truths:
        free = np.ones(truth.size, bool)
        kept = []
        for one in truth.instances:
            pixels = one.mask.decode() & free
            free &= ~pixels
            if pixels.any():
                kept.append(peers.instance(pixels, one.class_id, crowd=one.crowd))
        void = free & peers.disc(rng, truth.size, rng.uniform(0, truth.size), (25, 25))
        semantic = np.where(void, 255, 0).astype(np.uint8)
        made.append(
            Segmentation(
                size=truth.size,
                classes=truth.classes,
                instances=tuple(kept),
                semantic=semantic,
            )
        )
        voids.append(void)
    return made, voids


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["boxes", "masks"])
@pytest.mark.parametrize("version", ["8.3", "8.4"])
def test_ultralytics_equals_its_definition(seed, kind, version):
    truths, predictions = peers.generated(seed, images=14, size=(60, 70))
    ours = scored(truths, predictions).scores(f"ultralytics-{version}", kind=kind)
    plain = [
        [
            peers.plain_ultralytics(truths, predictions, k, t, kind, version)
            for k in range(len(peers.NAMES))
        ]
        for t in ours.protocol.ious
    ]
    np.testing.assert_allclose(ours.average_precision[0], plain, rtol=1e-9)


def boxed(*rows):
    """An image of 200x200 with boxes (x1, y1, x2, y2) and their confidences, None in truth."""
    instances = tuple(Instance(class_id=0, box_xyxy=box, score=score) for box, score in rows)
    return Segmentation(size=(200, 200), classes=Classes.of(["car"]), instances=instances)


FIRST, SECOND, FAR = (0, 0, 100, 100), (0, 0, 100, 80), (150, 150, 190, 190)


@pytest.mark.parametrize(("protocol", "truth", "found", "expected"), [
    # what the tool of 8.3.250 and of 8.4.190 answers
    ("ultralytics-8.3", (FIRST, FAR), ((FIRST, 0.9),), 0.75),
    ("ultralytics-8.4", (FIRST, FAR), ((FIRST, 0.9),), 0.495),
    ("ultralytics", (FIRST, FAR), ((FIRST, 0.9),), 0.495),
    ("ultralytics-8.3", (FIRST, SECOND), (((0, 0, 100, 96), 0.9), ((0, 0, 100, 95), 0.8)), 0.6225),
    ("ultralytics-8.4", (FIRST, SECOND), (((0, 0, 100, 96), 0.9), ((0, 0, 100, 95), 0.8)), 0.995),
])  # fmt: skip
def test_ultralytics_by_its_own_answers(protocol, truth, found, expected):
    total = AveragePrecision(["car"], kinds=["boxes"])
    total.update(boxed(*((box, None) for box in truth)), boxed(*found))
    assert total.scores(protocol).ap_of(iou=0.5) == pytest.approx(expected, abs=1e-12)


def test_names_without_a_version_mean_the_newest():
    assert protocol_of("ultralytics") is PROTOCOLS["ultralytics-8.4"]
    assert protocol_of("ultralytics").name == "ultralytics-8.4"


def pitch(*objects, size=(80, 200)):
    """Objects as (left, width, score) of full height, on a strip where they don't overlap."""
    made = []
    for left, width, score in objects:
        pixels = np.zeros(size, bool)
        pixels[:, left : left + width] = True
        made.append(peers.instance(pixels, 0, score))
    return Segmentation(size=size, classes=Classes.of(["car"]), instances=tuple(made))


def test_cityscapes_adds_a_point_of_precision_one():
    """Two cars, one right and one wrong detection of equal score: 0.5 * 0.25 + 1 * 0.25."""
    total = AveragePrecision(["car"], kinds=["masks"])
    total.update(pitch((0, 10, None), (50, 10, None)), pitch((0, 10, 0.5), (90, 10, 0.5)))
    assert total.scores("cityscapes").ap_of(iou=0.5) == pytest.approx(0.375, abs=1e-12)


@pytest.mark.parametrize(("width", "steps"), [(10, 0), (11, 1), (12, 2), (14, 4), (15, 5)])
def test_cityscapes_matches_above_its_thresholds(width, steps):
    """IoU 0.5, 0.55, 0.6, 0.7, 0.75 of a car 20 wide: equal to the script's float is no match."""
    total = AveragePrecision(["car"], kinds=["masks"])
    total.update(pitch((0, 20, None)), pitch((0, width, 0.5)))
    scores = total.scores("cityscapes")
    found = (scores.average_precision[0][:, 0] > 0).sum()
    iou = width / 20
    assert found == sum(iou > one for one in np.arange(0.5, 1.0, 0.05))
    assert found == steps


def test_pooled_ap_is_that_of_one_ranked_list():
    """All classes under one name, kept apart by place: then macro and pooled are the same."""
    truths, predictions = peers.generated(2, images=10)
    pooled = scored(truths, predictions, ("boxes",)).scores("voc10")
    classes = Classes.of(["all"])

    def apart(content):
        moved = tuple(
            Instance(
                class_id=0,
                box_xyxy=tuple(np.add(one.box_xyxy, 1000 * one.class_id)),
                score=one.score,
                crowd=one.crowd,
            )
            for one in content.instances
        )
        return Segmentation(size=content.size, classes=classes, instances=moved)

    one_class = scored([apart(t) for t in truths], [apart(p) for p in predictions], ("boxes",))
    assert one_class.scores("voc10").ap == pytest.approx(pooled.ap_pooled, abs=1e-12)
    assert one_class.scores("coco").ap == pytest.approx(
        scored(truths, predictions, ("boxes",)).scores("coco").ap_pooled, abs=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_intersections_equal_those_of_pixels(seed):
    rng = np.random.default_rng(seed)
    size = tuple(int(side) for side in rng.integers(1, 30, 2))
    pixels = rng.random((6, *size)) < rng.random((6, 1, 1))
    pixels[0] = False
    spans = Spans.of_masks([Mask.encode(one) for one in pixels])
    first, second = (grid.reshape(-1) for grid in np.meshgrid(range(6), range(6)))
    shared = [(pixels[a] & pixels[b]).sum() for a, b in zip(first, second)]
    np.testing.assert_array_equal(mask_intersections(spans, spans, first, second), shared)
    np.testing.assert_array_equal(spans.areas(), pixels.sum(axis=(1, 2)))
    places = [np.flatnonzero(one.T) for one in pixels]
    reach = [(one[0], one[-1] + 1) if len(one) else (0, 0) for one in places]
    np.testing.assert_array_equal(np.stack(spans.reach(), axis=1), reach)
    assert spans.mask(3) == Mask.encode(pixels[3])


@pytest.mark.parametrize("numbered", [True, False])
def test_merging_processes_changes_no_bit(numbered):
    truths, predictions = peers.generated(1)
    ids = list(range(len(truths))) if numbered else None
    whole = scored(truths, predictions, ids=ids)
    order = [slice(12, None), slice(None, 12)] if numbered else [slice(None, 12), slice(12, None)]
    one, two = (
        scored(truths[s], predictions[s], ids=None if ids is None else ids[s]) for s in order
    )
    one.merge(pickle.loads(pickle.dumps(two)))
    one.merge(AveragePrecision(peers.NAMES, kinds=("boxes", "masks")))
    assert one.images == len(truths)
    for kind in ("boxes", "masks"):
        ours, theirs = one.scores(kind=kind), whole.scores(kind=kind)
        np.testing.assert_array_equal(ours.coco_stats, theirs.coco_stats)
        np.testing.assert_array_equal(ours.pooled_precision, theirs.pooled_precision)


def test_arrays_give_the_same_numbers():
    truths, predictions = peers.generated(3)
    whole = scored(truths, predictions).scores(kind="masks")
    total = AveragePrecision(peers.NAMES, kinds=("masks",))
    total.update_arrays(
        Objects.of(list(enumerate(truths))),
        Objects.of(list(enumerate(predictions))),
        images=range(len(truths)),
    )
    np.testing.assert_array_equal(total.scores().coco_stats, whole.coco_stats)
    assert total.images == len(truths)
    function = average_precision(truths, predictions)
    np.testing.assert_array_equal(function.coco_stats, whole.coco_stats)


def test_a_perfect_prediction_scores_one_and_curves_tell_it():
    truths, _ = peers.generated(0, crowds=0)
    for protocol in ("voc07", "voc10", "coco", "ultralytics-8.3", "ultralytics-8.4"):
        total = scored(truths, truths, ("boxes", "masks", "boundary"))
        for kind in total.kinds:
            assert total.scores(protocol, kind=kind).ap == pytest.approx(
                0.995 if protocol.startswith("ultralytics") else 1, abs=1e-9
            )
    curve = total.curve(0)
    assert curve.recall[-1] == curve.precision.min() == 1
    verdicts = total.verdicts()
    assert (verdicts.status == 1).all()
    assert len(verdicts.truths) == len(verdicts.image) == verdicts.counted.sum()


def test_curve_ends_at_the_recall_and_verdicts_point_at_the_truth():
    truths, predictions = peers.generated(4)
    total = scored(truths, predictions)
    scores = total.scores("voc10", kind="masks")
    for k in range(5):
        curve = total.curve(k, protocol="voc10", kind="masks")
        assert curve.recall[-1] == scores.average_recall[0, 0, 0, k]
        assert (np.diff(curve.score) <= 0).all()
    assert np.isnan(total.curve(5).recall).all()
    assert total.curve(protocol="voc10").recall[-1] == scores_pooled(total)
    verdicts = total.verdicts("coco", kind="boxes")
    step, row = np.nonzero(verdicts.status == 1)
    truth = verdicts.truth[step, row]
    np.testing.assert_array_equal(verdicts.truths.image[truth], verdicts.image[row])
    np.testing.assert_array_equal(verdicts.truths.class_id[truth], verdicts.class_id[row])
    for t in range(10):
        assert len(np.unique(truth[step == t])) == (step == t).sum()


def scores_pooled(total):
    return total.scores("voc10").pooled_recall[0, 0, 0]


def test_a_class_without_truth_has_no_ap_but_lowers_the_pooled_one():
    classes = Classes.of(["a", "b"])
    box = Instance(class_id=0, box_xyxy=(0, 0, 20, 20), score=0.5)
    other = Instance(class_id=1, box_xyxy=(0, 0, 20, 20), score=0.9)
    truth = Segmentation(size=(30, 30), classes=classes, instances=(box,))
    found = Segmentation(size=(30, 30), classes=classes, instances=(box, other))
    for protocol in ("voc07", "voc10", "coco"):
        scores = average_precision([truth], [found], protocol=protocol, kind="boxes")
        assert scores.ap == pytest.approx(1)
        assert np.isnan(scores.class_ap[1])
        assert scores.ap_pooled == pytest.approx(0.5)
    data = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert data["classes"][1]["ap"] is None
    assert data["summary"]["APl"] is None
    assert scores.coco_stats[5] == -1
    nothing = Segmentation(size=(30, 30), classes=classes, instances=())
    for protocol in PROTOCOLS:
        assert average_precision([truth], [nothing], protocol=protocol, kind="boxes").ap == 0
        empty = average_precision([nothing], [found], protocol=protocol, kind="boxes")
        assert np.isnan(empty.ap)
    assert np.isnan(AveragePrecision(("a",)).scores().ap)


def test_what_does_not_fit_is_told():
    classes = Classes.of(["a"])
    box = Instance(class_id=0, box_xyxy=(0, 0, 4, 4), score=0.5)
    mask = peers.instance(np.ones((6, 6), bool), 0, 0.5)

    def of(*instances, size=(6, 6)):
        return Segmentation(size=size, classes=classes, instances=instances)

    total = AveragePrecision(("a",), kinds=("boxes",))
    with pytest.raises(DataError, match=r"\(6, 6\), got \(5, 6\)"):
        total.update(of(box), of(box, size=(5, 6)))
    with pytest.raises(DataError, match="got None"):
        total.update(of(box), Segmentation(size=(6, 6), classes=classes))
    assert total.images == 0
    bad = Instance(class_id=0, box_xyxy=(0, 0, 4, 4), score=float("nan"))
    with pytest.raises(DataError, match="nan"):
        average_precision([of(box)], [of(bad)], kind="boxes")
    with pytest.raises(DataError, match="have only a box"):
        average_precision([of(mask)], [of(box, mask)])
    with pytest.raises(DataError, match="without any"):
        average_precision([of(mask)], [of(box)])
    with pytest.raises(DataError, match="got 1 and 0"):
        average_precision([of(mask)], [])
    with pytest.raises(ConfigError, match="'coc0'"):
        total.scores("coc0")
    with pytest.raises(ConfigError, match="'masks'"):
        total.scores(kind="masks")
    with pytest.raises(ConfigError, match=r"\(0, 10\)"):
        total.scores(max_detections=(0, 10))
    with pytest.raises(ConfigError, match=r"0\.3"):
        total.curve(0, iou=0.3)
    with pytest.raises(ConfigError, match="hulls"):
        AveragePrecision(("a",), kinds=("hulls",))
    total.update(of(box), of(box), image=4)
    with pytest.raises(DataError, match="image 4 came before"):
        total.update(of(box), of(box), image=4)
    with pytest.raises(ConfigError, match="for every image"):
        total.update(of(box), of(box))
    with pytest.raises(ConfigError, match="image 4 is in both"):
        total.merge(total)
    with pytest.raises(ConfigError, match="masks"):
        total.merge(AveragePrecision(("a",)))
    with pytest.raises(DataError, match="1 areas of truth, got 2"):
        total.update(of(box), of(box), image=5, truth_areas=[1, 2])
    with pytest.raises(ConfigError, match="'tiny'"):
        total.scores().ap_of(size="tiny")
    with pytest.raises(ConfigError, match=r"0\.52"):
        total.scores().ap_of(iou=0.52)
    with pytest.raises(ConfigError, match="got 7"):
        total.scores().ar_of(limit=7)


@pytest.mark.parametrize("told", [True, False])
def test_objects_as_arrays_give_the_same_numbers_too(told):
    truths, predictions = peers.generated(3)
    arrays = [replace(one, instances=as_arrays(one, told)) for one in predictions]
    assert sum(len(one.instances) for one in arrays) > 100
    kinds = ("boxes", "masks", "boundary")
    for masks in (True, False):
        ours, theirs = (
            Objects.of(list(enumerate(images)), masks=masks) for images in (arrays, predictions)
        )
        for column in ("image", "class_id", "box_xywh", "score", "crowd", "area"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
        assert (ours.spans is None) is (theirs.spans is None) is not masks
        for column in ("edges", "first", "size") if masks else ():
            left, right = getattr(ours.spans, column), getattr(theirs.spans, column)
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
    mixed = [one if n % 3 else other for n, (one, other) in enumerate(zip(predictions, arrays))]
    whole = scored(truths, predictions, kinds)
    for images in (arrays, mixed):
        total = scored(truths, images, kinds)
        for kind in kinds:
            stats = total.scores(kind=kind).coco_stats
            np.testing.assert_array_equal(stats, whole.scores(kind=kind).coco_stats)


def as_arrays(content, told):
    masks = [one.mask for one in content.instances]
    if not masks:
        return ()
    return ObjectArrays(
        size=content.size,
        class_id=np.array([one.class_id for one in content.instances]),
        score=np.array([one.score for one in content.instances]),
        runs=np.concatenate([mask.runs for mask in masks]),
        first=np.append(0, np.cumsum([len(mask.runs) for mask in masks])),
        told_boxes=np.array([one.box_xyxy for one in content.instances]) if told else None,
    )
