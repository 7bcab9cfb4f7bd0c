"""Which functions of the package each test reaches: a plugin of pytest, for `tests/mutate.py`.

A copy of the package has one module more, which notes each function at its first call for a test.
Every process that imports the copy does so, those that a test starts included. What a fixture of
a module reaches counts for every test that asks for it, whichever of them came first.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

LOG, CONTEXT = "REACH_LOG", "REACH_CONTEXT"
"""Environment variables: the file that functions are noted in, and the test that runs."""

# Becomes maskwright/_reach.py. It writes at once, as processes are also killed and forked; a line
# is short, and appending it is one write that no other process can divide.
_WATCH = """
import os, sys, threading

HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
context = os.environ.get("REACH_CONTEXT", "")
log = os.open(os.environ["REACH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
seen = set()

def note(frame, event, argument):
    if seen is None:  # the interpreter ends, and its modules are cleared
        return
    code = frame.f_code
    key = (context, code)
    if key not in seen:
        seen.add(key)
        if code.co_filename.startswith(HERE):
            place = code.co_filename[len(HERE):] + "\\t" + code.co_qualname
            os.write(log, f"{context}\\t{place}\\n".encode())

threading.settrace(note)
sys.settrace(note)
"""


def watched_copy(package: Path, folder: Path) -> Path:
    """A copy of the package that notes what is called; gives the folder for PYTHONPATH."""
    copy = folder / "watched"
    shutil.copytree(package, copy / package.name)
    (copy / package.name / "_reach.py").write_text(_WATCH)
    root = copy / package.name / "__init__.py"
    root.write_text(
        root.read_text().replace(
            "\nimport importlib\n", f"\nimport importlib\nimport {package.name}._reach\n", 1
        )
    )
    return copy


# --- what pytest calls ------------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Name the test; note how long it takes, and which fixtures it asks for."""
    _append({"test": item.nodeid, "fixtures": _wide_fixtures(item)})
    with _Within(item.nodeid):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """What a fixture of many tests reaches is noted under its own name."""
    if fixturedef.scope == "function":
        yield
    else:
        with _Within(_fixture_name(fixturedef)):
            yield


def pytest_runtest_logreport(report):
    """Every phase counts: what a test waits for, too."""
    if not hasattr(report, "node") or "PYTEST_XDIST_WORKER" in os.environ:
        _append({"test": report.nodeid, "seconds": report.duration})


class _Within:
    """What is called within it is noted under a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.before = os.environ.get(CONTEXT, "")
        self._set(self.name)

    def __exit__(self, *error: object) -> None:
        self._set(self.before)

    @staticmethod
    def _set(name: str) -> None:
        os.environ[CONTEXT] = name
        if watch := sys.modules.get("maskwright._reach"):
            watch.context = name


def _wide_fixtures(item) -> list[str]:
    info = getattr(item, "_fixtureinfo", None)
    found = info.name2fixturedefs if info else {}
    return [
        _fixture_name(own) for defs in found.values() for own in defs if own.scope != "function"
    ]


def _fixture_name(fixturedef) -> str:
    return f"fixture {fixturedef.baseid}::{fixturedef.argname}"


def _append(row: dict) -> None:
    with Path(os.environ[LOG] + ".tests").open("a") as file:
        file.write(json.dumps(row) + "\n")


# --- reading ----------------------------------------------------------------------------------


@dataclass
class Reach:
    """What was noted.

    Attributes:
        tests: (file below the package, function) -> the tests that reach it.
        seconds: of each test, its own fixtures included.
    """

    tests: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def to_dict(self) -> dict:
        """Plain data for JSON: the tests once, and their numbers for each function."""
        names = sorted(self.seconds)
        number = {name: place for place, name in enumerate(names)}
        return {
            "tests": [[name, round(self.seconds[name], 3)] for name in names],
            "reached": {
                "\t".join(place): sorted(number[test] for test in found if test in number)
                for place, found in sorted(self.tests.items())
            },
        }

    @classmethod
    def from_dict(cls, plain: dict) -> Reach:
        """The other way."""
        names = [name for name, _ in plain["tests"]]
        reach = cls(seconds=defaultdict(float, plain["tests"]))
        for place, found in plain["reached"].items():
            file, function = place.split("\t")
            reach.tests[file, function] = {names[number] for number in found}
        return reach


def read_reach(log: Path) -> Reach:
    """Join what the processes noted."""
    reach, users = Reach(), defaultdict(set)
    for line in Path(f"{log}.tests").read_text().splitlines():
        row = json.loads(line)
        reach.seconds[row["test"]] += row.get("seconds", 0.0)
        for name in row.get("fixtures", ()):
            users[name].add(row["test"])
    for line in log.read_text().splitlines():
        context, file, function = line.split("\t")
        # what stands within a function and has no name of its own is the function's
        place = file, function.split(".<locals>.<")[0]
        reach.tests[place] |= users[context] if context.startswith("fixture ") else {context}
    return reach
