"""Every format to every other: what can be carried comes back to the bit, the rest is counted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_sets import picture

from maskwright import formats
from maskwright.core import Classes, DataError, Dataset, Instance, Mask, Sample, Segmentation
from maskwright.core.parts import Label
from maskwright.formats.coco_write import edge_polygons
from maskwright.formats.recast import regions_of, segments_of
from maskwright.jobs import convert

CLASSES = Classes.of(["grass", "ball", "line", "robot"], None, [1, 3])
SIZE = (14, 19)
WITH_MASKS = {"coco", "coco_panoptic", "voc", "cityscapes", "yolo_seg", "labelme", "cvat"}
WITH_LABELS = {"voc", "folders", "cvat"}
NO_CROWDS = {"yolo_seg", "yolo_boxes", "labelme", "cvat"}
OBJECTS_ONLY = {"coco", *NO_CROWDS}
WITH_MAPS = {"index_masks", "coco_panoptic", "voc", "cityscapes"}
QUICK = settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def truth_of(seed: int) -> Segmentation:
    """A class map with void; things are objects, some of several parts, some crowds."""
    chance = np.random.default_rng(seed)
    coarse = chance.choice([0, 1, 2, 3, 255], (7, 9), p=[0.35, 0.2, 0.15, 0.2, 0.1])
    ids = cv2.resize(coarse.astype(np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    ids[chance.integers(SIZE[0])] = 3  # a line of one pixel
    ids[chance.integers(SIZE[0]), chance.integers(SIZE[1])] = 1  # a point
    things = [one for one in regions_of(ids, CLASSES) if one.class_id in CLASSES.things]
    objects: list[Instance] = []
    for one in things:
        before = objects[-1] if objects else None
        if (
            before
            and before.class_id == one.class_id
            and not before.crowd
            and chance.random() < 0.3
        ):
            mask = before.mask | one.mask
            objects[-1] = Instance(class_id=one.class_id, box_xyxy=mask.box_xyxy, mask=mask)
        else:
            crowds = {other.class_id for other in objects if other.crowd}
            crowd = one.class_id not in crowds and chance.random() < 0.15
            objects.append(
                Instance(class_id=one.class_id, box_xyxy=one.box_xyxy, mask=one.mask, crowd=crowd)
            )
    labels = (Label(class_id=seed % 4),)
    return Segmentation(
        size=SIZE, classes=CLASSES, semantic=ids, instances=tuple(objects), labels=labels
    )


def set_of(seed: int) -> Dataset:
    tasks = frozenset({"semantic", "instances", "boxes", "labels"})
    samples = [
        Sample(name=name, image=picture(i, SIZE), truth_of=truth_of(4 * seed + i), tasks=tasks)
        for i, name in enumerate(("höhe/a 1", "a", "b_1"))
    ]
    splits = {"train": tuple(samples[1:]), "val": (samples[0], samples[1])}
    return Dataset(root=Path("memory"), format="memory", classes=CLASSES, splits=splits)


def named_map(truth: Segmentation) -> np.ndarray:
    """Class names a pixel, "" for void."""
    names = np.full(truth.classes.void + 1, "", "<U20")
    names[: len(truth.classes)] = truth.classes.names
    return names[truth.semantic]


def named_objects(objects, classes, crowds=True):
    return sorted(
        (classes.names[one.class_id], one.mask.packed, one.crowd and crowds) for one in objects
    )


def painted(truth: Segmentation, outside: str) -> np.ndarray:
    names = np.full(truth.size, outside, "<U20")
    for one in truth.instances:
        names[one.mask.decode()] = truth.classes.names[one.class_id]
    return names


@pytest.mark.parametrize("target", formats.WRITABLE)
@pytest.mark.parametrize("source", formats.WRITABLE)
@QUICK
@given(seed=st.integers(0, 10_000))
def test_every_pair(source, target, seed):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write = formats.FORMATS[source].write
        edge = {"yolo_seg": {"vertices": "edge"}}
        write(set_of(seed), root / "source", edge.get(source))
        before = formats.read(root / "source")
        assert before.format == source
        run = lambda: convert(before, root / "out", target, options=edge.get(target), workers=1)  # noqa: E731
        if source == "yolo_boxes" and target in {"index_masks", "coco_panoptic", "cityscapes"}:
            with pytest.raises(DataError, match="boxes"):
                run()
            return
        if target == "folders" and source not in WITH_LABELS:
            with pytest.raises(DataError, match="has no image label; expected one class"):
                run()
            return
        if source == "folders" and target not in WITH_LABELS:
            with pytest.raises(DataError, match=r"image labels only; expected a class map|neither"):
                run()
            return
        done = run()
        after = formats.read(root / "out", format=target)
        assert {split: len(own) for split, own in after.splits.items()} == done.images
        for split, samples in before.splits.items():
            assert [one.name for one in samples] == [one.name for one in after.splits[split]]
            for one, other in zip(samples, after.splits[split]):
                np.testing.assert_array_equal(one.read_image(), other.read_image())
                compare(one.read_truth(), other.read_truth(), target, done.losses)


def compare(before: Segmentation, after: Segmentation, target: str, losses: tuple) -> None:
    told = " ".join(losses)
    if before.labels is not None and target in WITH_LABELS:
        named = [after.classes.names[one.class_id] for one in after.labels]
        assert named == [before.classes.names[one.class_id] for one in before.labels]
    elif before.labels is not None:
        assert "can't hold the image labels of 4 images" in told
    if target == "folders":
        assert after.semantic is None
        assert after.instances is None
        assert ("class maps of 4 images" in told) == (before.semantic is not None)
        assert ("objects of" in told) or not before.instances
        return
    if before.semantic is not None and target in WITH_MAPS:
        np.testing.assert_array_equal(named_map(before), named_map(after))
    if target == "index_masks":
        if before.instances:
            assert "the objects of" in told or "objects are told apart" in told
        if before.semantic is None:
            np.testing.assert_array_equal(painted(before, "background"), named_map(after))
        return
    objects = before.instances
    if before.panoptic is not None and target in OBJECTS_ONLY:
        objects = segments_of(before.panoptic)
    elif objects is None and before.semantic is not None and target in OBJECTS_ONLY:
        objects = regions_of(before.semantic, before.classes)
        if (before.semantic == 255).any():
            assert "the void of" in told
    if objects is None:
        assert after.instances is None or target in {"coco_panoptic"}
        return
    crowds = target not in NO_CROWDS
    if not crowds and any(one.crowd for one in objects):
        assert "are crowds" in told
    if target in WITH_MASKS and all(one.mask is not None for one in objects):
        assert named_objects(objects, before.classes, crowds) == named_objects(
            after.instances, after.classes
        )
    if target == "yolo_boxes" and any(one.mask is not None for one in objects):
        assert "the masks of" in told
    np.testing.assert_allclose(
        np.array(sorted(one.box_xyxy for one in objects)).reshape(-1, 4),
        np.array(sorted(one.box_xyxy for one in after.instances)).reshape(-1, 4),
        atol=2e-4,
    )


OVERLAPPING = np.zeros((2, *SIZE), bool)
OVERLAPPING[0, 2:10, 2:12] = True
OVERLAPPING[1, 6:12, 8:18] = True


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("index_masks", "the overlaps of 1 objects: IoU 0.800"),
        ("coco_panoptic", "the overlaps of 1 objects: IoU 0.800"),
        ("voc", "the overlaps of 1 objects: IoU 0.800"),
        ("cityscapes", "the overlaps of 1 objects: IoU 0.800"),
        ("coco", ""),
        ("yolo_seg", ""),
        ("labelme", ""),
        ("cvat", ""),
    ],
)
def test_overlaps_are_counted_with_the_iou_lost(tmp_path, target, what):
    masks = [Mask.encode(pixels) for pixels in OVERLAPPING]
    objects = tuple(Instance(class_id=1, box_xyxy=m.box_xyxy, mask=m) for m in masks)
    truth = Segmentation(size=SIZE, classes=CLASSES, instances=objects)
    tasks = frozenset({"instances", "boxes"})
    one = Sample(name="a", image=picture(1, SIZE), truth_of=truth, tasks=tasks)
    small = Dataset(root=Path("memory"), format="memory", classes=CLASSES, splits={"train": (one,)})
    done = convert(small, tmp_path / "out", target, workers=1)
    rows = (tmp_path / "out/losses.csv").read_text().splitlines()[1:]
    assert any(what in sentence for sentence in done.losses) if what else not done.losses
    if what:
        assert any(row.endswith("the overlaps of objects,1,0.800000,0.800000") for row in rows)
        after = formats.read(tmp_path / "out").splits["train"][0].read_truth()
        # the larger lies below the smaller
        seen = {1: masks[1]} if after.instances is None else {}
        for mask in seen.values() or [one.mask for one in after.instances]:
            assert mask.area in {masks[1].area, 80 - 16}


# --- COCO polygons, as pycocotools fills them -------------------------------------------------


def filled(mask: Mask) -> np.ndarray:
    from pycocotools import mask as api

    height, width = mask.size
    return api.decode(api.merge(api.frPyObjects(edge_polygons(mask), height, width))) > 0


def ring(radius: int) -> np.ndarray:
    y, x = np.mgrid[:40, :50]
    away = np.hypot(y - 20, x - 24)
    return (away < radius) & (away > radius - 3)


THIN = {
    **{f"row of {n}": np.pad(np.ones((n, 20), bool), 5) for n in (1, 2, 3)},
    **{f"column of {n}": np.pad(np.ones((20, n), bool), 5) for n in (1, 2, 3)},
    **{f"diagonal of {n}": np.tri(24, k=n - 1) - np.tri(24, k=-1) > 0 for n in (1, 2, 3)},
    "point": np.pad(np.ones((1, 1), bool), 3),
    "corner": np.pad(np.ones((1, 1), bool), ((0, 5), (0, 5))),
    "ring": ring(15),
    "rings": ring(17) | ring(9) | ring(3),
    "checkerboard": np.indices((13, 17)).sum(axis=0) % 2 == 0,
    "full": np.ones((6, 7), bool),
}  # fmt: skip


@pytest.mark.parametrize("shape", THIN)
def test_polygons_keep_thin_things(shape):
    pixels = np.ascontiguousarray(THIN[shape])
    np.testing.assert_array_equal(filled(Mask.encode(pixels)), pixels)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    share=st.floats(0.02, 0.98),
)
def test_polygons_hold_every_pixel(seed, height, width, share):
    pixels = np.random.default_rng(seed).random((height, width)) < share
    pixels[seed % height, seed % width] = True
    np.testing.assert_array_equal(filled(Mask.encode(pixels)), pixels)
