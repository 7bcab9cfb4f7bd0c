"""Panoptic merging against a pixel by pixel version, and PQ by the scorer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maskwright
from maskwright.core import Classes, Instance, Mask, Segmentation
from maskwright.core.errors import ConfigError, DataError
from maskwright.jobs import Scorer

CLASSES = Classes.of(["sky", "grass", "ball", "robot"], things=[2, 3])
SIZE = (12, 15)


def scene(seed: int, count: int, scores: list[float]) -> tuple[Segmentation, Segmentation]:
    chance = np.random.default_rng(seed)
    class_map = chance.integers(0, 4, SIZE).astype(np.uint8)
    class_map[chance.random(SIZE) < 0.1] = 255
    instances = []
    for number in range(count):
        top, left = chance.integers(0, 9, 2)
        pixels = np.zeros(SIZE, bool)
        pixels[top : top + chance.integers(1, 8), left : left + chance.integers(1, 8)] = True
        mask = Mask.encode(pixels)
        instances.append(
            Instance(
                class_id=int(chance.integers(2, 4)), box_xyxy=mask.box_xyxy, mask=mask,
                score=scores[number],
            )
        )  # fmt: skip
    return (
        Segmentation(size=SIZE, classes=CLASSES, semantic=class_map),
        Segmentation(size=SIZE, classes=CLASSES, instances=tuple(instances)),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.floats(0, 1), max_size=6, unique=True),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.1, 0.3]),
)
def test_every_pixel_is_as_loops_have_it(seed, scores, min_free, stuff_share):
    regions, objects = scene(seed, len(scores), scores)
    found = maskwright.merge_panoptic(
        regions, objects, min_score=0.3, min_free=min_free, stuff_share=stuff_share
    )
    wanted: dict[tuple[int, int], tuple[str, int]] = {}
    for number in sorted(range(len(scores)), key=lambda i: -scores[i]):
        one = objects.instances[number]
        pixels = [tuple(p) for p in np.argwhere(one.mask.decode()).tolist()]
        free = [p for p in pixels if p not in wanted]
        if scores[number] >= 0.3 and free and len(free) >= min_free * len(pixels):
            wanted |= dict.fromkeys(free, (f"object {number}", one.class_id))
    for class_id in (0, 1):
        own = [
            tuple(p)
            for p in np.argwhere(regions.semantic == class_id).tolist()
            if tuple(p) not in wanted
        ]
        if own and len(own) >= stuff_share * SIZE[0] * SIZE[1]:
            wanted |= dict.fromkeys(own, ("region", class_id))
    ids = found.panoptic.segment_ids
    pairs = set()
    for place in np.ndindex(SIZE):
        number = int(ids[place])
        assert (number == 0) == (place not in wanted)
        if number:
            name, class_id = wanted[place]
            assert found.panoptic.class_of[number] == class_id
            pairs.add((number, name, class_id))
    assert len(pairs) == len(found.panoptic.class_of) == len({one[0] for one in pairs})


def test_the_truth_taken_apart_scores_one():
    truth_map = np.zeros(SIZE, np.uint8)
    truth_map[6:] = 1
    pixels = np.zeros(SIZE, bool)
    pixels[3:8, 4:9] = True
    mask = Mask.encode(pixels)
    ball = Instance(class_id=2, box_xyxy=mask.box_xyxy, mask=mask, score=0.9)
    regions = Segmentation(size=SIZE, classes=CLASSES, semantic=truth_map)
    objects = Segmentation(size=SIZE, classes=CLASSES, instances=(ball,))
    merged = maskwright.merge_panoptic(regions, objects)
    scorer = Scorer(CLASSES, frozenset({"panoptic"}))
    scorer.update("x", merged, merged)
    assert scorer.scores().headline().value == 1.0
    assert sorted(merged.panoptic.class_of.values()) == [0, 1, 2]


def test_classes_are_the_same_by_name():
    regions = Segmentation(
        size=SIZE, classes=Classes.of(["grass", "sky"]), semantic=np.zeros(SIZE, np.uint8)
    )
    mask = Mask.encode(np.pad(np.ones((2, 2), bool), ((0, 10), (0, 13))))
    objects = Segmentation(
        size=SIZE,
        classes=Classes.of(["robot", "sky"]),
        instances=(Instance(class_id=0, box_xyxy=mask.box_xyxy, mask=mask, score=1.0),),
    )
    merged = maskwright.merge_panoptic(regions, objects)
    names = merged.classes.names
    told = {names[i] for i in merged.panoptic.class_of.values()}
    assert told == {"grass", "robot"}
    assert {names[i] for i in merged.classes.things} == {"robot"}


def test_what_can_not_be_merged_is_told():
    regions, objects = scene(0, 1, [0.9])
    with pytest.raises(DataError, match="class map"):
        maskwright.merge_panoptic(objects, objects)
    with pytest.raises(ConfigError, match="min_free"):
        maskwright.merge_panoptic(regions, objects, min_free=2)
    other = Segmentation(size=(3, 4), classes=CLASSES, instances=())
    with pytest.raises(DataError, match="sizes"):
        maskwright.merge_panoptic(regions, other)
    box = Instance(class_id=2, box_xyxy=(0, 0, 3, 3), score=0.9)
    boxes = Segmentation(size=SIZE, classes=CLASSES, instances=(box,))
    with pytest.raises(DataError, match="masks"):
        maskwright.merge_panoptic(regions, boxes)
