"""HRNet: the authors' checkpoints, the corners, and OCR's region means by loops."""

from __future__ import annotations

import pytest
import torch

from maskwright.architectures import ARCHITECTURES, hrnetv2, ocr
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
