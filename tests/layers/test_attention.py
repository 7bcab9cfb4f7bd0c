"""Attention in blocks of rows against torch's own, and its memory at a real image's size."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from maskwright.layers import attend, attend_to_channels


@pytest.mark.parametrize("max_scores", [1, 40, 77, 10**6])
def test_blocks_change_nothing(max_scores):
    torch.manual_seed(0)
    queries, keys, values = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 11, 4), (2, 7, 4), (2, 7, 5))
    )
    found = attend(queries, keys, values, max_scores)
    expected = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-15)
    weights = torch.randn_like(found)
    gradients = torch.autograd.grad((found * weights).sum(), (queries, keys, values))
    for gradient, other in zip(
        gradients, torch.autograd.grad((expected * weights).sum(), (queries, keys, values))
    ):
        torch.testing.assert_close(gradient, other, rtol=1e-12, atol=1e-14)


def test_channels_read_most_from_those_least_alike():
    queries = torch.randn(2, 3, 10, dtype=torch.float64)
    keys = torch.randn(2, 4, 10, dtype=torch.float64)
    found = attend_to_channels(queries, keys)
    for image in range(2):
        for channel in range(3):
            energies = keys[image] @ queries[image, channel]
            shares = torch.exp(energies.max() - energies)
            expected = (shares / shares.sum()) @ keys[image]
            torch.testing.assert_close(found[image, channel], expected, rtol=1e-12, atol=1e-14)


MEASURE = """
import re, torch
from pathlib import Path
from maskwright.layers import attend
tensors = [torch.randn(1, 8192, width) for width in (64, 64, 512)]
# getrusage would tell of the parent's peak too
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
with torch.inference_mode():
    attend(*[tensor[:, :256] for tensor in tensors])
    before = peak()
    attend(*tensors)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_all_places_of_an_image_of_512x1024():
    """At stride 8 the scores would be 256 MB, and their softmax as much again."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 256
