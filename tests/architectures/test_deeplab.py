"""Checkpoints of several namings, into DeepLab v3 and v3+ and their like."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import segmentation

from maskwright.architectures import ARCHITECTURES, deeplabv3, deeplabv3plus


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("fcn-resnet101", "fcn_resnet101"),
        ("deeplabv3-resnet101", "deeplabv3_resnet101"),
        ("deeplabv3-mobilenetv3", "deeplabv3_mobilenet_v3_large"),
        ("lraspp-mobilenetv3", "lraspp_mobilenet_v3_large"),
    ],
)
def test_torchvisions_checkpoints_fit_as_they_are(name, theirs):
    entry = ARCHITECTURES[name]
    auxiliary = {} if name.startswith("lraspp") else {"aux_loss": True}
    with torch.device("meta"):
        ours = entry.network(entry.config).state_dict()
        settings = {"weights": None, "weights_backbone": None, **auxiliary}
        state = getattr(segmentation, theirs)(**settings).state_dict()
    renamed = entry.card.from_reference(state)
    assert {key: tensor.shape for key, tensor in renamed.items()} == {
        key: tensor.shape for key, tensor in ours.items()
    }


def test_three_namings_of_deeplab_v3_are_one():
    torchvision = ["classifier.0.convs.0.0.weight", "classifier.0.convs.3.1.bias",
                   "classifier.0.convs.4.1.weight", "classifier.0.convs.4.2.weight",
                   "classifier.1.weight", "classifier.2.bias", "classifier.4.bias"]  # fmt: skip
    vainf = [f"classifier.{name}" for name in torchvision]
    smp = [f"decoder.aspp.{name[13:]}" for name in torchvision[:4]]
    smp += ["decoder.conv.weight", "decoder.bn.bias", "segmentation_head.0.bias"]
    found = [
        list(deeplabv3.from_reference({name: torch.zeros(1) for name in names}))
        for names in (torchvision, vainf, smp)
    ]
    assert found[0] == found[1] == found[2]
    assert found[0][1:4] == [
        "head.aspp.branches.3.norm.bias",
        "head.aspp.pool.conv.weight",
        "head.aspp.pool.norm.weight",
    ]


def test_separable_convolutions_of_two_namings_are_one():
    vainf = {"classifier.aspp.convs.1.0.body.1.weight", "classifier.classifier.0.body.0.weight"}
    smp = {"decoder.aspp.0.convs.1.0.1.weight", "decoder.block2.0.0.weight"}
    for names in (vainf, smp):
        renamed = deeplabv3plus.from_reference({name: torch.zeros(4) for name in names})
        assert set(renamed) == {
            "head.aspp.branches.1.pointwise.weight",
            "head.fuse.depthwise.weight",
        }
