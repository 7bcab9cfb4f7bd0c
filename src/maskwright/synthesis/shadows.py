"""Soft shadows on the ground: the bodies' outlines, thrown along the lamps' light and blurred.

They are drawn into a map of the ground around the camera, which the shading looks up.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.synthesis.bodies import Body
from maskwright.synthesis.looks import Lamp, Light
from maskwright.synthesis.solids import Solid
from maskwright.synthesis.textures import sample_picture

CELLS, METRES = 384, 16.0
"""Edge of the map in cells and in metres."""
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ShadowMap:
    """Light that reaches the ground, around `middle` (x, y): float32 [CELLS, CELLS], 0..1."""

    middle: np.ndarray
    light: np.ndarray

    def at(self, xy_N2: np.ndarray) -> np.ndarray:
        """Light at ground points [N, 2]; 1 outside the map. Float32 [N]."""
        place_N2 = (xy_N2 - self.middle) / METRES + 0.5
        return sample_picture(self.light[..., None], place_N2[:, 0], place_N2[:, 1])[:, 0]


def draw_shadows(bodies: tuple[Body, ...], light: Light, middle: np.ndarray) -> ShadowMap:
    """Throw the shadows of all bodies near `middle`."""
    near = [
        solid
        for body in bodies
        if np.abs(np.array(body.spot) - middle).max() < METRES / 2
        for solid in body.solids
    ]
    outlines = [_outline(solid) for solid in near]
    total = np.full((CELLS, CELLS), 1.0, np.float32)
    above = Lamp(toward=(0.0, 0.0, 1.0), share=0.6 * light.even, softness=0.06)
    for lamp in (*light.lamps, above):
        total -= np.float32(lamp.share / 255) * _shadow(outlines, lamp, middle)
    total[0], total[-1], total[:, 0], total[:, -1] = 1, 1, 1, 1
    return ShadowMap(middle, total)


def _shadow(outlines: list[np.ndarray], lamp: Lamp, middle: np.ndarray) -> np.ndarray:
    drawn = np.zeros((CELLS, CELLS), np.uint8)
    x, y, z = lamp.toward
    scale = CELLS / METRES
    for points_P3 in outlines:
        ground_P2 = points_P3[:, :2] - points_P3[:, 2:] * np.array([x / z, y / z])
        cells_P2 = ((ground_P2 - middle) * scale + CELLS / 2 - 0.5) * (1 << _SUBPIXEL_BITS)
        hull = cv2.convexHull(cells_P2.astype(np.int32))
        cv2.fillConvexPoly(drawn, hull, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return cv2.GaussianBlur(drawn, (0, 0), lamp.softness * scale).astype(np.float32)


def _outline(solid: Solid) -> np.ndarray:
    """Points [P, 3] whose hull is the solid, roughly where it is round."""
    if solid.kind == "box":
        unit_P3 = _CORNERS
    elif solid.bulge:
        unit_P3 = _SPHERE
    else:
        unit_P3 = _RINGS.copy()
        unit_P3[:, :2] *= 1 - solid.taper * unit_P3[:, 2:]
    return unit_P3 @ solid.axes.T + solid.centre


def _rings(heights: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    flat = np.stack([np.cos(turn), np.sin(turn)], 1)
    return np.concatenate(
        [np.column_stack([flat * r, np.full(12, z)]) for z, r in zip(heights, radii)]
    )


_CORNERS = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
_RINGS = _rings((-1.0, 1.0), (1.0, 1.0))
_SPHERE = _rings((-0.9, -0.4, 0.4, 0.9), (0.44, 0.917, 0.917, 0.44))
