"""Enlargement and reflection, against torch's and numpy's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwright.layers import bilinear_upsampling, enlarge_and_crop, reflect_pad


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("factor", [2, 8])
def test_transposed_convolution_starts_bilinear(separate, factor):
    layer = bilinear_upsampling(3, factor, padding=factor // 2, separate=separate)
    features = torch.randn(2, 3, 6, 5)
    wanted = F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)
    found = layer(features)
    assert found.shape == wanted.shape
    inside = slice(factor, -factor)  # beyond the border stand zeros, not the border's values
    torch.testing.assert_close(found[..., inside, inside], wanted[..., inside, inside])


def test_enlarging_keeps_places_where_the_image_is_no_multiple():
    places = torch.arange(4.0) * 8 + 3.5  # the centres of cells of 8 pixels
    grid = places.expand(1, 1, 4, 4)
    found = enlarge_and_crop(grid, 8, (29, 27))
    assert found.shape == (1, 1, 29, 27)
    torch.testing.assert_close(found[0, 0, 0, 4:], torch.arange(4.0, 27.0))


@pytest.mark.parametrize("size", [(7, 5), (2, 1), (3, 11)])
@pytest.mark.parametrize("pads", [((2, 3), (0, 1)), ((25, 40), (19, 7)), ((0, 0), (0, 0))])
def test_reflection_is_numpys_at_any_width(size, pads):
    image = torch.arange(size[0] * size[1]).float().view(1, 1, *size)
    wanted = np.pad(image[0, 0].numpy(), pads, mode="reflect")
    assert np.array_equal(reflect_pad(image, *pads)[0, 0].numpy(), wanted)
