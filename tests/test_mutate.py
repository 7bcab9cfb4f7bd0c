"""The script that makes mutants: what it changes, what it leaves, which tests it asks for."""

from __future__ import annotations

import ast

import mutate
from shared import ROOT

SOURCE = b'''"""A text of 1."""
def scale(value: int = 3) -> float:
    """Not 2."""
    if value < 4 and value:
        raise ValueError(f"not {value + 1}")
    return value * 0.5
class Shown:
    def __repr__(self):
        return "1" + str(1 + 1)
'''


def test_faults_are_made_of_code_and_not_of_texts_and_types():
    changed = {one.apply(SOURCE).decode() for one in mutate.mutants_of(SOURCE, "x.py")}
    lines = {line for text in changed for line in text.splitlines()} - set(
        SOURCE.decode().splitlines()
    )
    assert lines == {
        "def scale(value: int = 4) -> float:",
        "    if (value < 4 or value):",
        "    if (value <= 4) and value:",
        "    if value < 5 and value:",
        "    return None",
        "    return (value / 0.5)",
        "    return value * 1.0",
    }


def test_a_seed_names_its_mutants_and_each_can_be_parsed():
    first = mutate.sample(60, 3)
    assert first == mutate.sample(200, 3)[:60] != mutate.sample(60, 4)
    for one in first:
        source = (mutate.PACKAGE / one.file).read_bytes()
        assert ast.dump(ast.parse(one.apply(source))) != ast.dump(ast.parse(source))
        assert one.key(source).count("\n") >= 2


def test_the_nearest_tests_come_first():
    tests = mutate.tests_for("metrics/ordering.py")
    assert tests[0] == "tests/metrics/test_ordering.py"
    assert all((ROOT / test).is_file() for test in tests)


def test_known_survivors_are_told_apart():
    rows = [{"status": "killed", "key": "a"}, {"status": "lived", "key": "b"}]
    found = mutate.summary(rows)
    assert (found["mutants"], found["killed"], found["lived"], found["explained"]) == (2, 1, 1, 0)
