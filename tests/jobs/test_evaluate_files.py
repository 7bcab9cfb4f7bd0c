"""Scores over files equal those of all pixels laid end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_sets import CLASSES, ids, picture, sample

from maskwright.core import Classes, ConfigError, DataError, Sample, Segmentation
from maskwright.jobs import Evaluation, ImageScore, evaluate


def predictor(answers, classes=CLASSES):
    """Answers by the picture it is shown."""

    def predict(image):
        for seed, semantic in answers.items():
            if np.array_equal(image, picture(seed, semantic.shape)):
                return Segmentation(size=semantic.shape, classes=classes, semantic=semantic)
        raise AssertionError("an unknown picture was shown")

    return predict


def test_counts_are_those_of_all_pixels_together():
    sizes = {0: (24, 32), 1: (10, 7), 2: (5, 50)}
    samples = [sample_of(seed, size) for seed, size in sizes.items()]
    answers = {seed: ids(seed + 50, size) for seed, size in sizes.items()}
    told = []
    found = evaluate(samples, predictor(answers), CLASSES, lambda *step: told.append(step))
    truth = np.concatenate([ids(seed, size).ravel() for seed, size in sizes.items()])
    guess = np.concatenate([answer.ravel() for answer in answers.values()])
    for class_id in range(3):
        true, guessed = truth == class_id, (guess == class_id) & (truth != 255)
        expected = (true & guessed).sum() / (true | guessed).sum()
        assert found.scores.iou[class_id] == pytest.approx(expected)
    assert found.matrix.sum() == (truth != 255).sum()
    assert [image.name for image in found.images] == ["0", "1", "2"]
    right = (ids(1, (10, 7)) == answers[1]) & (ids(1, (10, 7)) != 255)
    accuracy = right.sum() / (ids(1, (10, 7)) != 255).sum()
    assert found.images[1].pixel_accuracy == pytest.approx(accuracy)
    assert told == [(1, 3), (2, 3), (3, 3)]
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["scores"]["miou"] == pytest.approx(found.scores.miou)
    assert np.shape(plain["confusion"]) == (3, 4)


def sample_of(seed, size, tasks=("semantic",)):
    truth = Segmentation(size=size, classes=CLASSES, semantic=ids(seed, size))
    return Sample(name=str(seed), image=picture(seed, size), truth_of=truth, tasks=frozenset(tasks))


def test_samples_without_class_maps_are_skipped_and_counted():
    samples = [sample_of(0, (8, 8)), sample_of(1, (8, 8), ["boxes"])]
    found = evaluate(samples, predictor({0: ids(0, (8, 8))}), CLASSES)
    assert (len(found.images), found.skipped, found.scores.miou) == (1, 1, 1.0)
    with pytest.raises(DataError, match="none of the 1 samples"):
        evaluate(samples[1:], predictor({}), CLASSES)


def test_other_classes_are_refused_with_the_difference():
    other = Classes.of(["grass", "line", "robot"])
    with pytest.raises(ConfigError, match=r"without \['ball'\] .* and \['robot'\] beyond"):
        evaluate([sample(0)], predictor({0: ids(0)}, other), CLASSES)
    turned = Classes.of(["line", "grass", "ball"])
    with pytest.raises(ConfigError, match="another order"):
        evaluate([sample(0)], predictor({0: ids(0)}, turned), CLASSES)


def test_a_model_without_class_maps_is_refused():
    with pytest.raises(ConfigError, match="no class map"):
        evaluate([sample(0)], lambda image: Segmentation(size=(24, 32), classes=CLASSES), CLASSES)


@pytest.mark.parametrize("count", range(1, 12))
def test_examples_are_ranked_and_distinct(count):
    scored = evaluate([sample(0)], predictor({0: ids(0)}), CLASSES)
    images = [ImageScore(name=f"{i}", miou=i / 20, pixel_accuracy=1.0) for i in range(count)]
    images.append(ImageScore(name="unlabelled", miou=float("nan"), pixel_accuracy=float("nan")))
    many = Evaluation(
        classes=CLASSES, matrix=scored.matrix, scores=scored.scores, images=tuple(images)
    )
    chosen = many.examples(3)
    names = [image.name for group in chosen.values() for image in group]
    assert len(set(names)) == len(names) == min(count, 3 * max(1, min(3, count // 3)))
    assert chosen["best"][0].miou == (count - 1) / 20
    if count > 2:
        assert chosen["worst"][0].miou == 0
        middle = chosen["median"][len(chosen["median"]) // 2].miou * 20
        assert abs(middle - (count - 1) / 2) <= 1
