"""What holds of every accumulator: any split of the images over processes gives the same digits."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from drawn_maps import CLASSES, map_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core.errors import ConfigError
from maskwright.metrics import (
    BoundaryF,
    BoundaryIou,
    ConfusionMatrix,
    Stability,
    ThinIou,
    boundary_matches,
    boundary_overlaps,
    confusion_matrix,
    thin_overlaps,
)

KINDS = {
    ConfusionMatrix: confusion_matrix,
    BoundaryIou: boundary_overlaps,
    BoundaryF: boundary_matches,
    ThinIou: thin_overlaps,
}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def counted(kind, pairs):
    counts = kind(CLASSES)
    for truth, prediction in pairs:
        counts.update(truth, prediction)
    return counts


@each_kind
@settings(deadline=None, max_examples=30)
@given(st.lists(map_pairs(most=8), max_size=4), st.integers(0, 4))
def test_merging_is_counting_all_at_once(kind, pairs, at):
    whole = counted(kind, pairs)
    first, second = counted(kind, pairs[:at]), counted(kind, pairs[at:])
    before = first.counts.copy()
    for total in (first + second, second + first, sum([first, second])):
        np.testing.assert_array_equal(total.counts, whole.counts)
        assert repr(total.scores()) == repr(whole.scores())
    np.testing.assert_array_equal(first.counts, before)  # adding leaves its parts alone
    first.merge(pickle.loads(pickle.dumps(second)))
    np.testing.assert_array_equal(first.counts, whole.counts)
    one_by_one = sum(KINDS[kind](*pair, CLASSES) for pair in pairs)
    np.testing.assert_array_equal(whole.counts, one_by_one + np.zeros_like(whole.counts))


@each_kind
def test_bad_images_change_nothing(kind):
    counts = kind(2)
    ids = np.zeros((3, 3), np.uint8)
    with pytest.raises(Exception, match="ids 9"):
        counts.update(ids + 9, ids)
    assert not counts.counts.any()


@each_kind
def test_settings_are_told_at_once(kind):
    with pytest.raises(ConfigError, match="void id 1"):
        kind(2, void=1)
    with pytest.raises(ConfigError, match="got -1"):
        kind(-1)
    if kind is not ConfusionMatrix:
        with pytest.raises(ConfigError, match=r"got \[2\]"):
            kind(2, ignore=(2,))


@each_kind
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_images_without_pixels_count_nothing(kind, shape):
    counts = kind(2)
    counts.update(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
    assert not counts.counts.any()


@each_kind
@given(map_pairs(most=8))
def test_more_classes_than_a_byte_holds(kind, pair):
    """The same maps with ids far apart, in a wider type: the same counts in other rows."""
    wide = [np.where(ids < CLASSES, ids.astype(np.int32) * 140, 999) for ids in pair]
    far = np.where(pair[0] == 255, 65535, wide[0]), wide[1]
    narrow, broad = KINDS[kind](*pair, CLASSES), KINDS[kind](*far, 300, void=65535)
    if kind is ConfusionMatrix:
        np.testing.assert_array_equal(broad[::140][:, [0, 140, 280, 300]], narrow)
    else:
        np.testing.assert_array_equal(broad[::140], narrow)
    assert broad.sum() == narrow.sum()


@each_kind
@pytest.mark.parametrize("classes", [254, 255, 256, 257])
def test_as_many_classes_as_a_byte_just_holds(kind, classes):
    truth = np.full((4, 6), classes - 1, np.uint16)
    truth[:, 3:] = 0
    for id_ in (classes - 1, 0):
        counted = KINDS[kind](truth, truth, classes, void=65535)[id_]
        assert kind is ThinIou or counted.any()
    thin = thin_overlaps(truth, truth, classes, void=65535, regions=np.ones((4, 6), np.bool_))
    assert thin[[0, classes - 1]].tolist() == [[12, 12, 12]] * 2
    assert thin.sum() == 72


def test_a_sum_shares_nothing_with_its_parts():
    one = counted(BoundaryIou, [])
    alone = sum([one])
    alone.update(np.ones((3, 3), np.uint8), np.ones((3, 3), np.uint8))
    assert not one.counts.any()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ConfusionMatrix(2), ConfusionMatrix(3)),
        (ConfusionMatrix(2), ConfusionMatrix(2, void=7)),
        (BoundaryIou(2), BoundaryIou(2, ratio=0.01)),
        (BoundaryIou(2), ThinIou(2)),
        (ThinIou(2), ThinIou(2, radius=4)),
        (BoundaryF(2), BoundaryF(2, pixels=3)),
        (BoundaryF(2), BoundaryF(2, ignore=(1,))),
        (Stability(), Stability(sigma=3.0)),
    ],
)
def test_what_does_not_belong_together_is_told_apart(first, second):
    before = copy.deepcopy(first.counts)
    with pytest.raises(ConfigError, match=r"can't merge counts of .*\(.*\) into counts of"):
        first.merge(second)
    with pytest.raises(ConfigError, match="same settings"):
        first + second
    np.testing.assert_array_equal(first.counts, before)


def test_adding_something_else_is_a_type_error():
    with pytest.raises(TypeError):
        ConfusionMatrix(2) + 1
    with pytest.raises(TypeError):
        1 + ConfusionMatrix(2)
