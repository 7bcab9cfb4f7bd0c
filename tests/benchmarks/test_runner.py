"""One runner tells command, date, machine and load of every measurement, the same way."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys

import pytest
from shared import ROOT

from benchmarks import run
from benchmarks.alone import alone, height_width
from maskwright.core.errors import ConfigError
from maskwright.core.machine import describe_machine


class Waits:
    """A measurement that does nothing but see when it is called."""

    loads = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])

    def __init__(self, monkeypatch):
        self.told = list(self.loads)
        monkeypatch.setattr(run, "load", lambda name: self)
        monkeypatch.setattr(run, "load_average", lambda: self.told.pop(0))

    def arguments(self, parser):
        parser.add_argument("--rounds", type=int, default=3)

    def measure(self, options):
        assert self.told == [self.loads[1]]  # the load before is read before, the one after after
        if options.rounds < 1:
            raise ConfigError(f"expected a round, got {options.rounds}.")
        return {"threads": 1, "rounds": options.rounds}


def test_a_record_names_command_date_machine_and_load(tmp_path, monkeypatch, capsys):
    Waits(monkeypatch)
    for name in run.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "some folder" / "startup.json"
    started = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    assert run.main(["startup", "--rounds", "7", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["command"] == (
        "OMP_NUM_THREADS=1 python -m benchmarks startup --rounds 7 --out startup.json"
    )
    assert started <= datetime.datetime.fromisoformat(found["date"])
    assert found["machine"] == describe_machine()
    assert found["load_average"] == {"before": [1.0, 2.0, 3.0], "after": [4.0, 5.0, 6.0]}
    assert (found["threads"], found["rounds"]) == (1, 7)
    assert f"wrote {out}" in capsys.readouterr().out


def test_a_section_leaves_the_others(tmp_path, monkeypatch):
    out = tmp_path / "found.json"
    out.write_text('{"earlier": 1, "mine": 2}')
    Waits(monkeypatch)
    assert run.main(["robot", "--section", "mine", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["earlier"] == 1
    assert found["mine"]["rounds"] == 3


def test_folders_of_this_machine_are_not_told(monkeypatch):
    for name in run.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    words = ["robot", "/home/me/a b.mask", "runs/x.mask", "--out=/tmp/x/robot.json", "--pin", "1"]
    assert run.command_line(words) == (
        "python -m benchmarks robot 'a b.mask' runs/x.mask --out=robot.json --pin 1"
    )


def test_a_users_mistake_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys):
    Waits(monkeypatch)
    out = tmp_path / "found.json"
    assert run.main(["robot", "--rounds", "0", "--out", str(out)]) == 2
    assert capsys.readouterr().err == "error: expected a round, got 0.\n"
    assert not out.exists()


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--help"], 0), (["robots"], 2)])
def test_what_can_be_measured_is_listed(words, code, capsys):
    assert run.main(words) == code
    told = capsys.readouterr()
    text = told.err if code else told.out
    assert all(f"\n  {name} " in text for name in run.MEASUREMENTS)
    assert ("got 'robots'" in text) == bool(code)


@pytest.mark.parametrize("name", run.MEASUREMENTS)
def test_every_measurement_has_its_options_and_its_file(name):
    module = run.load(name)
    parser = run.parser_of(name, module)
    assert module.__doc__
    assert f"`python -m benchmarks {name}" in module.__doc__
    assert callable(module.measure)
    told = parser.format_help()
    assert "--out" in told
    assert "--section" in told
    out = next(action.default for action in parser._actions if action.dest == "out")
    assert out == ROOT / "benchmarks" / "results" / f"{name}.json"


def test_the_documents_name_measurements_that_are_there():
    told = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert "maskwright.benchmarks." not in text, page
        told |= set(re.findall(r"python -m benchmarks ([\w-]+)", text))
    assert told
    assert told <= set(run.MEASUREMENTS)


def test_the_module_runs_from_the_root():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "refinement" in done.stdout


def test_sizes_are_read_height_first():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=height_width)
    assert parser.parse_args(["--size", "360x480"]).size == (360, 480)
    for wrong in ("360", "axb", "1x2x3"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--size", wrong])


def test_a_function_is_answered_by_another_process():
    assert alone(os.getpid) != os.getpid()
    with pytest.raises(ValueError, match="invalid literal"):
        alone(int, "x")
    with pytest.raises(ConfigError, match="expected an answer of abort, but its process ended"):
        alone(os.abort)


def test_the_machine_is_told_as_it_was_before(tmp_path, monkeypatch):
    """A measurement may keep its process to one core."""
    seen = []
    monkeypatch.setattr(run, "describe_machine", lambda: {"measured": list(seen)})

    class Keeps(Waits):
        def measure(self, options):
            seen.append(1)
            return {"threads": 1}

    Keeps(monkeypatch)
    assert run.main(["robot", "--out", str(tmp_path / "found.json")]) == 0
    assert json.loads((tmp_path / "found.json").read_text())["machine"] == {"measured": []}
