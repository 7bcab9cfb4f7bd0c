"""IDF1 and switches against their definitions, by trying every mapping."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core import Instance
from maskwright.metrics.identity import IdentityCounter


def at(place: int, number: int | None, class_id: int = 0, crowd: bool = False) -> Instance:
    """One of ten boxes side by side."""
    box = (10.0 * place, 0.0, 10.0 * place + 10, 10.0)
    return Instance(class_id=class_id, box_xyxy=box, track_id=number, crowd=crowd)


frames = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 3), st.integers(0, 2), max_size=3),
        st.dictionaries(st.integers(0, 3), st.integers(5, 7), max_size=3),
    ).filter(lambda pair: all(len(set(one.values())) == len(one) for one in pair)),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(frames)
def test_idf1_is_that_of_the_best_mapping(video):
    counter = IdentityCounter()
    for truth, found in video:
        counter.update(
            [at(place, number) for place, number in truth.items()],
            [at(place, number) for place, number in found.items()],
        )
    scores = counter.scores()
    objects = sum(len(truth) + len(found) for truth, found in video)
    best = 0
    for mapping in itertools.permutations((5, 6, 7)):
        hits = sum(
            mapping[number] == found.get(place)
            for truth, found in video
            for place, number in truth.items()
        )
        best = max(best, hits)
    assert (math.isnan(scores.idf1)) if not objects else scores.idf1 == 2 * best / objects
    last: dict[int, int] = {}
    switches = 0
    for truth, found in video:  # boxes overlap wholly or not at all: who is whom is plain
        for place, number in truth.items():
            if place in found:
                switches += last.get(number, found[place]) != found[place]
                last[number] = found[place]
    assert scores.switches == switches


def test_what_held_before_goes_before_the_better_overlap():
    counter = IdentityCounter()
    one = Instance(class_id=0, box_xyxy=(0, 0, 10, 10), track_id=1)
    counter.update([one], [Instance(class_id=0, box_xyxy=(0, 0, 10, 10), track_id=7)])
    near = Instance(class_id=0, box_xyxy=(0, 0, 10, 6), track_id=7)
    nearer = Instance(class_id=0, box_xyxy=(0, 0, 10, 9), track_id=8)
    counter.update([one], [nearer, near])
    assert counter.scores().switches == 0
    counter.update([one], [nearer])
    assert counter.scores().switches == 1


def test_videos_are_apart_and_classes_and_crowds_are_told():
    counter = IdentityCounter()
    counter.update([at(0, 1)], [at(0, 4)])
    counter.end_video()
    counter.update([at(0, 1)], [at(0, 5)])
    scores = counter.scores()
    assert (scores.idf1, scores.switches) == (1.0, 0)
    counter.update([at(1, 2, crowd=True), at(2, 3)], [at(2, 9, class_id=1), at(3, None)])
    scores = counter.scores()
    assert (scores.truths, scores.answers, scores.found) == (3, 4, 2)
    assert scores.idf1 == pytest.approx(4 / 7)
    assert np.isnan(IdentityCounter().scores().idf1)
