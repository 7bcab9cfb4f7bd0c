"""Contact sheets and legends, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core import Classes
from maskwright.core.panels import contact_sheet, legend


@pytest.mark.parametrize(("size", "expected"), [((40, 20), (60, 30)), ((10, 30), (27, 80))])
def test_pictures_keep_their_aspect_and_fill_their_tile(size, expected):
    red = np.zeros((*size, 3), np.uint8)
    red[..., 0] = 255
    sheet = contact_sheet([red], tile=(60, 80))
    pure = (sheet == (255, 0, 0)).all(axis=2)
    rows, columns = np.flatnonzero(pure.any(axis=1)), np.flatnonzero(pure.any(axis=0))
    found = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    assert found == expected
    assert pure.sum() == found[0] * found[1]


def test_a_swatch_is_a_square_of_its_colour():
    classes = Classes.of(["a", "b"], [(255, 0, 0), (0, 0, 255)])
    picture = legend(classes)
    for colour in classes.colours:
        pure = (picture == colour).all(axis=2)
        rows, columns = np.flatnonzero(pure.any(axis=1)), np.flatnonzero(pure.any(axis=0))
        height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
        assert height == width > 5
        assert pure.sum() == height * width
