"""Methods by name, and class maps as probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_dense_crf import beliefs
from test_kernels import picture

from maskwright.core.card import Postprocess
from maskwright.core.errors import ConfigError
from maskwright.refine import (
    STEPS,
    DenseCRF,
    GuidedFilter,
    Refinement,
    dense_crf,
    guided_filter,
    most_probable,
    probabilities_from_labels,
)

SIZE = (18, 22)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_comes_back_from_its_card(name):
    step = Refinement.of(name, {"confidence": 0.6})
    plain = json.loads(json.dumps(step.to_postprocess().to_dict()))
    found = Postprocess.from_dict(plain)
    assert Refinement.of(found.name, found.parameters) == step


def test_penalties_come_back_too():
    step = Refinement.of("dense-crf", {"compatibility": [[0, 1], [2, 0]]})
    assert step.settings == DenseCRF(compatibility=((0.0, 1.0), (2.0, 0.0)))
    plain = json.loads(json.dumps(step.to_postprocess().to_dict()))
    assert Refinement.of("dense-crf", plain["parameters"]) == step


@pytest.mark.parametrize("name", STEPS)
def test_every_step_gives_probabilities(name):
    image, unary = picture(*SIZE), beliefs(4, SIZE)
    found = Refinement.of(name).refine(unary, image)
    assert found.dtype == np.float32
    assert found.shape == unary.shape
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_steps_do_what_their_functions_do():
    image, unary = picture(*SIZE), beliefs(3, SIZE)
    found = Refinement.of("dense-crf", {"iterations": 2}).refine(unary, image)
    assert np.array_equal(found, dense_crf(unary, image, DenseCRF(iterations=2)))
    found = Refinement.of("guided-filter", {"radius": 3}).refine(unary, image)
    plain = guided_filter(unary, image, GuidedFilter(radius=3)).clip(0)
    np.testing.assert_allclose(found, plain / plain.sum(axis=0), rtol=1e-5)


def test_class_maps_are_refined_as_sure_as_is_told():
    image = picture(*SIZE)
    ids = (image[..., 0] > 140).astype(np.uint8)
    ids[3, 3:6] = 255
    step = Refinement.of("dense-crf", {"confidence": 0.8})
    expected = dense_crf(probabilities_from_labels(ids, 3, 0.8), image)
    assert np.array_equal(step.refine_labels(ids, 3, image), expected)


def test_labels_become_probabilities():
    ids = np.array([[0, 2], [255, 1]], np.uint8)
    found = probabilities_from_labels(ids, 3, 0.7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0, 0], [0.7, 0.15, 0.15])
    np.testing.assert_allclose(found[:, 0, 1], [0.15, 0.15, 0.7])
    np.testing.assert_allclose(found[:, 1, 0], 1 / 3)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-6)
    assert np.array_equal(found.argmax(axis=0)[ids < 3], ids[ids < 3])


@pytest.mark.parametrize(("classes", "confidence"), [(3, 1 / 3), (3, 1.0), (2, 0.4), (1, 0.7)])
def test_confidences_that_say_nothing_are_told(classes, confidence):
    with pytest.raises(ConfigError, match="expected 2 classes or more and a confidence"):
        probabilities_from_labels(np.zeros((2, 2), np.uint8), classes, confidence)


@pytest.mark.parametrize(("classes", "kind"), [(1, np.uint8), (7, np.uint8), (300, np.uint16)])
def test_most_probable_is_argmax(classes, kind):
    soft = np.random.default_rng(0).integers(0, 5, (classes, 9, 8)).astype(np.float32)
    found = most_probable(soft)
    assert found.dtype == kind
    assert np.array_equal(found, soft.argmax(axis=0))


@pytest.mark.parametrize(
    ("name", "parameters", "text"),
    [
        ("dense-crv", {}, r"got 'dense-crv'; did you mean dense-crf\?"),
        ("blur", {}, "choose one of dense-crf, guided-filter"),
        ("dense-crf", {"iteration": 2}, r"no setting 'iteration'.*did you mean iterations\?"),
        ("dense-crf", {"iterations": "two"}, "expected iterations to be int, got 'two'"),
        ("dense-crf", {"iterations": 0}, "expected iterations > 0, got 0"),
        ("guided-filter", {"radius": 0}, "radius and subsample of 1 or more, got 0"),
        ("guided-filter", {"confidence": 1.5}, "confidence between 0 and 1, got 1.5"),
        ("guided-filter", {"confidence": "high"}, "confidence between 0 and 1, got 'high'"),
    ],
)
def test_wrong_names_and_values_are_told(name, parameters, text):
    with pytest.raises(ConfigError, match=text):
        Refinement.of(name, parameters)
