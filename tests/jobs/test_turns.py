"""Paired turns: what is counted, the interval of a median, and when there are more of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.jobs import turns
from maskwright.jobs.turns import MORE_ROUNDS, Spread, Timings, paired_ratio, spread_of, take_turns


class Clocked:
    """A predictor whose answers take as long as it says, in seconds."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def predict(self, image):
        self.calls += 1
        spent = self.seconds[self.calls % len(self.seconds)]
        answer = type("Answer", (), {})()
        answer.times = {"read": 0.0, "network": spent}
        return answer


IMAGES = [np.zeros((2, 2, 3), np.uint8)]


def test_each_turn_has_three_timed_answers_and_one_before_them():
    one, other = Clocked(0.001, 0.002, 0.003, 0.009), Clocked(0.004)
    timings = take_turns({"a": one, "b": other}, IMAGES, 5)
    assert one.calls == other.calls == 5 * 4
    assert len(timings["a"].network_ms) == 15
    assert timings["b"].turns_ms() == pytest.approx((4.0,) * 5)
    assert timings["a"].turns_ms() == tuple(
        np.median(timings["a"].network_ms[3 * n : 3 * n + 3]) for n in range(5)
    )


def test_more_rounds_until_it_is_settled_but_not_for_ever():
    asked = []

    def settled(timings):
        asked.append(len(timings["a"].turns_ms()))
        return len(asked) == 3

    take_turns({"a": Clocked(0.001)}, IMAGES, 2, settled=settled)
    assert asked == [2, 4, 6]
    found = take_turns({"a": Clocked(0.001)}, IMAGES, 2, settled=lambda _: False)
    assert len(found["a"].turns_ms()) == 2 * (1 + MORE_ROUNDS)


@pytest.mark.parametrize(
    ("count", "edge"), [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (10, 1), (20, 5)]
)
def test_the_interval_of_a_median_is_the_sign_tests(count, edge):
    """The textbook's table: of 10 values the 2nd and 9th, of 20 the 6th and 15th."""
    found = spread_of(list(range(count)))
    assert (found.low, found.high) == (edge, count - 1 - edge)
    assert found.turns == count
    if count in (9, 10):  # all ways in which the values may lie about the true median
        inside = [edge < sum(signs) < count - edge for signs in product((0, 1), repeat=count)]
        assert np.mean(inside) >= 0.95
        tighter = [edge + 1 < sum(s) < count - edge - 1 for s in product((0, 1), repeat=count)]
        assert np.mean(tighter) < 0.95


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.floats(1, 3))
def test_what_slows_both_leaves_the_ratio(times, slower):
    found = paired_ratio([slower * each for each in times], times)
    assert found.low == pytest.approx(slower) == found.high
    spread = spread_of(times)
    assert spread.low <= spread.value <= spread.high
    assert spread.value == np.median(times)


def test_a_threshold_inside_the_interval_is_open():
    found = Spread(value=1.2, low=1.0, high=1.4, turns=10)
    assert [found.beyond(at) for at in (0.9, 1.2, 1.4)] == [True, None, False]


def test_timings_without_a_turn():
    assert Timings().turns_ms() == ()
    assert turns.ANSWERS_A_TURN == 3
