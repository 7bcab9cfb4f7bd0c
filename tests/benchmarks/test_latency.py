"""The comparison of latencies: its rows, its sums and its order; no time is asserted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from standin import RECORD, make_card, make_images, make_network

from maskwright.architectures import checkpoint
from maskwright.architectures.checkpoint import save_checkpoint
from maskwright.benchmarks import compare_latency, latency
from maskwright.core.errors import ConfigError
from maskwright.export import to_onnx
from maskwright.jobs import turns
from maskwright.runtimes import ov, write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("latency") / "model.mask"
    write_bundle(path, make_card(), to_onnx(make_network(), (48, 64)))
    return path


def test_every_contender_has_a_row(bundle):
    before = torch.get_num_threads()
    rows = compare_latency(make_network(), bundle, make_images(2), threads=2, rounds=4)
    assert torch.get_num_threads() == before
    names = [row.name for row in rows]
    assert names[:3] == ["PyTorch eager", "PyTorch eager, 1 thread", "ONNX Runtime"]
    assert ("OpenVINO f32" in names) == ov.installed()
    if ov.installed():
        assert ("OpenVINO bf16" in names) == ("bf16" in ov.supported_precisions())
    assert [row.threads for row in rows[:3]] == [2, 1, 2]
    for row in rows:
        assert row.answers == 12
        assert 0 < row.min_ms <= row.median_ms <= row.p95_ms <= row.p99_ms
        assert row.gflops is not None
        assert row.size == (48, 64)
        assert row.median_ms < row.total_ms
        assert row.fps == pytest.approx(1000 / row.median_ms)
        assert row.speed_up == pytest.approx(rows[0].median_ms / row.median_ms)
        assert row.precision == ("bf16" if "bf16" in row.name else "f32")
        assert row.agreement >= (0.9 if "bf16" in row.name else 0.999)
        assert row.processor
        json.dumps(row.to_dict(), allow_nan=False)


def test_a_checkpoint_stands_for_its_network(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "ARCHITECTURES", {"standin": RECORD})
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, make_network(), make_card())
    rows = compare_latency(path, bundle, make_images(1), threads=1, rounds=1)
    assert [row.name for row in rows[:2]] == ["PyTorch eager", "ONNX Runtime"]
    assert rows[1].agreement >= 0.999


def test_another_networks_bundle_is_seen_in_the_agreement(bundle):
    rows = compare_latency(make_network(seed=7), bundle, make_images(2), threads=1, rounds=1)
    assert rows[1].agreement < 0.9


def test_a_time_budget_ends_it_after_the_least_rounds(bundle):
    network, images = make_network(), make_images(1)
    rows = compare_latency(network, bundle, images, threads=1, rounds=10_000, seconds=0.0)
    assert rows[0].answers == turns.MINIMUM_ROUNDS * turns.ANSWERS_A_TURN


def test_contenders_take_turns_in_a_rotating_order(bundle, monkeypatch):
    real = latency.take_turns
    order = []

    def watched(predictors, *rest):
        for key, predictor in predictors.items():

            def noted(image, key=key, predict=predictor.predict):
                order.append(key)
                return predict(image)

            monkeypatch.setattr(predictor, "predict", noted)
        return real(predictors, *rest)

    monkeypatch.setattr(latency, "take_turns", watched)
    rows = compare_latency(make_network(), bundle, make_images(1), threads=2, rounds=3)
    keys = list(range(len(rows)))
    told = order[:: turns.ANSWERS_A_TURN + 1]
    assert told[: len(keys)] == keys
    assert told[len(keys) : 2 * len(keys)] == keys[1:] + keys[:1]
    assert len(order) == 3 * len(keys) * (turns.ANSWERS_A_TURN + 1)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        ([], {}, "got 0 and 30"),
        ([np.zeros((48, 64, 3), np.uint8)], {"rounds": 0}, "got 1 and 0"),
        ([np.zeros((48, 64, 3), np.uint8)], {"threads": 0}, "got 0"),
    ],
)
def test_settings_that_make_no_sense_are_told(bundle, images, settings, message):
    with pytest.raises(ConfigError, match=message):
        compare_latency(make_network(), bundle, images, **settings)
