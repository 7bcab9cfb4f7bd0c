"""The figures of training on a card: our loop beside a plain one, step by step the same."""

from __future__ import annotations

import pytest
import torch

from benchmarks.devices import Ours, Plain, agreement, batch_of, images_a_second, without_dropout

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["unet-small", "bisenetv2"])
def test_both_loops_train_the_same(name):
    ours, plain = Ours(name, CPU, "fp32"), Plain(name, CPU, "fp32")
    for step in range(2):
        torch.manual_seed(step)
        mine = ours.train(batch_of(2, 64, step))
        torch.manual_seed(step)
        theirs = plain.train(batch_of(2, 64, step))
        assert float(mine) == pytest.approx(float(theirs), rel=1e-4)


def test_a_row_tells_both_and_their_ratio():
    row = images_a_second("unet-small", CPU, "fp32", images=1, side=32, turns=1)
    assert set(row["images_a_second"]) == {"ours", "plain"}
    assert row["ratios"] == [row["ours_over_plain"]]


def test_the_same_device_agrees_with_itself():
    found = agreement("unet-small", CPU, steps=2, images=2, side=32)
    for numbers in ("fp32", "fp64"):
        assert found[numbers]["largest_difference"] == 0
        assert len(found[numbers]["losses_cpu"]) == 2
    first = {numbers: found[numbers]["losses_cpu"][0] for numbers in ("fp32", "fp64")}
    assert first["fp32"] == pytest.approx(first["fp64"], abs=1e-5)
    assert first["fp32"] != first["fp64"]


def test_nothing_is_drawn_without_dropout():
    loop = Ours("segformer-b0", CPU, "fp32")
    without_dropout(loop.network)
    batch = batch_of(2, 64, 0).images_B3HW.float() / 255
    first, second = (loop.network(batch)["logits"] for _ in range(2))
    assert torch.equal(first, second)
