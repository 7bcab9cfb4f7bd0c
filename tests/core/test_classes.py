"""Class names, their colours and ids."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskwright.core.classes import BACKGROUND, Classes, distinct_colours
from maskwright.core.errors import ConfigError


def test_names_ids_and_length():
    classes = Classes.of(["field", "line", "ball"], things=[2])
    assert len(classes) == 3
    assert [classes.index(name) for name in classes.names] == [0, 1, 2]
    assert classes.things == {2}
    with pytest.raises(ConfigError, match=r"'goal'.*field, line, ball"):
        classes.index("goal")


def test_round_trip_through_json():
    classes = Classes.of(["a", "ü"], [(1, 2, 3), (255, 0, 9)], [1])
    assert Classes.from_dict(json.loads(json.dumps(classes.to_dict()))) == classes
    assert Classes.from_dict({"names": ["a", "b"]}) == Classes.of(["a", "b"])


@pytest.mark.parametrize(("count", "void"), [(1, 255), (255, 255), (256, 65535)])
def test_void_lies_outside_the_ids(count, void):
    assert Classes.of(str(i) for i in range(count)).void == void


def test_a_background_is_dark_and_the_others_keep_their_colours():
    first, second = distinct_colours(2)
    assert Classes.of(["a", "b"]).colours == (first, second)
    assert Classes.of(["a", "Background", "b"]).colours == (first, BACKGROUND, second)
    assert max(BACKGROUND) < 60


def test_colours_are_distinct_and_far_apart():
    colours = np.array(distinct_colours(20), int)
    apart = np.abs(colours[:, None] - colours[None]).sum(2) + 999 * np.eye(20)
    assert apart.min() >= 40
    assert colours.min() >= 0
    assert colours.max() <= 255
    assert distinct_colours(0) == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((["a", "b", "a"],), r"\['a'\]"),
        ((["a", "b"], [(1, 2, 3)]), "2 names, 1 colours"),
        ((["a"], [(1, 2)]), r"\(1, 2\)"),
        ((["a"], [None]), "got None"),
        ((["a"], [(1, 2, float("inf"))]), "inf"),
        ((["a"], [(1, 2, 256)]), r"'a'.*256"),
        ((["a"], [(-1, 2, 3)]), "-1"),
        ((["a"], None, [1]), r"\[1\]"),
        ((["a"], None, [-1]), r"\[-1\]"),
    ],
)
def test_contradictions_are_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        Classes.of(*arguments)
