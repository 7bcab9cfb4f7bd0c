"""The naive baselines: their cost, and what the sliding window computes again and again."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from maskwright.architectures import summarise
from maskwright.architectures.sliding_window import SlidingWindow, SlidingWindowConfig
from maskwright.architectures.sliding_window import tiny as tiny_sliding_window
from maskwright.core.errors import ConfigError


def flops(function, images_B3HW):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function(images_B3HW)
    return counter.get_total_flops()


@pytest.mark.parametrize("size", [(64, 96), (37, 50), (9, 130)])
@pytest.mark.parametrize(("widths", "step"), [((6, 8), 4), ((4, 6, 8), 8)])
def test_one_pass_gives_the_windows_answers(size, widths, step):
    torch.manual_seed(0)
    config = SlidingWindowConfig(classes=3, widths=widths, left=3, hidden=8, step=step)
    network = SlidingWindow(config).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    network(images)  # batch norm sees something
    network.eval()
    with torch.no_grad():
        windows, once = network(images)["logits"], network.in_one_pass(images)["logits"]
    assert windows.shape == (2, 3, *size)
    torch.testing.assert_close(windows, once, rtol=1e-10, atol=1e-12)


def test_a_windows_answer_is_the_one_that_it_gives_alone():
    network = tiny_sliding_window(3).eval()
    images = torch.randn(1, 3, 60, 60)
    with torch.no_grad():
        inside = network._cut_out(network._pad(images))[0, 7, 5]
        # windows of 22 every 4: the one of cell (7, 5) begins 9 pixels before it
        assert torch.equal(inside, images[0, :, 28 - 9 : 28 + 13, 20 - 9 : 20 + 13])


def test_the_same_answers_cost_many_times_as_much():
    with torch.device("meta"):
        network = SlidingWindow(SlidingWindowConfig()).eval()
        images = torch.empty(1, 3, 512, 512)
        windows, once = flops(network, images), flops(network.in_one_pass, images)
    assert summarise("sliding-window").gflops == pytest.approx(windows / 1e9)
    for told in (windows / 1e9, once / 1e9):
        assert f"{told:.1f}" in summarise("sliding-window").notes
    assert windows / once == pytest.approx(12.1, abs=0.05)
    assert round(64 * windows / 1e9) == 2093


def test_steps_beside_the_poolings_have_no_single_pass():
    network = SlidingWindow(SlidingWindowConfig(classes=2, widths=(4,), left=3, step=3)).eval()
    images = torch.randn(1, 3, 20, 31)
    assert network(images)["logits"].shape == (1, 2, 20, 31)
    with pytest.raises(ConfigError, match=r"every 2 pixels.*got step 3"):
        network.in_one_pass(images)
    with pytest.raises(ConfigError, match="windows that meet"):
        SlidingWindowConfig(widths=(4,), left=1, step=9)


def test_the_dense_layers_cost_is_the_one_that_the_card_tells():
    summary = summarise("fully-connected")
    assert round(summary.parameters / 1e6, 1) == 50.3
    assert "50.3 M" in summary.notes
    straight = 3 * 512**2 * 21 * 512**2  # weights from every value to every class of every pixel
    assert f"{straight / 1e12:.1f} million million" in summary.notes
