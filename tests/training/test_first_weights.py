"""First weights from files: whose names they have."""

from __future__ import annotations

import json

import pytest
import torch

from maskwright.architectures import batch_norm_fusion, build, modify, save_checkpoint
from maskwright.architectures.deeplabv3plus import DeepLabV3Plus, DeepLabV3PlusConfig
from maskwright.core.card import ModelCard
from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.resize import Resize
from maskwright.training import first_weights
from maskwright.training.config import TrainConfig
from maskwright.training.first_network import first_network, remember
from maskwright.training.first_weights import (
    find_weights,
    load_first_weights,
    read_first_weights,
)


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


# --- what images were normalised with ------------------------------------------------------------

CITYSCAPES = ((0.3257, 0.3690, 0.3223), (0.2112, 0.2148, 0.2115))
"""CoinCheung/BiSeNet's, of its Cityscapes weights."""


def theirs(network):
    """The network's weights under names of CoinCheung/BiSeNet, as far as the spatial path."""
    names = {"spatial.3.": "sp.conv_out.", "spatial.0.": "sp.conv1.", "spatial.1.": "sp.conv2.",
             "spatial.2.": "sp.conv3."}  # fmt: skip
    return {
        name.replace(ours, other).replace(".norm.", ".bn."): tensor
        for name, tensor in network.state_dict().items()
        for ours, other in names.items()
        if name.startswith(ours)
    }


@pytest.mark.parametrize("kept", ["", "0123456789ab-"])
def test_published_weights_are_given_images_as_they_were_trained_with(tmp_path, kept):
    """The same pixels answer the same as the authors' preprocessing followed by the network."""
    network = build("bisenetv1", 19)
    file = tmp_path / f"{kept}model_final_v1_city_new.pth"
    torch.save(theirs(network), file)
    weights = read_first_weights(file, "bisenetv1")
    assert "spatial.0.conv.weight" in weights
    told = []
    found = build("bisenetv1", 19)
    load_first_weights(found, weights, told.append)
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in CITYSCAPES)
    torch.testing.assert_close(found.normalise(pixels), (pixels / 255 - mean) / std)
    assert "as the weights want it" in told[-1]
    assert "0.3257, 0.369, 0.3223" in told[-1]


def test_a_file_of_another_name_is_told_to_be_a_guess(tmp_path):
    network = build("bisenetv1", 19)
    torch.save(theirs(network), tmp_path / "mine.pth")
    told = []
    load_first_weights(network, read_first_weights(tmp_path / "mine.pth", "bisenetv1"), told.append)
    assert network.normalisation == network.built_normalisation
    assert told[-1].startswith("nobody tells what the weights were trained with")
    assert "0.485, 0.456, 0.406" in told[-1]
    load_first_weights(network, dict(network.state_dict()), told.append)
    assert told[-1].startswith("nobody tells")


def test_the_authors_weights_that_want_what_the_architecture_has_need_no_word(tmp_path):
    state = build("lraspp-mobilenetv3", 21).state_dict()
    file = tmp_path / "lraspp_mobilenet_v3_large-d234d4ea.pth"
    torch.save(state, file)
    told = []
    load_first_weights(
        build("lraspp-mobilenetv3", 21), read_first_weights(file, "lraspp-mobilenetv3"), told.append
    )
    assert len(told) == 1


def test_our_own_checkpoint_brings_its_normalisation_and_its_modifications(tmp_path):
    options = {"width": 4, "levels": 2}
    network = build("unet", 3, **options).eval()
    network.normalise_by((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    modify(network, batch_norm_fusion(network))
    card = ModelCard(
        name="mine",
        architecture="unet",
        config=network.config_dict(),
        classes=Classes.of(["a", "b", "c"]),
        tasks=("semantic",),
        resize=Resize(size=(16, 16)),
    )
    save_checkpoint(tmp_path / "mine.safetensors", network, card)
    weights = read_first_weights(tmp_path / "mine.safetensors", "unet", options)
    config = TrainConfig(architecture="unet", options=options, steps=1)
    begun = first_network(config, 5, weights=weights)
    assert begun.normalisation == network.normalisation
    assert begun.modifications == network.modifications
    assert torch.equal(begun.stem[0].conv.bias, network.stem[0].conv.bias)
    plain = json.loads(json.dumps(remember(begun)))
    resumed = first_network(config, 5, remembered=plain)
    assert resumed.normalisation == begun.normalisation
    assert resumed.modifications == begun.modifications
    resumed.load_state_dict(begun.state_dict(), strict=True)
