"""The robot's camera: from pixels to rays and back.

World: metres; x along the field, y across, z up; origin on the ground in the field's middle.
Image: u to the right, v down; the centre of pixel (row i, column j) is (u, v) = (j + 0.5, i + 0.5).
Shapes: N rays or points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """A camera with radial distortion.

    A ray at the angle a from the optical axis meets the image at the radius
    r = tan(bend * a) / bend, in focal lengths. This one-parameter family holds the pinhole
    (bend 1), the stereographic (1/2) and the equidistant fisheye (0), and inverts in closed form.

    Attributes:
        position: x, y, z of the centre of projection in metres.
        yaw: heading in radians, 0 along +x, counter-clockwise seen from above.
        pitch: radians below the horizon.
        roll: radians about the optical axis; the picture turns counter-clockwise with it.
        focal: focal length over the image's diagonal, so that any size sees the same.
        bend: 1 keeps lines straight, less bends them outwards; 0..1.
    """

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    roll: float
    focal: float
    bend: float = 1.0

    def rotation(self) -> np.ndarray:
        """[3, 3] whose columns are the image's right, its down, and forward, in the world."""
        sin_y, cos_y = math.sin(self.yaw), math.cos(self.yaw)
        sin_p, cos_p = math.sin(self.pitch), math.cos(self.pitch)
        sin_r, cos_r = math.sin(self.roll), math.cos(self.roll)
        forward = np.array([cos_y * cos_p, sin_y * cos_p, -sin_p])
        right = np.array([sin_y, -cos_y, 0.0])
        down = np.cross(forward, right)
        return np.stack([right * cos_r + down * sin_r, down * cos_r - right * sin_r, forward], 1)

    def focal_pixels(self, size: tuple[int, int]) -> float:
        """Focal length in pixels of an image of `size` (height, width)."""
        return self.focal * math.hypot(*size)

    def rays(self, u_N: np.ndarray, v_N: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Unit directions [N, 3] in the world of the rays through image points (u, v).

        Args:
            u_N: columns in pixels, float64.
            v_N: rows in pixels, float64.
            size: (height, width) of the image.
        """
        focal = self.focal_pixels(size)
        x_N, y_N = (u_N - size[1] / 2) / focal, (v_N - size[0] / 2) / focal
        if self.bend == 1:
            local_N3 = np.stack([x_N, y_N, np.ones_like(x_N)], 1)
            local_N3 /= np.sqrt(x_N * x_N + y_N * y_N + 1)[:, None]
            return local_N3 @ self.rotation().T
        radius_N = np.maximum(np.sqrt(x_N * x_N + y_N * y_N), 1e-12)
        angle_N = radius_N if self.bend == 0 else np.arctan(self.bend * radius_N) / self.bend
        stretch_N = np.sin(angle_N) / radius_N
        local_N3 = np.stack([x_N * stretch_N, y_N * stretch_N, np.cos(angle_N)], 1)
        return local_N3 @ self.rotation().T

    def project(self, points_N3: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Image points (u, v) [N, 2] of points in the world; NaN where the lens can't see them."""
        local_N3 = (points_N3 - np.array(self.position)) @ self.rotation()
        across_N = np.hypot(local_N3[:, 0], local_N3[:, 1])
        bent_N = np.arctan2(across_N, local_N3[:, 2]) * (self.bend or 1.0)
        seen_N = bent_N < (math.pi / 2 if self.bend else math.pi)
        with np.errstate(invalid="ignore"):
            radius_N = np.tan(bent_N) / self.bend if self.bend else bent_N
            stretch_N = np.where(seen_N, radius_N / np.maximum(across_N, 1e-12), np.nan)
        middle = np.array([size[1] / 2, size[0] / 2])
        return local_N3[:, :2] * stretch_N[:, None] * self.focal_pixels(size) + middle


def pixel_centres(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) of all pixel centres, row by row, float64 [H * W] each."""
    v_HW, u_HW = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    return u_HW.ravel(), v_HW.ravel()
