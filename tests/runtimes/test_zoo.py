"""The bundle that ships: small, licensed, and useful on scenes that it never saw."""

from __future__ import annotations

import pytest

from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.metrics import ConfusionMatrix
from maskwright.runtimes import BUNDLED, bundled, load, read_bundle
from maskwright.synthesis import PITCH_CLASSES, pitch_scene


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundle_that_ships_is_small_and_says_what_it_is(name):
    assert bundled(name).stat().st_size <= 2 * 2**20
    card = read_bundle(bundled(name)).card
    assert card.licence == "Apache-2.0"
    assert card.measured["test"]["miou"] > 0.5
    assert card.training["recipe"] == f"recipes/{name}.py"


def test_the_pitch_bundle_finds_what_it_names():
    model = load(bundled("pitch"), threads=1, runtime="onnxruntime")
    names = model.card.classes.names
    matrix = ConfusionMatrix(len(names))
    for seed in range(910_000, 910_008):
        scene = pitch_scene(seed, (240, 320))
        truth = scene.read_truth().semantic
        mapped = truth.copy()
        for old, name in enumerate(PITCH_CLASSES.names):
            mapped[truth == old] = names.index(name) if name in names else 0
        matrix.update(mapped, model.predict(scene.read_image()).semantic)
    iou = dict(zip(names, matrix.scores(names).iou))
    assert iou["field"] > 0.9
    assert iou["line"] > 0.4
    assert iou["ball"] > 0.4


def test_an_unknown_name_is_told():
    with pytest.raises(ConfigError, match="no bundle 'moon' ships here; there are pitch"):
        bundled("moon")


def test_a_bundle_that_ships_is_loaded_by_its_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("pitch").card.name == "pitch"
    (tmp_path / "pitch").write_bytes(b"something else")
    with pytest.raises(ModelFileError, match="pitch"):
        load("pitch")
