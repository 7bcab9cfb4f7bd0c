"""First weights from files: whose names they have."""

from __future__ import annotations

import torch

from maskwright.architectures import build
from maskwright.architectures.deeplabv3plus import DeepLabV3Plus, DeepLabV3PlusConfig
from maskwright.training.first_weights import read_first_weights


def smp_checkpoint():
    """A file of a segmentation_models_pytorch network: its encoder has the names of ours."""
    network = DeepLabV3Plus(
        DeepLabV3PlusConfig(encoder="resnet18", separable_decoder=True, width=4, low_width=2)
    )
    places = {
        "head.narrow.conv": "decoder.block1.0",
        "head.narrow.norm": "decoder.block1.1",
        "head.fuse.depthwise": "decoder.block2.0.0",
        "head.fuse.pointwise": "decoder.block2.0.1",
    }
    state = network.state_dict()
    named = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    for name, tensor in state.items():
        part, _, leaf = name.rpartition(".")
        if part in places:
            named[f"{places[part]}.{leaf}"] = tensor
    return named


def test_a_checkpoint_that_shares_some_of_our_names_is_still_the_authors(tmp_path):
    named = smp_checkpoint()
    torch.save(named, tmp_path / "smp.pth")
    found = read_first_weights(tmp_path / "smp.pth", "deeplabv3plus-resnet50")
    assert torch.equal(found["encoder.conv1.weight"], named["encoder.conv1.weight"])
    # theirs puts the two narrow channels last, ours first
    theirs = named["decoder.block2.0.1.weight"]
    ours = found["head.fuse.pointwise.weight"]
    assert torch.equal(ours[:, :2], theirs[:, 4:])
    assert torch.equal(ours[:, 2:], theirs[:, :4])


def test_our_own_checkpoint_is_taken_as_it_is(tmp_path):
    state = build("deeplabv3plus-resnet50", 3, encoder="resnet18", width=4).state_dict()
    torch.save(state, tmp_path / "ours.pth")
    found = read_first_weights(tmp_path / "ours.pth", "deeplabv3plus-resnet50")
    assert set(found) == set(state)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
