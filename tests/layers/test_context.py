"""What sees further: the start as the identity, the reach, the averages."""

from __future__ import annotations

import math

import pytest
import torch

from maskwright.architectures import ARCHITECTURES, dilation, encoder_fcn
from maskwright.layers import AveragePooling, MultiScaleDilation


@pytest.mark.parametrize("multiples", [(), dilation.LARGE])
@pytest.mark.parametrize("pads_once", [True, False])
def test_context_starts_as_the_identity(multiples, pads_once):
    torch.manual_seed(0)
    scores = torch.rand(2, 5, 12, 14)
    context = MultiScaleDilation(5, (1, 1, 2, 4, 8, 16, 1), multiples, pads_once)
    with torch.no_grad():
        found = context(scores)
    torch.testing.assert_close(found, scores, rtol=0, atol=0.05 if multiples else 0)


def test_channels_of_a_group_do_not_stay_equal():
    torch.manual_seed(0)
    context = MultiScaleDilation(3, (1, 1), (2, 2))
    first, second = context.layers[0].conv.weight[:2]
    assert not torch.equal(first, second)


def test_context_sees_as_far_as_its_dilations_sum():
    context = MultiScaleDilation(3, (1, 2, 4)).double()
    for parameter in context.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    scores = torch.rand(1, 3, 31, 31, dtype=torch.float64, requires_grad=True)
    context(scores)[0, 0, 15, 15].backward()
    seen = scores.grad[0].abs().sum(dim=0).nonzero()
    assert seen.min(dim=0).values.tolist() == [15 - 7, 15 - 7]
    assert seen.max(dim=0).values.tolist() == [15 + 7, 15 + 7]


def test_average_pooling_puts_the_whole_beside_each_part():
    features = torch.rand(2, 4, 5, 7)
    found = AveragePooling(4, scale=2.0)(features)
    assert found.shape == (2, 8, 5, 7)
    mean = features.mean(dim=(2, 3))
    torch.testing.assert_close(found[:, 4:, 3, 1], 2 * mean / mean.norm(dim=1, keepdim=True))
    own = features[:, :, 3, 1]
    torch.testing.assert_close(found[:, :4, 3, 1], 2 * own / own.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("context", encoder_fcn.CONTEXTS)
def test_each_stands_in_an_fcn(context):
    config = encoder_fcn.EncoderFCNConfig(
        classes=3, encoder="test_efficientnet", stride=8, context=context
    )
    network = encoder_fcn.EncoderFCN(config)
    logits = network(torch.rand(2, 3, 65, 70))["logits"]
    logits.square().sum().backward()
    assert logits.shape == (2, 3, 9, 9)
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", ["fcn8s", "fcn8s-lite0", "dilation8", "segnet", "sliding-window"])
def test_no_network_begins_sure_of_itself(name):
    """Its first loss is about that of a guess, ln K."""
    torch.manual_seed(0)
    network = ARCHITECTURES[name].tiny(11).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, 3, 64, 64))["logits"]
    guess = torch.logsumexp(logits, dim=1).mean() - logits.mean()
    assert guess == pytest.approx(math.log(11), abs=0.1)
