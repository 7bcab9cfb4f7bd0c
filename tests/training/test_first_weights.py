"""First weights from files: whose names they have."""

from __future__ import annotations

import pytest
import torch

from maskwright.architectures import build
from maskwright.architectures.deeplabv3plus import DeepLabV3Plus, DeepLabV3PlusConfig
from maskwright.core.errors import ConfigError
from maskwright.training import first_weights
from maskwright.training.first_weights import find_weights, read_first_weights


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


def test_names_are_judged_by_the_settings_that_were_asked_for(tmp_path):
    settings = {"encoder": "mobilenetv2-1280", "width": 4}
    state = build("deeplabv3plus-resnet50", 3, **settings).state_dict()
    torch.save(state, tmp_path / "ours.pth")
    found = read_first_weights(tmp_path / "ours.pth", "deeplabv3plus-resnet50", settings)
    assert set(found) == set(state)


def test_a_file_an_address_or_the_cards_name_for_one(tmp_path, monkeypatch):
    asked, told = [], []

    def fetch(address, progress):
        asked.append(address)
        return tmp_path / "kept.pth"

    monkeypatch.setattr(first_weights, "download", fetch)
    (tmp_path / "here.pth").touch()
    assert find_weights(str(tmp_path / "here.pth"), "bisenetv2") == tmp_path / "here.pth"
    assert find_weights("gone.pth", "bisenetv2").name == "gone.pth"
    assert not asked
    for source, name, ending in (
        ("https://a.test/x.pth", "bisenetv2", "https://a.test/x.pth"),
        ("cityscapes", "bisenetv2", "v2_city.pth"),
        ("coco", "deeplabv3-resnet50", "deeplabv3_resnet50_coco-cd0a2569.pth"),
        ("COCO", "deeplabv3-mobilenetv3", "deeplabv3_mobilenet_v3_large-fc3c493d.pth"),
        ("coco ResNet-101", "fcn-resnet50", "fcn_resnet101_coco-7ecb50ca.pth"),
        ("authors", "lraspp-mobilenetv3", "lraspp_mobilenet_v3_large-d234d4ea.pth"),
        (
            "ade20k",
            "segformer-b5",
            "segformer-b5-finetuned-ade-640-640/resolve/main/pytorch_model.bin",
        ),
        ("Cityscapes, w48", "hrnetv2-w48-ocr", "hrnet_ocr_cs_8162_torch11.pth"),
    ):
        assert find_weights(source, name, told.append) == tmp_path / "kept.pth"
        assert asked[-1].endswith(ending), asked[-1]
        assert told[-1] == f"weights: {asked[-1]}, kept in {tmp_path / 'kept.pth'}"
    with pytest.raises(ConfigError, match=r"can mean several .*cityscapes, w48; cityscapes train"):
        find_weights("cityscapes", "hrnetv2-w48-ocr")
