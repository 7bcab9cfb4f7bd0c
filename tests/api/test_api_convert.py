"""`maskwright.convert`: the command's names, and the same files."""

from __future__ import annotations

import inspect

import pytest
import small_sets

import maskwright
from maskwright.cli.convert import convert as command
from maskwright.core.errors import ConfigError

RENAMED = {"source": "src", "out": "dst"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("convert") / "set"
    return small_sets.mask_folder(root, {"train": 2, "val": 1}, ["grass", "line", "ball"])


def test_a_path_and_a_set_that_was_read_give_the_same(data, tmp_path):
    notes = []
    one = maskwright.convert(data, tmp_path / "one", "coco", polygons=True, note=notes.append)
    two = maskwright.convert(maskwright.read(data), tmp_path / "two", to="coco", polygons=True)
    assert one.images == two.images == {"train": 2, "val": 1}
    assert one.losses == two.losses
    assert any("index_masks" in note for note in notes)
    files = {file.relative_to(one.out) for file in one.out.rglob("*") if file.is_file()}
    assert {file.name for file in files} >= {"losses.csv"}
    for file in files - {next(f for f in files if f.name == "conversion.json")}:
        assert (one.out / file).read_bytes() == (two.out / file).read_bytes()


def test_options_reach_the_reader_and_the_writer(data, tmp_path):
    maskwright.convert(data, tmp_path / "yolo", "yolo_seg", vertices="edge", ignore=["line"])
    written = (tmp_path / "yolo" / "data.yaml").read_text()
    assert "vertices: edge" in written
    assert "line" not in written
    with pytest.raises(ConfigError, match="read before"):
        maskwright.convert(maskwright.read(data), tmp_path / "x", "coco", ignore=["line"])
    with pytest.raises(ConfigError, match="vertices is an option of"):
        maskwright.convert(data, tmp_path / "x", "coco", read_vertices="edge")
    assert not (tmp_path / "x").exists()


def test_names_and_defaults_are_the_commands():
    ours = inspect.signature(maskwright.convert).parameters
    for name, option in inspect.signature(command).parameters.items():
        one = ours[RENAMED.get(name, name)]
        if one.default is not inspect.Parameter.empty:
            assert (one.default or None) == (option.default or None), name
