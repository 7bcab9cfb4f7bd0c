"""Changes of colour: brightness, contrast, saturation and hue, drawn once for all that go alike."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Colour:
    """What happens to the colours of an image.

    Attributes:
        brightness, contrast: factors on all channels, about black and about the mean; None leaves
            both alone.
        saturation: a factor; None leaves it and the hue alone.
        turn: of the hue; 1 is the whole circle.
    """

    brightness: float | None
    contrast: float
    saturation: float | None
    turn: float


def draw_colour(
    rng: np.random.Generator, brightness: float, contrast: float, saturation: float, hue: float
) -> Colour:
    """Draw factors in 1 - strength .. 1 + strength, and a turn in -hue .. hue."""

    def factor(strength: float) -> float:
        return 1.0 + strength * rng.uniform(-1.0, 1.0)

    light, spread = factor(brightness), factor(contrast)
    depth, turn = factor(saturation), hue * rng.uniform(-1.0, 1.0)
    return Colour(
        brightness=light if brightness or contrast else None,
        contrast=spread,
        saturation=depth if saturation or hue else None,
        turn=turn,
    )


def change_colour(image: np.ndarray, colour: Colour) -> np.ndarray:
    """uint8 RGB [H, W, 3] -> the same with its colours changed; by two look-up tables and HSV."""
    if colour.brightness is not None:
        middle = float(image[::8, ::8].mean())
        table = (np.arange(256) * colour.brightness - middle) * colour.contrast + middle
        image = cv2.LUT(image, np.clip(np.round(table), 0, 255).astype(np.uint8))
    if colour.saturation is not None:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        levels = np.arange(256)
        tables = np.stack(
            [
                levels + round(colour.turn * 256),
                np.clip(levels * colour.saturation, 0, 255),
                levels,
            ],
            axis=-1,
        )
        hsv = cv2.LUT(hsv, (tables.astype(np.int64) % 256).astype(np.uint8)[:, None])
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    return image
