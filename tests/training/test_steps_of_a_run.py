"""What one update of a run is, by closed forms: clipped, averaged over its steps, drawn anew.

A first update of SGD with Nesterov momentum m moves weights by (1 + m) * rate * gradient, so that
what a run leaves tells the gradient that it used.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from shapes import Listener, make_dataset, quick, tensors

from maskwright.data import NONE
from maskwright.training import loop, train

STEP = {"optimiser": "sgd", "weight_decay": 0.0, "ema": 0.0, "warmup": 0.0, "clip": 0.0,
        "augmentation": NONE, "batch": 2, "evaluate_every": 1}  # fmt: skip
NESTEROV = 1.9


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """One picture to train on, so that each batch is the same."""
    whole = make_dataset(tmp_path_factory.mktemp("shapes"))
    return replace(whole, splits={**whole.splits, "train": whole.splits["train"][:1]})


@pytest.fixture
def update(dataset, tmp_path, monkeypatch):
    """Settings -> the gradient that a run of one update used, by parameter."""
    build, before = loop.build_optimiser, {}

    def remember(network, config):
        before.update((name, one.detach().clone()) for name, one in network.named_parameters())
        return build(network, config)

    monkeypatch.setattr(loop, "build_optimiser", remember)

    def run(**settings):
        rates = []

        class Rates(Listener):
            def step(self, step, steps, loss, rate):
                rates.append(rate)

        folder = tmp_path / "_".join(map(str, settings.values()))
        train(quick(**(STEP | settings)), dataset, folder, progress=Rates())
        after = tensors(folder / "last.safetensors")
        return {
            name: (old - after[name]).double() / (NESTEROV * rates[-1])
            for name, old in before.items()
        }

    return run


def norm(gradient):
    return float(torch.stack([one.square().sum() for one in gradient.values()]).sum().sqrt())


def test_a_run_clips_the_norm_of_the_whole_gradient(update):
    free = update(steps=1)
    clip = norm(free) / 4
    clipped = update(steps=1, clip=clip)
    assert norm(clipped) == pytest.approx(clip, rel=1e-3)
    for name, one in free.items():  # shorter, and in the same direction
        torch.testing.assert_close(clipped[name], one / 4, rtol=1e-3, atol=norm(free) * 1e-4)
    loose = update(steps=1, clip=norm(free) * 2)
    assert norm(loose) == pytest.approx(norm(free), rel=1e-4)


def test_steps_that_are_accumulated_are_averaged(update):
    """Over equal batches the mean gradient is that of one of them."""
    one = update(steps=1)
    for steps in (2, 3):
        mean = update(steps=steps, accumulate=steps)
        assert norm(mean) == pytest.approx(norm(one), rel=1e-3)
        for name in one:
            torch.testing.assert_close(mean[name], one[name], rtol=1e-3, atol=norm(one) * 1e-4)


def test_each_step_draws_its_own_dropout_and_a_run_draws_the_same_again(dataset, tmp_path):
    drawn = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        seeds = drawn.setdefault(name, [])
        listener = Listener(lambda step, to=seeds: to.append(torch.initial_seed()))
        train(quick(steps=4, seed=seed), dataset, tmp_path / name, progress=listener)
    assert len(set(drawn["first"])) == 4
    assert drawn["again"] == drawn["first"]
    assert not set(drawn["other"]) & set(drawn["first"])
