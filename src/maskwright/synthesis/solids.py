"""Solids that bodies are built of, and where rays meet them.

A solid is an affine image of a unit solid with |z| <= 1: a box (|x|, |y| <= 1), or a round one,
x^2 + y^2 + bulge * z^2 <= (1 - taper * z)^2: ellipsoid (bulge 1), cylinder, or truncated cone.
All are convex, so a ray has one entry. Shapes: N rays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

Rgb = tuple[float, float, float]
"""Red, green, blue as a screen shows them, 0..1."""

Pattern = Literal["plain", "patches", "bands", "speckle"]
Point = tuple[float, float, float]
"""x, y, z, or half-lengths along them, in metres."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paint:
    """What a solid looks like.

    Attributes:
        colour: of most of it.
        second: of the pattern.
        pattern: "patches" is a football's, "bands" are rings about z, "speckle" is noise.
        gloss: strength of the highlight, 0..1.
    """

    colour: Rgb
    second: Rgb = (0.05, 0.05, 0.05)
    pattern: Pattern = "plain"
    gloss: float = 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Solid:
    """One convex solid in the world.

    Attributes:
        kind: "box" or "round".
        centre: [3] in metres.
        axes: [3, 3], columns are the images of the unit solid's half-axes.
        taper: round solids: radius 1 + taper at z = -1, 1 - taper at z = 1; |taper| < 1.
        bulge: 1 for an ellipsoid, else 0.
        paint: its look.
    """

    kind: Literal["box", "round"]
    centre: np.ndarray
    axes: np.ndarray
    paint: Paint
    taper: float = 0.0
    bulge: float = 0.0

    @cached_property
    def inverse(self) -> np.ndarray:
        """[3, 3] from offsets in the world to the unit solid."""
        return np.linalg.inv(self.axes)

    @cached_property
    def radius(self) -> float:
        """Of a sphere about the centre that holds the solid."""
        x, y, z = np.sqrt((self.axes * self.axes).sum(0)).tolist()
        if self.bulge:
            return max(x, y, z)
        if self.kind == "round":
            return math.hypot(max(x, y) * (1 + abs(self.taper)), z)
        return math.hypot(x, y, z)

    def moved(self, turn: np.ndarray, offset: np.ndarray) -> Solid:
        """Turned about the origin by `turn` [3, 3], then shifted by `offset` [3]."""
        return Solid(
            kind=self.kind,
            centre=turn @ self.centre + offset,
            axes=turn @ self.axes,
            paint=self.paint,
            taper=self.taper,
            bulge=self.bulge,
        )

    def enter(self, origin: np.ndarray, directions_N3: np.ndarray) -> np.ndarray:
        """Distance along each ray to where it enters the solid; inf where it misses.

        A ray that starts inside the solid misses it.
        """
        o = (self.inverse @ (origin - self.centre)).tolist()
        d_N3 = directions_N3 @ self.inverse.T
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            into_N, out_N = _slab(o[2], d_N3[:, 2])
            if self.kind == "box":
                for axis in (0, 1):
                    near_N, far_N = _slab(o[axis], d_N3[:, axis])
                    into_N, out_N = np.maximum(into_N, near_N), np.minimum(out_N, far_N)
                entry_N = into_N
            else:
                entry_N = self._enter_round(o, d_N3, into_N)
            hit_N = (entry_N > 1e-9) & (entry_N <= out_N)
        return np.where(hit_N, entry_N, np.inf)

    def _enter_round(self, o: list[float], d_N3: np.ndarray, into_N: np.ndarray) -> np.ndarray:
        """The flat end, if met within the curved side; else the curved side, from outside.

        The side is a t^2 + 2 b t + c <= 0. Its entry, (-b - root) / a, is written c / (root - b),
        which is stable for a near 0 (cylinder seen end-on, cone along its side).
        """
        dx_N, dy_N, dz_N = d_N3[:, 0], d_N3[:, 1], d_N3[:, 2]
        taper, bulge = self.taper, self.bulge
        narrow = 1 - taper * o[2]
        a_N = dx_N * dx_N + dy_N * dy_N + (bulge - taper * taper) * dz_N * dz_N
        b_N = o[0] * dx_N + o[1] * dy_N + (bulge * o[2] + taper * narrow) * dz_N
        c = o[0] ** 2 + o[1] ** 2 + bulge * o[2] ** 2 - narrow**2
        side_N = c / (np.sqrt(b_N * b_N - a_N * c) - b_N)
        if bulge:
            return side_N
        on_end_N = (a_N * into_N + 2 * b_N) * into_N + c <= 0
        entry_N = np.where(on_end_N, into_N, side_N)
        return np.where(entry_N >= into_N, entry_N, np.nan)


def _slab(o: float, d_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first_N, second_N = (-1 - o) / d_N, (1 - o) / d_N
    return np.minimum(first_N, second_N), np.maximum(first_N, second_N)


def normals(
    solid_bulge_N: np.ndarray, solid_taper_N: np.ndarray, box_N: np.ndarray, local_N3: np.ndarray
) -> np.ndarray:
    """Outward directions (any length) [N, 3], in unit-solid axes, at surface points given there."""
    x_N, y_N, z_N = local_N3.T
    narrow_N = 1 - solid_taper_N * z_N
    round_N3 = np.stack([x_N, y_N, solid_bulge_N * z_N + solid_taper_N * narrow_N], 1)
    flat_N = (np.abs(z_N) > 1 - 1e-6) & (solid_bulge_N == 0)
    largest_N1 = np.abs(local_N3).max(1, keepdims=True)
    box_N3 = np.where(np.abs(local_N3) >= largest_N1 - 1e-9, np.sign(local_N3), 0.0)
    end_N3 = np.stack([np.zeros_like(z_N), np.zeros_like(z_N), np.sign(z_N)], 1)
    return np.where(box_N[:, None], box_N3, np.where(flat_N[:, None], end_N3, round_N3))


def ellipsoid(centre: Point, radii: Point, paint: Paint) -> Solid:
    """An upright ellipsoid with these half-axes in metres."""
    return Solid(kind="round", centre=np.array(centre), axes=np.diag(radii), paint=paint, bulge=1.0)


def box(centre: Point, half: Point, paint: Paint) -> Solid:
    """An upright box with these half-edges in metres."""
    return Solid(kind="box", centre=np.array(centre), axes=np.diag(half), paint=paint)


def rod(
    start: Point,
    end: Point,
    radii: tuple[float, float],
    paint: Paint,
) -> Solid:
    """A cylinder or truncated cone between two points, with the radius at each."""
    x, y, z = ((last - first) / 2 for first, last in zip(start, end))
    ax, ay, az = (0.0, z, -y) if abs(x) < max(abs(y), abs(z)) else (-z, 0.0, x)
    mean = (radii[0] + radii[1]) / 2
    across = mean / math.hypot(ax, ay, az)
    ax, ay, az = ax * across, ay * across, az * across
    long = math.hypot(x, y, z)
    other = ((y * az - z * ay) / long, (z * ax - x * az) / long, (x * ay - y * ax) / long)
    return Solid(
        kind="round",
        centre=np.array([first + half for first, half in zip(start, (x, y, z))]),
        axes=np.array([[ax, other[0], x], [ay, other[1], y], [az, other[2], z]]),
        paint=paint,
        taper=(radii[0] - radii[1]) / (radii[0] + radii[1]),
    )
