"""The torch side of the predictor: same numbers as `deploy`, and no traces left in the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from standin import make_network

from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import deploy_run
from maskwright.core.errors import ConfigError

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 3, 48, 64), np.uint8)


def test_the_numbers_are_those_of_deploy():
    network = make_network()
    outputs = deploy_run(network)(IMAGES)
    assert set(outputs) == {"class_map"}
    assert outputs["class_map"].dtype == np.uint8
    with torch.no_grad():
        wanted = network.deploy(torch.from_numpy(IMAGES))["class_map"].numpy()
    assert (outputs["class_map"] == wanted).mean() > 0.999


def test_a_path_may_be_named():
    network = make_network()
    outputs = deploy_run(network, network.deploy_probabilities)(IMAGES)
    assert set(outputs) == {"class_map", "probabilities"}
    with torch.no_grad():
        logits = network(network.normalise(torch.from_numpy(IMAGES)))["logits"]
    wanted = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(outputs["probabilities"], wanted, atol=1e-5)


def test_a_network_without_probabilities_says_so():
    network = make_network()
    with pytest.raises(ConfigError, match=r"expected a semantic network .*got Standin"):
        Network.deploy_probabilities(network, torch.from_numpy(IMAGES))


def test_training_goes_on_as_before():
    network = make_network().train()
    network.stem[1].eval()  # a frozen batch norm stays frozen
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    run = deploy_run(network)
    first = run(IMAGES)["class_map"]
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    network(torch.rand(2, 3, 32, 32))["logits"].sum().backward()
    np.testing.assert_array_equal(first, deploy_run(make_network())(IMAGES)["class_map"])


def test_modes_are_given_back_after_an_error():
    network = make_network().train()
    too_small = np.zeros((1, 3, 0, 0), np.uint8)
    with pytest.raises(RuntimeError):
        deploy_run(network)(too_small)
    assert all(module.training for module in network.modules())
