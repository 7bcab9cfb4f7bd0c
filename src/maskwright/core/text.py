"""Text on pictures: measured, shortened to fit, and set in black or white, whichever reads better.

Pictures are uint8 RGB [H, W, 3], drawn into in place.
"""

from __future__ import annotations

import cv2
import numpy as np

from maskwright.core.classes import Colour

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PADDING = 4


def measure(text: str, scale: float) -> tuple[int, int]:
    """Width of `text` and height of its line in pixels; every text of a scale has one height."""
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, 1)
    (_, ascent), descent = cv2.getTextSize("Ag", _FONT, scale, 1)
    return width, ascent + descent


def chip_size(text: str, scale: float) -> tuple[int, int]:
    """Width and height in pixels of the plate that `put_chip` draws."""
    width, height = measure(text, scale)
    return width + 2 * _PADDING, height + _PADDING


def fitted(text: str, width: int, scale: float) -> str:
    """`text`, shortened with dots at its end until it is no wider than `width` pixels."""
    if measure(text, scale)[0] <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + "..."
        if measure(shorter, scale)[0] <= width:
            return shorter
    return ""


def put_text(
    picture: np.ndarray, text: str, at: tuple[int, int], scale: float, ink: Colour
) -> None:
    """Draw one line of text whose upper left corner is `at` (x, y)."""
    (_, ascent), _ = cv2.getTextSize("Ag", _FONT, scale, 1)
    cv2.putText(picture, text, (at[0], at[1] + ascent), _FONT, scale, ink, 1, cv2.LINE_AA)


def put_chip(
    picture: np.ndarray, text: str, at: tuple[int, int], scale: float, colour: Colour
) -> None:
    """Draw text on a plate of `colour` whose upper left corner is `at` (x, y)."""
    width, height = chip_size(text, scale)
    corner = (at[0] + width - 1, at[1] + height - 1)
    cv2.rectangle(picture, at, corner, colour, cv2.FILLED)
    put_text(picture, text, (at[0] + _PADDING, at[1] + _PADDING // 2), scale, ink_on(colour))


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever stands out more from `colour` (ITU-R BT.601 luma)."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
