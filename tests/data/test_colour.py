"""Changes of colour against the standard library's, one colour at a time."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from maskwright.data.colour import Colour, change_colour


@pytest.mark.parametrize("turn", [-0.5, -1 / 3, -0.1, 0.0, 0.1, 1 / 3, 0.5])
@pytest.mark.parametrize("saturation", [0.5, 1.0])
def test_the_hue_turns_around_the_circle(turn, saturation):
    """Past red it begins anew: a turn beyond either end is no other than one within."""
    hues = np.linspace(0, 1, 24, endpoint=False)
    image = np.array([[colorsys.hsv_to_rgb(hue, 0.8, 0.8) for hue in hues]]) * 255
    wanted = [colorsys.hsv_to_rgb((hue + turn) % 1, 0.8 * saturation, 0.8) for hue in hues]
    colour = Colour(brightness=None, contrast=1.0, saturation=saturation, turn=turn)
    changed = change_colour(np.round(image).astype(np.uint8), colour)
    np.testing.assert_allclose(changed[0], np.array(wanted) * 255, atol=8)


def test_brightness_is_a_factor_about_black_and_contrast_about_the_mean():
    image = np.full((16, 16, 3), 100, np.uint8)
    image[0, 0] = 140  # one of the four pixels that the mean is taken of
    middle = (140 + 3 * 100) / 4
    for brightness, contrast in ((0.5, 1.0), (1.0, 0.5), (1.2, 1.5), (4.0, 1.0)):
        colour = Colour(brightness=brightness, contrast=contrast, saturation=None, turn=0.0)
        for value in (100, 140):
            changed = change_colour(image, colour)[tuple(np.argwhere(image == value)[0])]
            wanted = (value * brightness - middle) * contrast + middle
            assert changed == np.clip(round(wanted), 0, 255)
