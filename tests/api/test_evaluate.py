"""`maskwright.evaluate`: the same scores as the command and as the scorer below it."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import small_sets
from commands import run_commands
from PIL import Image

import maskwright
import maskwright.formats as formats
import maskwright.jobs as jobs
from maskwright.cli.evaluate import evaluate as command
from maskwright.core.errors import ConfigError

NAMES = ["grass", "line", "ball"]
RENAMED = {"set_": "settings", "map_": "stands_for"}
"""Options whose Python name differs: --set belongs to --refine there."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A labelled set, the same masks drawn anew, and one of them as predictions."""
    root = tmp_path_factory.mktemp("evaluate")
    small_sets.mask_folder(root / "set", {"train": 1, "val": 3}, NAMES)
    predictions = root / "found"
    predictions.mkdir()
    truths = sorted((root / "set/val/masks").iterdir())
    for at, mask in enumerate(truths):  # each image gets the truth of the next
        (predictions / mask.name).write_bytes(truths[(at + 1) % len(truths)].read_bytes())
    (root / "right").mkdir()
    for mask in truths:
        (root / "right" / mask.name).write_bytes(mask.read_bytes())
    return root


def test_the_command_and_the_scorer_say_the_same(folder):
    scores = maskwright.evaluate(folder / "found", folder / "set", "val", ci=True)
    dataset = formats.read(folder / "set")
    samples = dataset.split("val")
    found = formats.read_predictions(folder / "found", dataset, samples)
    below = jobs.score(samples, found.read, dataset.classes, tasks=found.tasks)
    assert scores.headline() == below.headline()
    assert 0 < scores.headline().value < 1
    assert scores.spans == below.intervals()
    [told] = run_commands(
        folder, ["evaluate", "found", "set", "--split", "val", "--ci", "--out", "scores.json"]
    )
    assert told.code == 0, told
    written = json.loads((folder / "scores.json").read_text())
    plain = json.loads(json.dumps(scores.to_dict()))
    assert {**plain, "scored": "found"} == written
    assert not {"torch", "timm"} & set(told.packages)


def test_against_another_it_tells_who_is_better(folder):
    scores = maskwright.evaluate(
        folder / "right", maskwright.read(folder / "set"), "val", against=folder / "found"
    )
    assert scores.headline().value == 1.0
    assert scores.against is not None
    gain = scores.gains["mIoU"]
    assert gain.value == pytest.approx(1.0 - scores.against.headline().value)
    assert scores.to_dict()["gains"]["mIoU"]["value"] == gain.value


def test_it_tells_what_it_read_and_what_makes_no_sense(folder, tmp_path):
    notes = []
    maskwright.evaluate(folder / "right", folder / "set", note=notes.append)
    assert any("index_masks" in note for note in notes)
    with pytest.raises(ConfigError, match="sees the images"):
        maskwright.evaluate(folder / "right", folder / "set", refine="dense-crf")
    with pytest.raises(ConfigError, match="beside settings"):
        maskwright.evaluate(folder / "right", folder / "set", settings={"iterations": 3})
    with pytest.raises(ConfigError, match="scores"):
        maskwright.evaluate(folder / "right", folder / "set", out=tmp_path / "scores.txt")


def test_classes_can_be_left_out_of_a_set_that_was_read(folder, tmp_path):
    for mask in (folder / "right").iterdir():  # a model that never heard of the third
        ids = np.asarray(Image.open(mask))
        Image.fromarray(np.where(ids == 2, 0, ids).astype(np.uint8)).save(tmp_path / mask.name)
    dataset = maskwright.read(folder / "set")
    scores = maskwright.evaluate(tmp_path, dataset, ignore=["ball"])
    assert scores.classes.names == ("grass", "line")
    assert scores.headline().value == 1.0


def test_names_and_defaults_are_the_commands():
    ours = inspect.signature(maskwright.evaluate).parameters
    for name, option in inspect.signature(command).parameters.items():
        one = ours[RENAMED.get(name, name)]
        if one.default is not inspect.Parameter.empty:
            assert (one.default or None) == (option.default or None), name


def test_a_predictor_answers_as_its_bundle(folder):
    model = maskwright.load("pitch", threads=1)
    notes = []
    scores = maskwright.evaluate(model, folder / "set", note=notes.append)
    assert any("names" in note and "which the labelled set lacks" in note for note in notes)
    assert scores.classes.names == tuple(NAMES)
    with pytest.raises(ConfigError, match="refinement"):
        maskwright.evaluate(model, folder / "set", refine="none")
