"""SegNet: unpooling by comparisons against torch's, odd sizes, both runtimes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from on_runtimes import assert_agree

from maskwright.architectures import segnet
from maskwright.core.errors import ConfigError


def many_ties(height, width, seed=0):
    """Values 0 to 3: most windows have several maxima, many are all 0."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 4, (2, 5, height, width), generator=generator)
    return (values - 1).clamp_min(0).float()


@pytest.mark.parametrize("seed", range(5))
def test_choices_are_torchs_indices_ties_included(seed):
    features = many_ties(12, 18, seed)
    pooled, indices = F.max_pool2d(features, 2, return_indices=True)
    choices = segnet._choices(features, pooled)
    assert torch.equal(choices.sum(dim=2), torch.ones_like(pooled, dtype=torch.int64))
    ties = (features.unfold(2, 2, 2).unfold(3, 2, 2) == pooled[..., None, None]).sum(dim=(-1, -2))
    assert (ties > 1).float().mean() > 0.3
    values = torch.randn(pooled.shape)
    assert torch.equal(segnet._put_back(values, choices), F.max_unpool2d(values, indices, 2))


@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize("size", [(12, 18), (13, 18), (12, 19), (13, 19), (2, 3)])
def test_both_forms_pool_as_torch_at_odd_sizes(monkeypatch, ceil, size):
    features = many_ties(*size)
    pooled, choices = segnet.pool(features, ceil)
    assert torch.equal(pooled, F.max_pool2d(features, 2, ceil_mode=ceil))
    values = torch.randn(pooled.shape)
    sparse = segnet.unpool(values, choices)
    assert sparse.shape == features.shape
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    exported, exported_choices = segnet.pool(features, ceil)
    assert exported_choices.winners.dtype == torch.bool
    assert torch.equal(exported, pooled)
    assert torch.equal(segnet.unpool(values, exported_choices), sparse)


def test_unpooling_undoes_pooling_where_the_winners_are():
    features = torch.rand(1, 3, 9, 7) + 0.1
    pooled, choices = segnet.pool(features, ceil=True)
    sparse = segnet.unpool(pooled, choices)
    assert torch.equal(sparse[sparse > 0], features[sparse > 0])
    assert (sparse > 0).sum() == pooled.numel()


def test_both_runtimes_agree_and_need_no_scatter():
    torch.manual_seed(0)
    network = segnet.tiny(4)
    images_B3HW = torch.randint(0, 256, (1, 3, 45, 61), dtype=torch.uint8)
    network(network.normalise(images_B3HW))
    nodes = {node.op_type for node in assert_agree(network.eval(), images_B3HW).node}
    assert not any("Scatter" in node or "Unpool" in node for node in nodes), nodes
    assert "DepthToSpace" in nodes


def test_any_number_of_stages():
    config = segnet.SegNetConfig(classes=3, widths=(8, 12), depths=(2, 3))
    network = segnet.SegNet(config).eval()
    assert network(torch.rand(1, 3, 21, 34))["logits"].shape == (1, 3, 21, 34)
    with pytest.raises(ConfigError, match="2 positive entries in widths"):
        segnet.SegNetConfig(widths=(8,), depths=(2, 3))
    with pytest.raises(ConfigError, match="positive entries"):
        segnet.SegNetConfig(widths=(), depths=())
