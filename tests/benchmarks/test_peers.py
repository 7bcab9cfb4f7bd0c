"""The comparison with peers measures one network twice and tells what it must."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest
import torch
from torch import nn

from benchmarks import peer_pairs, peers
from benchmarks.run import main
from maskwright.core.errors import ConfigError

LRASPP = next(pair for pair in peer_pairs.PAIRS if "lraspp" in pair.name)
SMALL = {"rounds": 1, "forward_side": 32, "training_side": 32}


def test_a_pair_is_one_network_and_is_timed_both_ways():
    threads, told = torch.get_num_threads(), []
    [row] = peers.measure_peers([LRASPP], **SMALL, channels_last=True, told=told.append)
    assert row["name"] == "torchvision lraspp_mobilenet_v3_large"
    assert row["parameters"]["ours"] == row["parameters"]["peer"] > 3e6
    for what in ("forward", "training"):
        ours, peer = (row[what][side]["median_ms"] for side in ("ours", "peer"))
        assert row[what]["ratio"] == pytest.approx(ours / peer, abs=1e-2)
    assert told[0].startswith(row["name"])
    assert torch.get_num_threads() == threads
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize("pair", peer_pairs.PAIRS, ids=lambda pair: pair.name)
def test_every_pair_whose_peer_is_installed_agrees(pair):
    pytest.importorskip(pair.package)
    networks = peer_pairs.build_both(pair)
    images = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        shapes = {peer_pairs.logits_of(one.eval(), images).shape for one in networks.values()}
    assert shapes == {(1, peer_pairs.CLASSES, 64, 64)}
    ours = peer_pairs.parameters(networks["ours"])
    assert 0 < ours <= peer_pairs.parameters(networks["peer"])


def test_a_peer_that_is_not_installed_is_left_out_and_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    missing = next(pair for pair in peer_pairs.PAIRS if pair.package == "transformers")
    told = []
    [row] = peers.measure_peers([missing], **SMALL, told=told.append)
    assert row == {"name": missing.name, "skipped": "pip install transformers"}
    assert told == [f"{missing.name}: not installed; pip install transformers"]


def test_networks_that_are_not_the_same_are_told(monkeypatch):
    with pytest.raises(ConfigError, match=r"to be one network, but .*are in one of them only"):
        peers.measure_peers([dataclasses.replace(LRASPP, ours="unet-encoder")], **SMALL)
    monkeypatch.setattr(peer_pairs, "TOLERANCE", 0.0)
    monkeypatch.setattr(peer_pairs, "logits_of", lambda network, images: torch.rand(3))
    with pytest.raises(ConfigError, match=r"to agree within 0\.0, but their logits differ by"):
        peer_pairs.build_both(LRASPP)
    with pytest.raises(ConfigError, match="at least one round, got 0"):
        peers.measure_peers(rounds=0)


def test_sides_begin_by_turns():
    order = []
    runs = {side: lambda side=side: order.append(side) for side in ("ours", "peer")}
    found = peers._compare(runs, 3)
    assert order == ["ours", "peer", "peer", "ours"] * 2
    assert set(found) == {"ours", "peer", "ratio"}


def test_a_step_changes_the_weights():
    network = nn.Sequential(nn.Conv2d(3, peer_pairs.CLASSES, 1), nn.AvgPool2d(2))
    before = network[0].weight.clone()
    peers._steps({"ours": network}, torch.rand(2, 3, 8, 8))["ours"]()
    assert not torch.equal(before, network[0].weight)


def test_memory_is_that_of_a_process_of_its_own():
    [row] = peers.measure_attention(["segformer-b0"], size=(64, 64))
    assert (row["name"], row["size"]) == ("segformer-b0", [64, 64])
    assert 0 < row["before_mib"] <= row["peak_mib"]
    with pytest.raises(ConfigError, match="nothing"):
        peers.measure_attention(["nothing"], size=(8, 8))


def test_the_file_names_its_settings_and_the_peers_versions(monkeypatch, tmp_path, capsys):
    def measured(pairs, *, told, **settings):
        return [*(pair.name for pair in pairs), settings]

    path = tmp_path / "peers.json"
    monkeypatch.setattr(peers, "measure_peers", measured)
    monkeypatch.setattr(peers, "measure_attention", lambda **settings: settings["threads"])
    assert main(["peers", "--only", "LRASPP", "--rounds", "2", "--out", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["speed"][0] == LRASPP.name
    assert (found["speed"][1]["rounds"], found["attention"]) == (2, 1)
    assert found["peers"]["torchvision"]
    assert f"wrote {path}" in capsys.readouterr().out
