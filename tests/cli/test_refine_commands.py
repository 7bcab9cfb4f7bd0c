"""`--refine` where a model runs, `--postprocess` where it is written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from maskwright.core.image import read_image
from maskwright.refine import Refinement, most_probable
from maskwright.runtimes import load, read_bundle
from maskwright.training import checkpoint_predictor

SETTINGS = ("--set", "appearance_width=5", "--set", "colour_width=13", "--set", "iterations=2")
CRF = Refinement.of("dense-crf", {"appearance_width": 5, "colour_width": 13, "iterations": 2})


@pytest.fixture(scope="module")
def refined(original, trained):
    """The bundle of a run, with a step on its card."""
    from cases import call

    path = trained.parent / "refined.mask"
    arguments = ("--images", original / "val" / "images", "--count", 2, "--threads", 1)
    step = ("--postprocess", "dense-crf", *SETTINGS)
    assert call("export", trained, "--out", path, *arguments, *step) == 0
    return path


def scores_of(run, tmp_path, *arguments):
    result = run("evaluate", *arguments, "--threads", 1, "--out", tmp_path / "s.json")
    assert result.code == 0, result
    return json.loads((tmp_path / "s.json").read_text())["maps"]["confusion"]


def test_predict_refines(run, original, soft_bundle, tmp_path):
    photos = original / "val" / "images"
    result = run("predict", soft_bundle, photos, "--out", tmp_path, "--refine", "dense-crf",
                 *SETTINGS, "--threads", 1)  # fmt: skip
    assert result.code == 0, result
    model = load(soft_bundle, threads=1)
    for photo in photos.iterdir():
        image = read_image(photo)
        answer = model.predict_probabilities(image)
        resized, _ = model.card.resize.apply(image)
        small = most_probable(CRF.refine(answer.probabilities_Khw, resized))
        found = np.array(Image.open(tmp_path / "masks" / f"{photo.stem}.png"))
        assert np.array_equal(found[::2, ::2], small)  # 32x32 in the network, 64x64 in the image
        assert np.array_equal(found[1::2, 1::2], small)


def test_what_a_class_map_alone_is_taken_for_is_told(run, original, bundle, tmp_path):
    photos = original / "val" / "images"
    told = "gives no probabilities (export --probabilities): refined from its class map, each pixel"
    for more, sure in (((), "70%"), (("--set", "confidence=0.9"), "90%")):
        result = run("predict", bundle, photos, "--out", tmp_path, "--overwrite", "--refine",
                     "guided-filter", *more)  # fmt: skip
        assert result.code == 0, result
        assert f"{told} {sure} sure" in result.out


def test_weights_and_bundles_are_scored_refined_alike(run, original, trained, refined, tmp_path):
    asked = ("--refine", "dense-crf", *SETTINGS)
    weights = np.array(scores_of(run, tmp_path, trained, original, *asked))
    shipped = np.array(scores_of(run, tmp_path, refined, original))
    plain = np.array(scores_of(run, tmp_path, refined, original, "--refine", "none"))
    before = np.array(scores_of(run, tmp_path, trained, original))
    pixels = weights.sum()
    assert np.abs(shipped - weights).sum() <= 0.002 * pixels
    assert np.abs(plain - before).sum() <= 0.002 * pixels
    assert np.abs(shipped - plain).sum() > 0.01 * pixels


def test_a_bundle_names_its_step(original, trained, refined):
    card = read_bundle(refined).card
    assert Refinement.of(card.postprocess.name, card.postprocess.parameters) == CRF
    model = load(refined, threads=1)
    assert model.gives_probabilities
    assert model.refinement == CRF
    weights = checkpoint_predictor(trained / "best.safetensors", 1)
    weights.refinement = CRF
    image = read_image(original / "val" / "images" / "im0.png")
    agree = weights.predict(image).semantic == model.predict(image).semantic
    assert agree.mean() > 0.999


def test_a_gain_is_told_beside_the_same_model(run, original, soft_bundle):
    result = run("evaluate", soft_bundle, original, "--refine", "guided-filter", "--against",
                 soft_bundle)  # fmt: skip
    assert result.code == 0, result
    gains = [line for line in result.out.splitlines() if line.strip().startswith("mIoU")][-1]
    assert float(gains.split()[1]) != 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--refine", "dense"), r"got 'dense'; did you mean dense-crf?"),
        (("--refine", "dense-crf", "--set", "speed=1"), "dense-crf has no setting 'speed'"),
        (("--refine", "dense-crf", "--set", "iterations"), "expected --set NAME=VALUE"),
        (("--set", "iterations=2"), "--set iterations=2 goes with --refine NAME"),
    ],
)
def test_what_is_wrong_is_told(refused, original, soft_bundle, tmp_path, arguments, text):
    photos = original / "val" / "images"
    assert text in refused("predict", soft_bundle, photos, "--out", tmp_path / "o", *arguments)
    assert text in refused("evaluate", soft_bundle, original, *arguments)


def test_predictions_on_files_are_not_refined(refused, original):
    told = refused("evaluate", original / "val", original, "--refine", "dense-crf")
    assert "--refine needs a model, which sees the images" in told


def test_settings_without_a_step_are_told(refused, original, trained, tmp_path):
    images = ("--images", original / "val" / "images", "--out", tmp_path / "m.mask")
    told = refused("export", trained, *images, "--set", "iterations=2")
    assert "--set iterations=2 goes with --postprocess NAME" in told
    told = refused("export", trained, *images, "--postprocess", "sharpen")
    assert "expected a way to refine, got 'sharpen'" in told
    assert not (tmp_path / "m.mask").exists()
