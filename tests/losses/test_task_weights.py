"""Weights of tasks against Kendall et al.'s closed form."""

from __future__ import annotations

import math

import pytest
import torch

from maskwright.losses.task_weights import TaskWeights


def test_fixed_weights_are_factors():
    weights = TaskWeights({"a": 2.0, "b": 0.5})
    losses = {"a": torch.tensor(3.0), "b": torch.tensor(4.0)}
    assert weights(losses, {"a", "b"}) == 8.0
    assert not list(weights.parameters())


def test_learnt_weights_begin_at_the_fixed_ones_and_settle_at_the_inverse_loss():
    """exp(-s) L + s is least at s = log L, where every task costs the same."""
    weights = TaskWeights({"a": 2.0, "b": 0.5}, learnt=True)
    losses = {"a": torch.tensor(3.0), "b": torch.tensor(0.2)}
    begun = -math.log(2.0) - math.log(0.5)
    assert weights(losses, {"a", "b"}).item() == pytest.approx(2 * 3 + 0.5 * 0.2 + begun)
    optimiser = torch.optim.SGD(weights.parameters(), lr=0.1)
    for _ in range(400):
        optimiser.zero_grad()
        weights(losses, {"a", "b"}).backward()
        optimiser.step()
    learnt = {name: one.item() for name, one in weights.uncertainties.items()}
    assert learnt == pytest.approx({"a": math.log(3.0), "b": math.log(0.2)}, abs=1e-3)


def test_a_task_without_labels_learns_no_weight():
    weights = TaskWeights({"a": 1.0, "b": 1.0}, learnt=True)
    zero = torch.tensor(5.0, requires_grad=True).sum() * 0
    total = weights({"a": torch.tensor(3.0), "b": zero}, {"a"})
    total.backward()
    assert weights.uncertainties["b"].grad == 0
    assert weights.uncertainties["a"].grad != 0
