"""The cost of tiles is told in full, by processes without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from shared import ROOT

from benchmarks.run import main
from benchmarks.tiling import export_random, large_picture, measure_files, measure_tiling
from maskwright.core.errors import ConfigError
from maskwright.core.image import read_index_png, write_image
from maskwright.runtimes import bundled


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiling") / "random.mask"
    export_random("bisenetv2", path, 4, (64, 96))
    return path


def test_a_row_adds_up(bundle):
    row = measure_tiling(bundle, (200, 300), overlap=0.5, threads=1)
    assert (row["size"], row["tile"], row["classes"]) == ([200, 300], [64, 96], 4)
    assert row["tiles"] == 6 * 6  # (200 - 64) / 32 = 4.25 and (300 - 96) / 48 = 4.25 steps
    assert row["ms_per_tile"] == pytest.approx(1000 * row["seconds"] / 36, rel=0.1)
    assert sum(row["steps_s"].values()) == pytest.approx(row["seconds"], rel=0.1, abs=0.02)
    assert 0 < row["beside_the_network"] < 1
    held = row["process_mib"] + row["image_mib"] + row["class_map_mib"]
    assert row["peak_mib"] == pytest.approx(held + row["beyond_mib"], abs=0.3)
    assert json.loads(json.dumps(row)) == row


def test_a_bundle_without_probabilities_is_refused():
    with pytest.raises(ConfigError, match=r"pitch\.mask without"):
        measure_tiling(bundled(), (64, 64))


def test_the_way_through_files(tmp_path):
    picture = large_picture((150, 220))
    assert picture.std() > 40
    write_image(tmp_path / "photo.png", picture)
    row = measure_files(tmp_path / "photo.png", tmp_path / "out", tile=(64, 64), classes=5)
    assert row["seconds"] == pytest.approx(
        row["read_s"] + row["predict_s"] + row["write_s"], abs=0.03
    )
    ids = read_index_png(tmp_path / "out" / "masks" / "photo.png")
    np.testing.assert_array_equal(ids, picture[..., 0] // 52)


def test_the_command_measures_both_ways(tmp_path):
    out = tmp_path / "tiling.json"
    arguments = ["--model", "bisenetv2", "--size", "100x150", "--tile", "64x64", "--classes", "3"]
    assert main(["tiling", *arguments, "--threads", "1", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found["model"], found["threads"]) == ("bisenetv2", 1)
    assert found["blended"]["torch"] is False
    assert found["blended"]["tiles"] == 2 * 3
    assert found["files"]["peak_mib"] > 0


def test_the_module_needs_no_torch():
    program = "import sys, benchmarks.tiling; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
