"""Export as a whole: what is shipped is what was trained, or nothing is written."""

from __future__ import annotations

import errno
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from shared import shared_path
from standin import make_card, make_images, make_network

import maskwright
from maskwright.architectures.deploy import deploy_run
from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, MaskwrightError, ModelFileError
from maskwright.core.image import read_image
from maskwright.core.mask import Mask
from maskwright.core.resize import Resize
from maskwright.core.segmentation import Instance, Label, Segmentation
from maskwright.export import answer_agreement, export, to_onnx
from maskwright.export import bundle as bundle_module
from maskwright.runtimes import Predictor, load

CLASSES = Classes.of(["grass", "line", "ball"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    network = make_network()
    path = tmp_path_factory.mktemp("export") / "model.mask"
    images = make_images(3)
    return network, path, images, export(network, make_card(), path, images, threads=1)


def test_the_report_tells_what_was_measured(exported):
    _, path, images, report = exported
    assert report.path == path
    assert report.bytes_on_disk == path.stat().st_size
    assert report.images == len(images)
    assert "onnxruntime" in report.agreement
    for runtime, share in report.agreement.items():
        assert 0.999 <= report.worst[runtime] <= share <= 1


def test_the_measured_facts_travel_in_the_card(exported):
    _, path, _, report = exported
    card = load(path).card
    assert card.to_dict() == json.loads(json.dumps(report.card.to_dict()))
    assert card.version == maskwright.__version__
    assert card.measured["val"] == {"miou": 0.5}
    facts = card.measured["export"]
    assert facts["agreement_with_torch"] == report.agreement
    assert facts["images"] == 3
    assert 0 < facts["graph_bytes"] < report.bytes_on_disk
    assert facts["processor"]
    assert set(facts["versions"]) == {"torch", *report.agreement}


def test_the_bundle_answers_as_torch_does_in_the_images_pixels(exported):
    network, path, images, _ = exported
    torch_side = Predictor(make_card(), deploy_run(network), {})
    shipped = load(path, threads=1)
    for image in images:
        answer = shipped.predict(image)
        assert answer.semantic.shape == image.shape[:2]
        assert answer_agreement(answer, torch_side.predict(image)) >= 0.999


def test_the_gate_holds_on_real_photos_in_other_sizes_than_the_networks(tmp_path):
    folder = shared_path("data/camvid/val/images")
    images = [read_image(path) for path in sorted(folder.iterdir())[:3]]
    card = make_card(resize=Resize(size=(96, 128), mode="letterbox"))
    report = export(make_network(), card, tmp_path / "m.mask", images, threads=1)
    assert min(report.worst.values()) >= 0.999


def test_a_graph_that_disagrees_is_not_written(tmp_path, monkeypatch):
    other = to_onnx(make_network(seed=5), (48, 64))
    monkeypatch.setattr(bundle_module, "to_onnx", lambda network, size, **_: other)
    path = tmp_path / "model.mask"
    path.write_bytes(b"what stood here before")
    message = r"was not written.*agree on at least 99\.90%.*got \d+\.\d+% over 3 images \(worst"
    with pytest.raises(ModelFileError, match=message):
        export(make_network(), make_card(), path, make_images(3), threads=1)
    assert path.read_bytes() == b"what stood here before"


def test_of_several_parts_that_counts_which_agrees_least():
    box = Instance(class_id=2, box_xyxy=(1.0, 1.0, 9.0, 9.0))
    parts = {
        "semantic": (np.zeros((8, 10), np.uint8), np.full((8, 10), 1, np.uint8)),
        "instances": ((box,), ()),
        "labels": ((Label(class_id=1, score=0.9),), (Label(class_id=1, score=0.1),)),
    }
    for name, (_, other) in parts.items():
        same = {key: mine for key, (mine, _) in parts.items()}
        left = Segmentation(size=(8, 10), classes=CLASSES, **same)
        right = Segmentation(size=(8, 10), classes=CLASSES, **(same | {name: other}))
        assert answer_agreement(left, left) == 1
        assert answer_agreement(left, right) < 0.7, name


@pytest.mark.parametrize(
    ("shares", "written"),
    [
        ((1.0, 0.9, 1.0), False),  # the worst image counts: neither best nor median is asked
        ((0.9985, 1.0, 1.0), True),  # and so do the others: the worst alone is not asked either
    ],
)
def test_the_gate_asks_for_the_mean_over_the_images(tmp_path, monkeypatch, shares, written):
    left = itertools.cycle(shares)
    monkeypatch.setattr(bundle_module, "answer_agreement", lambda *_: next(left))
    path = tmp_path / "model.mask"
    if written:
        report = export(make_network(), make_card(), path, make_images(3), threads=1)
        assert list(report.agreement.values()) == pytest.approx([0.9995] * len(report.agreement))
        assert set(report.worst.values()) == {min(shares)}
    else:
        with pytest.raises(ModelFileError, match=r"got 96\.667% over 3 images \(worst: image 1 "):
            export(make_network(), make_card(), path, make_images(3), threads=1)
    assert path.exists() == written


@pytest.fixture(scope="module")
def soft(tmp_path_factory):
    path = tmp_path_factory.mktemp("soft") / "model.mask"
    report = export(
        make_network(), make_card(), path, make_images(2), threads=1, probabilities=True
    )
    return path, report


def test_a_bundle_with_probabilities_gives_those_of_torch(soft):
    path, report = soft
    errors = report.card.measured["export"]["probability_error"]
    assert set(errors) == set(report.agreement)
    assert all(0 <= error < 1e-5 for error in errors.values())
    network = make_network()
    run = deploy_run(network, network.deploy_probabilities)
    eager = Predictor(make_card(), run, {}, run_probabilities=run)
    for runtime in report.agreement:
        shipped = load(path, threads=1, runtime=runtime)
        for image in make_images(2):
            wanted, answer = (each.predict_probabilities(image) for each in (eager, shipped))
            np.testing.assert_allclose(answer.restored(), wanted.restored(), atol=1e-4)


def test_probabilities_that_differ_are_not_written(tmp_path, monkeypatch):
    real = bundle_module.to_onnx

    def hotter(network, size, *, probabilities):
        """The same class map, surer than torch is."""
        network = make_network()
        for parameter in (network.head.weight, network.head.bias):
            parameter.data *= 3
        return real(network, size, probabilities=probabilities)

    monkeypatch.setattr(bundle_module, "to_onnx", hotter)
    with pytest.raises(ModelFileError, match=r"not written: expected the probabilities of torch"):
        export(
            make_network(), make_card(), tmp_path / "m.mask", make_images(2), threads=1,
            probabilities=True,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_gate_without_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one real image"):
        export(make_network(), make_card(), tmp_path / "m.mask", [])


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MaskwrightError, match="No space left"):
        export(make_network(), make_card(), tmp_path / "m.mask", make_images(1), threads=1)
    assert list(tmp_path.iterdir()) == []


def answer(**parts) -> Segmentation:
    return Segmentation(size=(4, 10), classes=CLASSES, **parts)


def test_agreement_counts_pixels():
    left, right = np.zeros((4, 10), np.uint8), np.zeros((4, 10), np.uint8)
    right[0, :3] = 2
    assert answer_agreement(answer(semantic=left), answer(semantic=right)) == pytest.approx(37 / 40)
    assert answer_agreement(answer(semantic=left), answer(semantic=left)) == 1


def test_agreement_of_objects_is_the_share_that_matches():
    def boxes(*entries):
        return answer(
            instances=tuple(
                Instance(class_id=class_id, box_xyxy=box, score=score)
                for class_id, box, score in entries
            )
        )

    low, high = (1, (0.0, 0.0, 4.0, 4.0), 0.4), (2, (2.0, 0.0, 6.0, 4.0), 0.9)
    near, off = (1, (0.0, 0.0, 4.03, 4.0), 0.4), (1, (0.0, 0.0, 4.1, 4.0), 0.4)
    assert answer_agreement(boxes(low, high), boxes(high, low)) == 1
    assert answer_agreement(boxes(low, high), boxes(high)) == pytest.approx(2 / 3)
    assert answer_agreement(boxes(low, high), boxes(near, high)) == 1
    assert answer_agreement(boxes(low, high), boxes(off, high)) == 0.5
    assert answer_agreement(boxes(low), boxes((2, low[1], 0.4))) == 0  # another class
    assert answer_agreement(boxes(low, low), boxes(low)) == pytest.approx(2 / 3)  # matched once
    assert (answer_agreement(boxes(), boxes(low)), answer_agreement(boxes(), boxes())) == (0, 1)


def test_agreement_of_masks_goes_by_their_pixels():
    def seen(*pixels):
        map_HW = np.zeros((20, 20), np.uint8)
        map_HW[:, :10] = 1
        for row, column in pixels:
            map_HW[row, column] ^= 1
        mask = Mask.encode(map_HW)
        one = Instance(class_id=2, box_xyxy=(0.0, 0.0, 10.0, 20.0), mask=mask, score=0.9)
        return Segmentation(size=(20, 20), classes=CLASSES, instances=(one,))

    assert answer_agreement(seen(), seen((0, 0), (5, 5))) == 1  # 198 of 200
    assert answer_agreement(seen(), seen((0, 0), (5, 5), (6, 6))) == 0
    both = answer(semantic=np.zeros((4, 10), np.uint8), instances=())
    assert answer_agreement(both, both) == 1


def test_labels_agree_where_their_confidences_do():
    def told(*scores):
        return answer(labels=tuple(Label(class_id=k, score=s) for k, s in enumerate(scores)))

    assert answer_agreement(told(0.5, 0.2, 0.9), told(0.505, 0.2, 0.7)) == pytest.approx(2 / 3)
    with pytest.raises(ConfigError, match="got labels and nothing"):
        answer_agreement(told(0.5), answer())
