"""HRNet: the authors' checkpoints, the corners, and OCR's region means by loops."""

from __future__ import annotations

import pytest
import torch

from maskwright.architectures import ARCHITECTURES, build, hrnetv2, ocr
from maskwright.architectures.encoders import hrnet
from maskwright.core.errors import ConfigError


@pytest.mark.parametrize("name", ["", "-ocr"])
def test_the_training_wrapper_of_the_authors_checkpoints_is_taken_off(name):
    head = "ocr_distri_head.conv_bn_dropout.0.weight" if name else "last_layer.0.weight"
    plain = {"conv1.weight": torch.zeros(1), head: torch.ones(1)}
    wrapped = {f"model.{key}": tensor for key, tensor in plain.items()}
    wrapped["loss.criterion.weight"] = torch.zeros(19)
    from_reference = ARCHITECTURES[f"hrnetv2-w48{name}"].card.from_reference
    found = from_reference(wrapped)
    assert found == from_reference(plain)
    assert set(found) == {"encoder.stem.0.conv.weight", f"{'fuse' if name else 'mix'}.conv.weight"}


def test_branches_have_their_strides_and_corners_matter():
    torch.manual_seed(0)
    images_B3HW = torch.randn(1, 3, 65, 97)
    encoder = hrnet.HRNet(hrnet.HRNetSizes(**hrnet.TINY)).eval()
    features = encoder(images_B3HW)
    assert [tuple(branch.shape[1:]) for branch in features] == [
        (8, 17, 25),
        (16, 9, 13),
        (24, 5, 7),
        (32, 3, 4),
    ]
    assert encoder.joined(images_B3HW).shape == (1, 80, 17, 25)
    aligned = hrnet.HRNet(hrnet.HRNetSizes(align_corners=True, **hrnet.TINY)).eval()
    aligned.load_state_dict(encoder.state_dict())
    assert not torch.allclose(aligned(images_B3HW)[0], features[0])


def test_as_an_encoder_it_gives_the_first_stage_and_all_branches_joined():
    torch.manual_seed(0)
    sizes = hrnet.HRNetSizes(**hrnet.TINY)
    plain, encoder = hrnet.HRNet(sizes).eval(), hrnet.HRNetEncoder(sizes).eval()
    plain.load_state_dict(encoder.state_dict())
    images_B3HW = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        first, joined = encoder(images_B3HW)
        assert torch.equal(joined, plain.joined(images_B3HW))
        assert torch.equal(first, plain.first(plain.stem(images_B3HW)))
    assert encoder.channels == (first.shape[1], joined.shape[1])
    assert first.shape[-2:] == joined.shape[-2:] == (17, 25)
    network = build("deeplabv3plus-resnet50", 3, encoder="hrnetv2-w18").eval()
    assert network(images_B3HW)["logits"].shape == (1, 3, 17, 25)


def test_the_exchange_can_take_the_nearest_neighbour():
    torch.manual_seed(0)
    module = hrnet._Module((2, 4), 1, hrnet.HRNetSizes(nearest=True)).eval()
    fine, coarse = torch.randn(1, 2, 4, 6), torch.randn(1, 4, 2, 3)
    with torch.no_grad():
        found = module([fine, coarse])[0]
        up = module.exchange[0][1](module.branches[1](coarse))
        expected = module.branches[0](fine) + up.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(found, expected.relu())


def test_a_linear_stem_lets_negative_values_through():
    images_B3HW = torch.randn(1, 3, 9, 9)
    lowest = [
        hrnet.HRNet(hrnet.HRNetSizes(**hrnet.TINY, linear_stem=linear)).stem[0](images_B3HW).min()
        for linear in (True, False)
    ]
    assert lowest[0] < 0 == lowest[1]


def test_regions_are_means_weighted_by_the_softmax_over_places():
    pixels = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    logits = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    found = ocr.gather(pixels, logits)
    assert found.shape == (2, 3, 6, 1)
    for image in range(2):
        for region in range(6):
            weight = logits[image, region].exp()
            expected = (pixels[image] * weight).sum(dim=(1, 2)) / weight.sum()
            torch.testing.assert_close(found[image, :, region, 0], expected, rtol=1e-12, atol=1e-14)


def test_sizes_that_do_not_fit_are_told():
    with pytest.raises(ConfigError, match=r"4 positive entries in widths, got \(18, 36\)"):
        hrnetv2.HRNetV2Config(widths=(18, 36))
