"""`maskwright.export`: a room and a function, whichever is imported first."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
import small_sets
from commands import run_commands
from PIL import Image

import maskwright
from maskwright.cli.export import export as command
from maskwright.core.errors import ConfigError

RENAMED = {"set_": "settings"}
ONLY_TYPED = {"record"}
"""In Python, `to_dict()` of what comes back is the record."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a set and of a run of a few steps on it."""
    folder = tmp_path_factory.mktemp("export_by_name")
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):  # a bright half and a dark one: learned in a few steps
            ids = np.zeros((32, 32), np.uint8)
            ids[:, 4 * (i + 2) :] = 1
            image = np.repeat((40 + 170 * ids)[..., None], 3, 2).astype(np.uint8)
            small_sets.save(folder / "set" / split / "images" / f"{split}{i}.png", image)
            (folder / "set" / split / "masks").mkdir(exist_ok=True)
            Image.fromarray(ids).save(folder / "set" / split / "masks" / f"{split}{i}.png")
    maskwright.train(
        folder / "set", "unet", out=folder / "run", width=4, levels=1, size=(32, 32), batch=2,
        steps=30, workers=0, threads=1, precision="fp32", evaluate_every=30, lr=0.02,
    )  # fmt: skip
    return folder


def test_a_bundle_answers_as_its_run(run):
    out = run / "plain.mask"
    report = maskwright.export(
        run / "run", images=run / "set/val/images", out=out, threads=1, count=1
    )
    assert (report.path, report.images, report.bytes_on_disk) == (out, 1, out.stat().st_size)
    assert repr(report).startswith(f"ExportReport({str(out)!r}, ")
    assert len(repr(report)) < 250
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["agreement"] == report.agreement
    assert f"{report.worst['onnxruntime']:.4%}" in report._repr_html_()
    of_run = maskwright.evaluate(run / "run", run / "set", threads=1)
    of_bundle = maskwright.evaluate(out, run / "set", threads=1)
    assert of_bundle.headline().value == pytest.approx(of_run.headline().value, abs=0.01)
    assert of_run.headline().value > 0.6
    [told] = run_commands(
        run, ["export", "run", "--images", "set/val/images", "--out", "typed.mask", "--threads",
              "1", "--count", "1"],
    )  # fmt: skip
    assert told.code == 0, told
    assert maskwright.load(run / "typed.mask", threads=1).card.resize == report.card.resize


def test_with_data_it_tells_of_the_precision_that_was_named(run):
    notes = []
    report = maskwright.export(
        run / "run", data=run / "set", out=run / "half.mask", precision="fp16", threads=1,
        max_drop=50, note=notes.append,
    )  # fmt: skip
    assert report.shipped.precision == "fp16"
    assert {figures.route.precision for figures in report.figures} == {"fp32", "fp16"}
    assert any("index_masks" in note for note in notes)
    assert report.path == run / "half.mask"
    assert "fp16 on " in repr(report)
    shown = report._repr_html_()
    for figures in report.figures:
        assert str(figures.route) in shown
        assert f"{figures.score:.4f}" in shown
    assert "PyTorch eager" in shown
    again = maskwright.load(run / "half.mask", threads=1)
    assert again.card.measured["precision"]["shipped"] == "fp16"


def test_what_makes_no_sense_is_refused_before_anything_is_written(run, tmp_path):
    photos, out = run / "set/val/images", tmp_path / "x.mask"
    for wrong, text in (
        ({}, "neither"),
        ({"images": photos, "data": run / "set"}, "both"),
        ({"images": photos, "precision": "int8"}, "labelled photos"),
        ({"images": photos, "count": 0}, "got 0"),
        ({"images": photos, "settings": {"iterations": 2}}, "postprocess"),
        ({"images": photos, "postprocess": "dense-crv"}, "dense-crf"),
    ):
        with pytest.raises(ConfigError, match=text):
            maskwright.export(run / "run", out=out, **wrong)
    with pytest.raises(ConfigError, match="best"):
        maskwright.export(run / "run", images=photos, out=run / "run" / "best.safetensors")
    assert not out.exists()


@pytest.mark.parametrize(
    "first",
    [
        "maskwright.export",
        "import maskwright.export.onnx",
        "from maskwright.export import export_checkpoint",
        "from maskwright import export",
    ],
)
def test_room_and_function_are_one_whatever_came_first(first):
    code = (
        f"import maskwright\n{first}\n"
        "import importlib, inspect, types\n"
        "export = maskwright.export\n"
        "assert export is importlib.import_module('maskwright.export')\n"
        "assert isinstance(export, types.ModuleType) and callable(export)\n"
        "from maskwright.export import ExportReport, onnx, by_name\n"
        "assert maskwright.export is export and export.onnx is onnx\n"
        "assert inspect.signature(export) == inspect.signature(by_name.export)\n"
        "try:\n    export('nothing')\n"
        "except maskwright.MaskwrightError as error:\n    assert 'neither' in str(error)\n"
        "else:\n    raise SystemExit('no error')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_and_defaults_are_the_commands():
    ours = inspect.signature(maskwright.export).parameters
    for name, option in inspect.signature(command).parameters.items():
        if name not in ONLY_TYPED:
            one = ours[RENAMED.get(name, name)]
            if one.default is not inspect.Parameter.empty:
                assert (one.default or None) == (option.default or None), name
