"""CAA: sums of means against the paper's means of products, and what `tiny` leaves out."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from maskwright.architectures import caa
from maskwright.core.errors import ConfigError

CONFIG = caa.CAAConfig(classes=4, width=12, key_width=5, gate_depth=2, gate_width=6)


def by_products(lines, values_BCih, weights_Biik):
    """One direction as the paper writes it: every product kept, for each place of a line.

    Args:
        lines: its gate.
        values_BCih: C by places by lines.
        weights_Biik: [B, line, place, place asked].
    """
    result = torch.zeros_like(values_BCih)
    for place in range(values_BCih.shape[2]):
        # [B, C, place asked, line]
        products = values_BCih * weights_Biik[:, :, place].transpose(1, 2).unsqueeze(1)
        gate_BC = lines.gate(products.mean(dim=(2, 3)))
        result[:, :, place] = gate_BC.unsqueeze(2) * products.sum(dim=2)
    return result


def test_means_and_sums_may_be_exchanged():
    torch.manual_seed(0)
    head = caa.CAAHead(CONFIG, channels=7).double().eval()
    attention = head.attention
    entry = torch.randn(2, 12, 5, 8, dtype=torch.float64).relu()
    columns, rows = attention.columns, attention.rows
    down = caa.attention_map(columns.key(entry).permute(0, 3, 2, 1))
    across = caa.attention_map(rows.key(entry).permute(0, 2, 3, 1))
    seen = by_products(columns, attention.value(entry), down)
    expected = by_products(rows, seen.transpose(2, 3), across).transpose(2, 3)
    torch.testing.assert_close(attention(entry), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_image_level_and_output_strides(output_stride):
    config = dataclasses.replace(
        CONFIG, encoder="test_efficientnet", output_stride=output_stride, gate_depth=0
    )
    network = caa.CAA(config).eval()
    logits = network(torch.randn(1, 3, 65, 96))["logits"]
    assert logits.shape == (1, 4, -(-65 // output_stride), 96 // output_stride)
    assert not any(".gate." in name for name in network.state_dict())
    assert "head.image_level.conv.weight" in network.state_dict()


def test_an_encoder_that_cannot_dilate_is_told():
    with pytest.raises(ConfigError, match=r"efficientformer_l1 .*output stride 8"):
        caa.CAA(dataclasses.replace(CONFIG, encoder="efficientformer_l1", output_stride=8))
