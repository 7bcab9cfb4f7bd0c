"""`compare_models` on a small set: what it keeps, how it goes on, what it refuses."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import small_sets
from hypothesis import given
from hypothesis import strategies as st

from maskwright.architectures import ARCHITECTURES
from maskwright.architectures.encoders.imagenet import PACKAGES
from maskwright.benchmarks import ComparisonRow, answers, compare_models, pareto, pareto_names
from maskwright.benchmarks.candidates import (
    SMALL,
    SMALL_BOXES,
    SMALL_JOINT,
    SMALL_OBJECTS,
    find_candidates,
    trial_config,
)
from maskwright.benchmarks.comparison import FILE, Comparison
from maskwright.benchmarks.comparison_report import at_speeds, best_within
from maskwright.benchmarks.trial import Trial, run_trial
from maskwright.core.errors import ConfigError, MaskwrightError
from maskwright.jobs.turns import Timings
from maskwright.report import render
from maskwright.training import rehearsal
from maskwright.training.preflight import DoesNotFitError

QUICK = {"batch": 4, "workers": 0, "precision": "fp32"}
NAMES = ("grass", "line", "ball")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("compare") / "set"
    return small_sets.mask_folder(root, {"train": 8, "val": 3, "test": 2}, list(NAMES))


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """Two that learn, and one that can't: its batch norm sees one value a channel."""
    out, told = tmp_path_factory.mktemp("compared"), []
    result = compare_models(
        data,
        ["sliding-window", "pspnet-lite0", "fully-connected"],
        out,
        budget=0.5,
        size=(32, 32),
        threads=1,
        answer_threads=1,
        rounds=1,
        changes={**QUICK, "batch": 1},
        note=told.append,
    )
    return out, result, told


def test_one_failure_stops_nothing(compared):
    _, result, told = compared
    rows = result.rows
    assert "too small" in rows["pspnet-lite0"].error
    assert rows["pspnet-lite0"].score is None
    for name in ("sliding-window", "fully-connected"):
        row = rows[name]
        assert not row.error
        assert 0 <= row.score <= 1
        assert row.best_ms > 0 < row.basic_ms
        assert row.peak_mib > 20
        assert set(row.of_classes) == set(row.test_of_classes) == set(NAMES)
        assert row.interval[0] <= row.best_score <= row.interval[1]
        assert row.steps >= 1
        # after a few steps many pixels are near ties, which bf16's 8 bits decide another way; a
        # network that isn't the same agrees on a third
        assert row.agreement > (0.9 if "bf16" in row.best else 0.999)
    assert any("pspnet-lite0: " in line for line in told)


def test_a_row_tells_its_network(compared):
    _, result, _ = compared
    network = ARCHITECTURES["sliding-window"]
    built = network.network(replace(network.config, classes=3))
    assert result.rows["sliding-window"].parameters == sum(p.numel() for p in built.parameters())


def test_the_record_on_disk_is_the_result(compared):
    out, result, _ = compared
    record = json.loads((out / FILE).read_text())
    assert record == json.loads(json.dumps(result.to_dict()))
    assert record["settings"]["data"] == "set"
    assert record["settings"]["budget_of"] == "steps"
    assert {"date", "processor", "command"} <= set(record["training"])
    assert record["timing"]["threads"] == 1
    page = (out / "report.html").read_text()
    assert "sliding-window" in page
    assert "What failed" in page


def test_the_same_command_goes_on_with_what_is_missing(compared, data):
    out, result, _ = compared
    before = (out / "runs" / "fully-connected" / "result.json").stat().st_mtime_ns
    told = []
    again = compare_models(
        data, ["sliding-window", "fully-connected", "fcn8s-lite0"], out, budget=0.5, size=(32, 32),
        threads=1, rounds=0, changes={**QUICK, "batch": 1}, note=told.append,
    )  # fmt: skip
    assert (out / "runs" / "fully-connected" / "result.json").stat().st_mtime_ns == before
    assert again.rows["fully-connected"] == result.rows["fully-connected"]
    assert [line.split()[1] for line in told] == ["fcn8s-lite0:"] * 2
    with pytest.raises(ConfigError, match=r"budget 0\.5, but got 2"):
        compare_models(data, ["unet-small"], out, budget=2.0, size=(32, 32), threads=1,
                       changes={**QUICK, "batch": 1})  # fmt: skip


def test_an_ended_trial_goes_on(data, tmp_path):
    """The one that started it is killed: the trial ends with its state and is taken up again."""
    config = replace(
        trial_config("unet-small", (32, 32), 1.0, {**QUICK, "threads": 1}), budget=None, steps=400
    )
    told = json.dumps(config.to_dict())
    code = (
        "import json, pathlib, sys\n"
        "from maskwright.benchmarks.trial import Trial\n"
        "from maskwright.training import TrainConfig\n"
        "folder, data, told = sys.argv[1:]\n"
        "Trial(pathlib.Path(folder), pathlib.Path(data),"
        " TrainConfig.from_dict(json.loads(told))).result()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, tmp_path, data, told])
    log = tmp_path / "log"
    _until(lambda: log.exists() and "step 20/400" in log.read_text())
    parent.kill()
    parent.wait()
    _until(lambda: "to go on, run" in log.read_text())
    assert not (tmp_path / "result.json").exists()
    result = Trial(tmp_path, data, config).result()
    assert result.steps == 400
    assert "resumed after step" in log.read_text()
    # as one that was never ended
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run_trial(whole, data, config).score == result.score


def test_side_by_side(data, tmp_path):
    """Two at a time: in the end all that one at a time gives; each has its share of the memory."""
    settings = {"size": (32, 32), "threads": 1, "rounds": 0, "changes": QUICK, "budget": 0.5}
    names, told = ["sliding-window", "fully-connected", "unet-small"], []
    result = compare_models(data, names, tmp_path, jobs=2, note=told.append, **settings)
    begun = [line.endswith("min") for line in told]
    assert begun[:3] == [True, True, False]  # two begin before one has ended
    assert sorted(begun) == [False] * 3 + [True] * 3
    assert set(result.rows) == set(names)
    assert all(row.jobs == 2 and row.score is not None for row in result.rows.values())
    with pytest.raises(ConfigError, match="at least one job, got 0"):
        compare_models(data, names, tmp_path, jobs=0, **settings)
    with pytest.raises(ConfigError, match=r"rounds of 0 \(not timed\) or more, got -1"):
        compare_models(data, names, tmp_path, **settings | {"rounds": -1})


def test_an_interrupt_ends_all_that_are_under_way(data, tmp_path):
    code = (
        "import sys\n"
        "from maskwright.benchmarks import compare_models\n"
        "compare_models(sys.argv[1], ['unet-small', 'fully-connected'], sys.argv[2], jobs=2,"
        " budget=600, size=(32, 32), threads=1, changes={'batch': 4, 'workers': 0,"
        " 'precision': 'fp32'})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, data, tmp_path], stderr=subprocess.PIPE)
    logs = [tmp_path / "runs" / name / "log" for name in ("unet-small", "fully-connected")]
    _until(lambda: all(log.exists() and "step 20/" in log.read_text() for log in logs))
    parent.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in parent.communicate()[1].decode()
    for log in logs:
        assert "to go on, run" in log.read_text()


def test_a_trial_is_refused_what_is_beyond_its_share(data, tmp_path):
    config = trial_config("unet-small", (32, 32), 0.5, {**QUICK, "threads": 1})
    with pytest.raises(MaskwrightError, match=r"but 0\.0 GiB are free"):
        Trial(tmp_path, data, config, memory=2**20).result()


def test_a_batch_that_memory_does_not_hold_is_taken_in_parts(data, tmp_path, monkeypatch):
    config = trial_config("unet-small", (32, 32), 0.5, {**QUICK, "threads": 1})
    asked = []

    def check(estimate, settings, device):
        asked.append((settings.batch, settings.accumulate))
        if settings.batch > 1:
            raise DoesNotFitError("too much")

    monkeypatch.setattr(rehearsal, "refuse_what_does_not_fit", check)
    assert run_trial(tmp_path, data, config).batch == 1
    assert asked == [(4, 1), (2, 2), (1, 4)]
    monkeypatch.setattr(rehearsal, "refuse_what_does_not_fit", _refuse)
    with pytest.raises(DoesNotFitError):
        run_trial(tmp_path / "other", data, config)


def _refuse(*_: object) -> None:
    raise DoesNotFitError("too much")


def _until(happens, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_last_words_of_one_that_the_system_killed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", _script(tmp_path / "killed", "kill -9 $$"))
    config = trial_config("unet-small", (32, 32), 1.0, QUICK)
    with pytest.raises(MaskwrightError, match="memory ran out"):
        Trial(tmp_path, data, config).result()
    monkeypatch.setattr(sys, "executable", _script(tmp_path / "segv", "kill -SEGV $$"))
    with pytest.raises(MaskwrightError, match=f"signal {int(signal.SIGSEGV)} ended it"):
        Trial(tmp_path, data, config).result()


def _script(path: Path, line: str) -> str:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


def test_small_names_a_variant_of_each_family_that_exists():
    every = {
        "small": SMALL,
        "small-objects": SMALL_OBJECTS,
        "small-boxes": SMALL_BOXES,
        "small-joint": SMALL_JOINT,
    }
    for group, names in every.items():
        assert find_candidates([group]) == names
        assert set(names) <= set(ARCHITECTURES)
    group_of = {("semantic",): SMALL, ("instances",): SMALL_OBJECTS, ("boxes",): SMALL_BOXES}
    papers = {
        (entry.card.title, group_of.get(entry.card.tasks, SMALL_JOINT))
        for entry in ARCHITECTURES.values()
    }
    for names in every.values():
        own = {title for title, group in papers if group == names}
        assert {ARCHITECTURES[name].card.title for name in names} == own


def test_candidates():
    assert find_candidates(["small"]) == SMALL
    assert find_candidates(["unet", "unet", "caa-b0"]) == ("unet", "caa-b0")
    with pytest.raises(ConfigError, match="got none"):
        find_candidates([])
    with pytest.raises(ConfigError, match="did you mean unet"):
        find_candidates(["unett"])


@pytest.mark.parametrize("name", SMALL)
def test_only_installed_weights_are_begun_with(name):
    config = trial_config(name, (64, 64), 60.0, {})
    encoder = getattr(ARCHITECTURES[name].config, "encoder", None)
    assert config.options == ({"pretrained": True} if encoder in PACKAGES else {})


def test_settings_of_all():
    config = trial_config("unet-lite0", (64, 64), 60.0, {"lr": 0.5, "augmentation.flip": 0})
    assert (config.lr, config.augmentation.flip, config.augmentation.scale) == (0.5, 0, (0.6, 2.0))
    with pytest.raises(ConfigError, match="expected a setting that all models share, got 'width'"):
        trial_config("unet-lite0", (64, 64), 60.0, {"width": 3})


rows = st.lists(
    st.builds(
        ComparisonRow,
        name=st.uuids().map(str),
        score=st.none() | st.integers(0, 8).map(lambda i: i / 8),
        best_ms=st.none() | st.integers(1, 8).map(float),
    ),
    max_size=24,
)


@given(rows)
def test_the_pareto_set_is_what_none_beats(rows):
    known = [row for row in rows if row.score is not None and row.best_ms is not None]
    beaten = {
        row.name
        for row, other in itertools.permutations(known, 2)
        if other.score >= row.score
        and other.best_ms <= row.best_ms
        and (other.score > row.score or other.best_ms < row.best_ms)
    }
    front = pareto(rows, most=len(rows))
    # of those that are equal in both, one stands for all
    points = {(row.score, row.best_ms) for row in known if row.name not in beaten}
    assert {(row.score, row.best_ms) for row in front} == points
    assert len(front) == len(points)
    assert [row.best_ms for row in front] == sorted(row.best_ms for row in front)
    few = pareto(rows, most=3)
    assert few == front if len(front) <= 3 else len(few) == 3
    if front:
        assert (few[0], few[-1]) == (front[0], front[-1])
    for fps in (130, 1000):
        fast = [row.score for row in known if row.best_ms <= 1000 / fps]
        best = best_within(rows, fps)
        if best is not None and best.score is not None:
            assert best.score == max(fast)
        else:
            assert not fast


def test_records_that_knew_class_maps_only_are_read():
    row = ComparisonRow.from_dict(
        {"name": "unet", "miou": 0.5, "pixel_accuracy": 0.9, "iou": {"a": 0.5}, "best_miou": 0.4,
         "test_miou": 0.3, "test_iou": {"a": 0.2}, "interval": [0.3, 0.5]}
    )  # fmt: skip
    assert (row.headline, row.score, row.best_score, row.test_score) == ("mIoU", 0.5, 0.4, 0.3)
    assert row.numbers == {"mIoU": 0.5, "pixel accuracy": 0.9}
    assert (row.of_classes, row.test_of_classes) == ({"a": 0.5}, {"a": 0.2})
    assert row.interval == (0.3, 0.5)


class Way(SimpleNamespace):
    """A way to run a model, as a row of latencies tells it."""


def timed(monkeypatch, **turns_ms):
    """`_fastest_way` where each way takes these times, turn by turn, again and again."""
    ways = [
        Way(name=name, precision="bf16" if "bf16" in name else "f32", median_ms=times[0],
            runtime="x", threads=1)
        for name, times in turns_ms.items()
    ]  # fmt: skip

    def take_turns(predictors, _, rounds, settled):
        asked, timings = 0, {}
        while asked == 0 or (not settled(timings) and asked < 5):
            asked += 1
            timings = {
                place: Timings(network_ms=[ms for ms in turns_ms[way.name] * rounds * asked
                                           for _ in range(3)])
                for place, way in predictors.items()
            }  # fmt: skip
        return timings

    monkeypatch.setattr(answers, "_shipped", lambda _, way: way)
    monkeypatch.setattr(answers, "take_turns", take_turns)
    return answers._fastest_way(None, ways, [], 4)


def test_ways_that_are_near_each_other_are_told_apart_in_turns(monkeypatch):
    slow, quick = [10.0, 20.0], [9.0, 18.0]  # the machine slows down every other turn
    way, unsure = timed(monkeypatch, ort=slow, openvino=quick)
    assert (way.name, unsure) == ("openvino", "")
    way, unsure = timed(monkeypatch, openvino_bf16=[10.0], openvino=[10.2])
    assert (way.name, unsure) == ("openvino", "")  # as fast, and exact
    way, unsure = timed(monkeypatch, ort=[10.0, 14.0], openvino=[10.5, 12.0])
    assert "too busy to tell whether" in unsure
    way, unsure = timed(monkeypatch, ort=[10.0], openvino=[30.0])
    assert (way.name, unsure) == ("ort", "")


def test_a_network_at_the_edge_of_a_speed_is_told():
    row = ComparisonRow(name="unet", score=0.5, best_ms=9.9, best_span=(9.0, 11.0), best="x")
    fastest = at_speeds([row]).rows
    assert [cells[1] for cells in fastest] == ["unet", "unet", "unet (unsure: 9.0 to 11.0 ms)"]


def test_an_earlier_comparison_names_its_pareto_set(compared, tmp_path):
    out, result, _ = compared
    names = [row.name for row in pareto(list(result.rows.values()))]
    assert names
    assert pareto_names(out) == pareto_names(out / FILE) == names
    with pytest.raises(ConfigError, match="expected a comparison in"):
        pareto_names(tmp_path)
    (tmp_path / FILE).write_text('{"rows": [{"name": 3, "colour": 4}]}')
    with pytest.raises(ConfigError, match="can't be read"):
        pareto_names(tmp_path)
    empty = Comparison(tmp_path / "new", {"data": "set", "budget": 1})
    empty.keep(ComparisonRow(name="unet", score=0.5))
    with pytest.raises(ConfigError, match="got none of 1"):
        pareto_names(tmp_path / "new")


def test_a_page_without_any_result(tmp_path):
    comparison = Comparison(tmp_path, {"data": "set", "budget": 60.0})
    comparison.keep(ComparisonRow(name="unet", error="no <luck>"))
    page = render(comparison.report())
    assert "None has been trained." in page
    assert "no &lt;luck&gt;" in page
