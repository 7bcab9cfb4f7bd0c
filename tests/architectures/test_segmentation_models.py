"""Networks as segmentation_models_pytorch has them: its names, its order, by a plain rewrite."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maskwright.architectures import build, deeplabv3, pspnet, segformer, unet
from maskwright.architectures.encoders import MOBILENETS, MobileNet


def shaken(network: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with norms that do something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            nn.init.normal_(module.running_mean, 0.0, 0.1)
    return network.double().eval()


def pyramid_by_its_order(theirs, features, bins):
    """Averages first, the features behind them; the mean of the image without a norm."""
    views = []
    for number, count in enumerate(bins):
        part = f"decoder.psp.blocks.{number}.pool.1"
        view = F.adaptive_avg_pool2d(features, count)
        view = F.conv2d(view, theirs[f"{part}.0.weight"], theirs.get(f"{part}.0.bias"))
        if count > 1:
            norm = [theirs[f"{part}.1.{leaf}"] for leaf in ("running_mean", "running_var")]
            view = F.batch_norm(view, *norm, theirs[f"{part}.1.weight"], theirs[f"{part}.1.bias"])
        size = features.shape[-2:]
        views.append(F.interpolate(view.relu(), size, mode="bilinear", align_corners=True))
    return torch.cat([*views, features], dim=1)


def test_a_pspnets_averages_stand_before_its_features():
    network = shaken(
        build(
            "pspnet50", 3, encoder="resnet18", encoder_width=0.125, levels=3, output_stride=32,
            deep_stem=False, dilate_first=False, bins=(1, 2), plain_mean=True, width=8,
            kernels=(1, 3), auxiliary=False,
        )
    )  # fmt: skip
    theirs = {}
    for name, tensor in network.state_dict().items():
        for ours, other in (
            ("head.pyramid.branches.0.", "decoder.psp.blocks.0.pool.1."),
            ("head.pyramid.branches.1.", "decoder.psp.blocks.1.pool.1."),
            ("head.conv.", "decoder.conv."),
            ("head.classify.", "segmentation_head.0."),
        ):
            name = name.replace(ours, other)
        if name.startswith("decoder"):
            name = name.replace(".conv.weight", ".0.weight").replace(".norm.", ".1.")
            name = name.replace(".conv.bias", ".0.bias")
        theirs[name] = tensor
    images = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        features = network.encoder(images)[-1]
        joined = pyramid_by_its_order(theirs, features, (1, 2))
        mixed = F.conv2d(joined, theirs["decoder.conv.0.weight"])
        mixed = network.head.conv.norm(mixed).relu()
        last = [theirs[f"segmentation_head.0.{leaf}"] for leaf in ("weight", "bias")]
        logits = F.conv2d(mixed, *last, padding=1)
        wanted = F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)
        network.load_state_dict(pspnet.from_reference(theirs))
        found = network(images)["logits"]
    assert features.shape[-2:] == (8, 12)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_unet_reads_a_mobilenet_with_torchvisions_numbers():
    network = build("unet-encoder", 2, encoder="mobilenetv2-1280", decoder_channels=(8, 8, 8))
    whole = MobileNet(MOBILENETS["mobilenetv2-1280"]())
    ours = {f"encoder.{name}" for name in whole.state_dict()}
    assert {name for name in network.state_dict() if name.startswith("encoder.")} == ours
    theirs = {"encoder.features.0.0.weight", "encoder.features.18.1.bias"}
    theirs |= {f"encoder.features.2.conv.{number}.weight" for number in ("0.0", "1.0", "2", "3")}
    found = unet.encoder_from_reference({name: torch.zeros(1) for name in theirs})
    assert set(found) == {
        "encoder.stem.conv.weight",
        "encoder.closing.norm.bias",
        *(f"encoder.blocks.1.{part}.conv.weight" for part in ("expand", "depthwise", "project")),
        "encoder.blocks.1.project.norm.weight",
    }
    assert set(found) <= set(network.state_dict())


@pytest.mark.parametrize("prefix", ["encoder.", "encoder.model."])
def test_a_unets_residual_encoder_is_timms(prefix):
    found = unet.encoder_from_reference(
        {f"{prefix}layer1.0.conv1.weight": torch.zeros(1), "decoder.blocks.1.conv2.1.bias": 1}
    )
    assert set(found) == {"encoder.network.layer1.0.conv1.weight", "decoder.1.conv2.norm.bias"}


def test_a_separable_head_of_deeplab_v3():
    names = ("body.0.weight", "body.1.weight")
    weights = {f"classifier.classifier.1.{name}": torch.zeros(1) for name in names}
    found = deeplabv3.from_reference(weights)
    assert set(found) == {"head.conv.depthwise.weight", "head.conv.pointwise.weight"}
    network = build("deeplabv3-resnet50", 2, encoder="resnet18", separable_head=True)
    assert set(found) <= set(network.state_dict())


def test_a_segformers_projections_are_counted_from_the_deepest():
    weights = {f"decoder.mlp_stage.{number}.linear.weight": number for number in range(4)}
    found = segformer.from_reference(weights)
    assert found == {f"decoder.project.{3 - number}.weight": number for number in range(4)}
    names = ("encoder.block1.0.attn.q.weight", "encoder.norm4.bias", "decoder.fuse_stage.1.weight")
    ours = segformer.from_reference(dict.fromkeys(names, 0))
    assert set(ours) <= set(segformer.tiny(2).state_dict())
