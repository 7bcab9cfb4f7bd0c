"""The measurement of refining tells what it must; no timing is asserted."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import small_sets
from standin import make_card

from benchmarks import refinement, refinement_search
from benchmarks.refinement import EXACT, NETWORK, measure_refinement
from benchmarks.refinement_cases import cases_of, spread
from benchmarks.refinement_search import search_confidence, search_settings
from benchmarks.refinement_times import recount, time_steps
from benchmarks.run import main
from maskwright.core.errors import ConfigError
from maskwright.core.resize import Resize
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.metrics import (
    ConfusionMatrix,
    boundary_matches,
    boundary_overlaps,
    confusion_matrix,
    matrix_overlaps,
    mean_boundary_f,
    mean_iou,
)
from maskwright.refine import STEPS, Refinement, most_probable
from maskwright.runtimes import Predictor

SIZE = (24, 32)


def discs(count, size=SIZE):
    """Photos of a bright disc on a dark slope, and where it is."""
    found = []
    for number in range(count):
        y, x = np.mgrid[: size[0], : size[1]]
        inside = (y - size[0] / 2) ** 2 + (x - 9 - 2 * number) ** 2 < 50
        image = np.stack([60 + x + 110 * inside, 70 + y, 90 + 60 * inside], -1).astype(np.uint8)
        truth = Segmentation(
            size=size, classes=small_sets.CLASSES, semantic=inside.astype(np.uint8)
        )
        sample = Sample(
            name=f"disc{number}", image=image, truth_of=truth, tasks=frozenset({"semantic"})
        )
        found.append(sample)
    return found


def blurred(images_B3HW):
    """What a coarse network tells: the disc, far too soft, and with noise."""
    inside = (images_B3HW[0, 2].astype(np.float32) > 110).astype(np.float32)
    noise = np.random.default_rng(int(inside.sum())).normal(0, 0.12, inside.shape)
    soft = np.clip(cv2.GaussianBlur(inside, (0, 0), 3.0) + noise, 0.02, 0.9).astype(np.float32)
    soft_KHW = np.stack([0.97 - soft, soft, np.full_like(soft, 0.03)])
    return {"class_map": soft_KHW.argmax(0)[None].astype(np.uint8), "probabilities": soft_KHW[None]}


def coarse(size=SIZE):
    card = make_card(classes=small_sets.CLASSES, resize=Resize(size=size))
    return Predictor(card, blurred, {"name": "by hand"}, run_probabilities=blurred)


def test_scores_gains_and_agreements_are_those_of_the_maps():
    samples, predictor = discs(3), coarse()
    settings = {"guided-filter": {"radius": 4, "subsample": 1}}
    found = measure_refinement(predictor, samples, settings)
    json.dumps(found, allow_nan=False)
    assert set(found["variants"]) == {
        NETWORK, EXACT, *STEPS, *(f"{name} of class maps" for name in STEPS),
    }  # fmt: skip
    assert found["settings"]["guided-filter"]["radius"] == 4
    step = Refinement.of("guided-filter", settings["guided-filter"])
    counted, same = {name: ConfusionMatrix(3) for name in (NETWORK, "guided-filter")}, 0
    for sample in samples:
        answer = predictor.predict_probabilities(sample.image)
        refined = most_probable(step.refine(answer.probabilities_Khw, sample.image))
        counted[NETWORK].update(sample.truth_of.semantic, answer.found.semantic)
        counted["guided-filter"].update(sample.truth_of.semantic, refined)
        same += (refined == answer.found.semantic).mean() / 3
    row = found["variants"]["guided-filter"]
    before, after = (each.scores().miou for each in counted.values())
    assert row["scores"]["mIoU"] == pytest.approx(after, abs=1e-5)
    assert row["gains"]["mIoU"]["value"] == pytest.approx(after - before, abs=2e-5)
    assert row["agreement"] == pytest.approx(same, abs=1e-5)
    assert found["variants"][NETWORK]["agreement"] == 1
    assert row["gains"]["mIoU"]["value"] > 0.01
    assert 0.5 < found["shortcuts"]["agreement"] <= 1


def test_photos_larger_than_the_input_are_refined_in_both_frames():
    found = measure_refinement(coarse((12, 16)), discs(2))
    assert {f"{name} in the photo's pixels" for name in STEPS} <= set(found["variants"])
    [case] = cases_of(coarse((12, 16)), discs(1))
    assert case.frame_hw3.shape == (12, 16, 3)
    assert case.photo_HW3.shape == (*SIZE, 3)


def test_the_search_keeps_the_best(monkeypatch):
    grids = {"dense-crf": {"appearance_weight": (0.0, 4.0), "colour_width": (2.7, 10.0)}}
    monkeypatch.setattr(refinement_search, "GRIDS", grids)
    tried = []
    cases = list(cases_of(coarse(), discs(2)))
    found = search_settings(
        cases, small_sets.CLASSES, lambda name, settings, score: tried.append((score, settings))
    )["dense-crf"]
    best = max(tried, key=lambda each: each[0])
    assert found["score"] == best[0] > found["before"]
    assert found["tried"] == len(tried)
    assert found["settings"] == best[1]


def test_confidences_are_scored_on_class_maps(monkeypatch):
    monkeypatch.setattr(refinement_search, "CONFIDENCES", (0.6, 0.9))
    [case] = cases_of(coarse(), discs(1))
    found = search_confidence([case], small_sets.CLASSES, {"guided-filter": {"radius": 4}})
    step = Refinement.of("guided-filter", {"radius": 4, "confidence": 0.9})
    ids = most_probable(step.refine_labels(case.found_map, 3, case.frame_hw3))
    arguments = (case.truth_map, ids, 3)
    expected = [
        mean_iou(matrix_overlaps(confusion_matrix(*arguments))),
        mean_iou(boundary_overlaps(*arguments)),
        mean_boundary_f(boundary_matches(*arguments)),
    ]
    assert set(found["guided-filter"]) == {"0.6", "0.9"}
    assert found["guided-filter"]["0.9"] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_other_numbers_of_classes_keep_every_pixels_sum(count):
    told = np.random.default_rng(0).random((4, 9, 14)).astype(np.float32)
    found = recount(told, count)
    assert found.shape == (count, 9, 14)
    assert found.sum(axis=(1, 2)).min() > 0
    np.testing.assert_allclose(found.sum(axis=0), told.sum(axis=0), rtol=1e-5)


def test_times_name_step_and_classes_and_the_threads_come_back():
    threads = cv2.getNumThreads()
    case = next(cases_of(coarse(), discs(1)))
    steps = {name: (name, {}) for name in STEPS}
    rows = time_steps([case.answer.probabilities_Khw], [case.frame_hw3], steps, 1, (2, 5))
    assert [(row["step"], row["classes"]) for row in rows] == [
        (name, count) for count in (2, 5) for name in STEPS
    ]
    assert all(0 < row["min_ms"] <= row["median_ms"] <= row["max_ms"] for row in rows)
    assert cv2.getNumThreads() == threads


def test_the_command_writes_its_section_and_keeps_others(tmp_path, monkeypatch, capsys):
    out = tmp_path / "r.json"
    out.write_text('{"other": 1}')
    data = small_sets.mask_folder(tmp_path / "set", {"train": 3, "val": 2}, ["a", "b", "c"])
    monkeypatch.setattr(refinement, "_open", lambda *_: coarse())
    monkeypatch.setattr(refinement_search, "GRIDS", {"guided-filter": {"radius": (2, 4)}})
    for name, more in (("searched", ["--search", "2"]), ("mine", ["--rounds", "0"])):
        words = ["refinement", "net.safetensors", str(data), *more]
        assert main([*words, "--section", name, "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert set(written) == {"other", "searched", "mine"}
    assert written["searched"]["search"]["guided-filter"]["tried"] >= 2
    assert written["mine"]["command"].endswith(
        "python -m benchmarks refinement net.safetensors set --rounds 0 --section mine --out r.json"
    )
    assert written["mine"]["images"] == 2
    assert "guided-filter: mIoU" in capsys.readouterr().out


def test_nothing_to_refine_is_told():
    with pytest.raises(ConfigError, match="got none"):
        measure_refinement(coarse(), [])
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread([1, 2], 3) == [1, 2]
