"""What `maskwright train` asks of an architecture before anything is read."""

from __future__ import annotations

import pytest

from maskwright.cli.train import resolve


@pytest.mark.parametrize(
    ("model", "settings", "pretrained"),
    [
        ("deeplabv3plus-lite0", {}, True),
        ("unet-lite0", {}, True),
        ("pspnet50", {}, None),
        ("lraspp-mobilenetv3", {}, None),
        ("lraspp-mobilenetv3", {"encoder": "mobilenetv3_large_100"}, True),
        ("fcn-resnet50", {}, True),
        ("fcn-resnet50", {"encoder_width": 0.5}, None),
        ("fcn-resnet50", {"pretrained": False}, False),
        ("bisenetv2", {}, None),
    ],
)
def test_the_command_asks_for_imagenet_weights_where_there_are_any(model, settings, pretrained):
    found = resolve(model, None, "64x64", settings | {"steps": 1}, pretrained=True)
    assert found.options.get("pretrained") == pretrained
