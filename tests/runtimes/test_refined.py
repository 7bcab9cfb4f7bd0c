"""Answers that a step refines: the card's or one that is set, from probabilities or class maps."""

from __future__ import annotations

import numpy as np
import pytest
from standin import make_card, make_images
from test_loading import RUNTIMES, SIZE, by_hand, make_graph, needs
from test_probabilities import FACTS, by_place, make_soft_graph, soft_by_hand

from maskwright.core.card import Postprocess
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.resize import Resize
from maskwright.refine import Refinement, most_probable
from maskwright.runtimes import Predictor, load, write_bundle

CRF = Refinement.of("dense-crf", {"appearance_width": 6.0, "colour_width": 8.0})
GUIDED = Refinement.of("guided-filter", {"radius": 4, "subsample": 1, "colour": False})


def bundle(tmp_path, graph, refinement=None, **changes):
    step = None if refinement is None else refinement.to_postprocess()
    write_bundle(tmp_path / "m.mask", make_card(postprocess=step, **changes), graph)
    return tmp_path / "m.mask"


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("refinement", [CRF, GUIDED], ids=["crf", "guided"])
def test_a_bundle_does_what_its_card_names(tmp_path, runtime, refinement):
    needs(runtime)
    model = load(bundle(tmp_path, make_soft_graph(), refinement), threads=1, runtime=runtime)
    assert model.refinement == refinement
    changed = 0
    for image in make_images(2, SIZE):
        expected = refinement.refine(soft_by_hand(image), image)
        found = model.predict(image)
        assert (found.semantic == expected.argmax(axis=0)).mean() > 0.999
        soft = model.predict_probabilities(image)
        np.testing.assert_allclose(soft.probabilities_Khw, expected, atol=2e-3)
        np.testing.assert_array_equal(soft.found.semantic, found.semantic)
        changed += np.count_nonzero(found.semantic != by_hand(image))
    assert changed > 50
    model.refinement = None
    np.testing.assert_array_equal(model.predict(image).semantic, by_hand(image))


def test_without_probabilities_the_class_map_is_refined(tmp_path):
    model = load(bundle(tmp_path, make_graph()), threads=1)
    assert model.refinement is None
    model.refinement = CRF
    image = make_images(1, SIZE)[0]
    expected = most_probable(CRF.refine_labels(by_hand(image), 3, image))
    np.testing.assert_array_equal(model.predict(image).semantic, expected)
    assert (expected != by_hand(image)).any()


def test_colour_orders_and_kept_answers_are_alike(tmp_path):
    model = load(bundle(tmp_path, make_soft_graph(), GUIDED), threads=1)
    image, other = make_images(2, (75, 100))
    wanted = model.predict(image).semantic.copy()
    np.testing.assert_array_equal(model.predict(image[..., ::-1], "bgr").semantic, wanted)
    kept = model.predict(other)
    again = model.predict(image, out=kept)
    assert again is kept
    np.testing.assert_array_equal(kept.semantic, wanted)
    assert set(kept.times) == {"read", "preprocess", "network", "postprocess"}


def test_only_what_the_image_fills_is_refined():
    """A letterbox's grey border would be near and of one colour."""
    model = Predictor(
        make_card(resize=Resize(size=SIZE, mode="letterbox")),
        by_place,
        FACTS,
        run_probabilities=by_place,
    )
    image = make_images(1, (20, 30))[0]
    plain = model.predict_probabilities(image)
    model.refinement = CRF
    refined = model.predict_probabilities(image)
    resized, geometry = model.card.resize.apply(image)
    (top, left), (height, width) = geometry.offset, geometry.content
    content = resized[top : top + height, left : left + width]
    expected = CRF.refine(plain.probabilities_Khw, content)
    np.testing.assert_allclose(refined.probabilities_Khw, expected, atol=1e-6)
    assert refined.found.size == (20, 30)


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Postprocess(name="grab-cut"), r"names the postprocess step 'grab-cut'.*knows dense-crf"),
        (Postprocess(name="dense-crf", parameters={"tempo": 1}), r"no setting 'tempo'.*upgrade"),
        (Postprocess(name="dense-crf", parameters={"iterations": 0}), "can't be done .*iterations"),
    ],
)
def test_steps_of_newer_versions_are_told(tmp_path, step, text):
    write_bundle(tmp_path / "m.mask", make_card(postprocess=step), make_soft_graph())
    with pytest.raises(ModelFileError, match=text):
        load(tmp_path / "m.mask", threads=1)


def test_models_without_class_maps_are_told():
    model = Predictor(make_card(tasks=("labels",)), by_place, FACTS)
    with pytest.raises(ConfigError, match="dense-crf refines class maps, but stand-in answers lab"):
        model.refinement = CRF
