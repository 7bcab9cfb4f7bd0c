"""VGG's first convolution, turned round for RGB."""

from __future__ import annotations

import pytest
import torch

from maskwright.architectures import fcn, segnet
from maskwright.architectures.encoders.vgg import from_caffe, rgb_images, vgg_stage
from maskwright.core.errors import ConfigError


def test_the_first_convolution_sees_what_caffes_saw():
    """From a uint8 RGB image: our way, and the way of Caffe's programs."""
    torch.manual_seed(0)
    image_RGB = torch.randint(0, 256, (1, 3, 9, 9), dtype=torch.uint8)
    theirs = {"conv1_1.weight": torch.randn(4, 3, 3, 3), "conv1_1.bias": torch.randn(4)}
    mean_BGR = torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
    caffe_B3HW = image_RGB.flip(1).float() - mean_BGR
    wanted = torch.conv2d(caffe_B3HW, *theirs.values(), padding=1).relu()
    stage = vgg_stage(3, 4, 1)
    ours = from_caffe(theirs, "stages")
    stage.load_state_dict({key.removeprefix("stages.0."): ours[key] for key in ours})
    network = fcn.tiny(2)
    normalised = network.normalise(image_RGB)
    torch.testing.assert_close(stage(normalised), wanted, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(rgb_images(caffe_B3HW), normalised, rtol=1e-4, atol=1e-4)


def test_other_names_and_grey_first_layers_stay():
    weights = {"score.weight": torch.ones(1), "conv2_3_bn.bias": torch.ones(2)}
    renamed = from_caffe(weights, "encoder")
    assert set(renamed) == {"score.weight", "encoder.1.2.norm.bias"}


def test_segnets_two_references_see_the_same_image():
    torch.manual_seed(0)
    image_RGB = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    network = segnet.tiny(2)
    weight = torch.randn(4, 3, 3, 3)
    own = segnet.from_reference({"encoder_conv_00.0.weight": weight})
    caffe = segnet.from_reference({"conv1_1.weight": weight})
    normalised = network.normalise(image_RGB)
    for found, image in (
        (own, image_RGB / 255.0),
        (caffe, image_RGB.flip(1).float()),
    ):
        [converted] = found.values()
        torch.testing.assert_close(
            torch.conv2d(normalised, converted),
            torch.conv2d(image, weight),
            rtol=1e-4,
            atol=1e-2,
        )


def test_a_coarser_fcn_has_fewer_scores_and_unknown_encoders_are_told():
    from maskwright.architectures.encoder_fcn import EncoderFCN, EncoderFCNConfig

    assert len(EncoderFCN(EncoderFCNConfig(encoder="test_efficientnet", stride=32)).scores) == 1
    with pytest.raises(ConfigError, match="timm has no network"):
        EncoderFCN(EncoderFCNConfig(encoder="efficientnet-none"))
