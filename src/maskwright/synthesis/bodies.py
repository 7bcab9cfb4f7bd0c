"""Bodies on the field, built of solids; here balls and goals (see `robots`, `bystanders`).

Each builder makes a body at the origin, looking along +x, standing on z = 0; `Body.placed` puts it
where it belongs. Sizes are those of the leagues' rules, roughly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from maskwright.synthesis.markings import FieldSize
from maskwright.synthesis.solids import Paint, Point, Rgb, Solid, box, ellipsoid, rod

T = TypeVar("T")

BALL_RADIUS = (0.07, 0.12)
"""Metres; from the small balls of the humanoid leagues to FIFA size 5 and a bit."""

WHITE, BLACK = (0.92, 0.92, 0.9), (0.05, 0.05, 0.055)
TEAM_COLOURS: tuple[Rgb, ...] = (
    (0.85, 0.1, 0.1),
    (0.1, 0.25, 0.85),
    (0.95, 0.35, 0.05),
    (0.0, 0.65, 0.75),
    (0.85, 0.1, 0.6),
    (0.9, 0.8, 0.1),
    (0.45, 0.15, 0.6),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """Something that stands on the field.

    Attributes:
        class_name: "ball", "robot", "post" or "background" (people, clutter: no instances).
        track_id: its identity over the frames of a sequence.
        solids: its parts.
        spot: x, y of where it stands, in metres.
        radius: of its footprint; bodies keep that distance.
    """

    class_name: str
    track_id: int
    solids: tuple[Solid, ...]
    spot: tuple[float, float]
    radius: float

    def placed(self, x: float, y: float, heading: float) -> Body:
        """Turned by `heading` (radians) about its foot, which is shifted by x, y metres."""
        sin, cos = math.sin(heading), math.cos(heading)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        solids = tuple(solid.moved(turn, np.array([x, y, 0.0])) for solid in self.solids)
        spot = (
            self.spot[0] * cos - self.spot[1] * sin + x,
            self.spot[0] * sin + self.spot[1] * cos + y,
        )
        return replace(self, solids=solids, spot=spot)

    def rolled(self, dx: float, dy: float, radius: float) -> Body:
        """A ball after rolling dx, dy metres: shifted, and turned about its centre."""
        way = math.hypot(dx, dy)
        if way == 0:
            return self
        turn = _turn_about(np.array([-dy, dx, 0]) / way, way / radius)
        centre = self.solids[0].centre
        offset = centre + np.array([dx, dy, 0]) - turn @ centre
        solids = tuple(solid.moved(turn, offset) for solid in self.solids)
        return replace(self, solids=solids, spot=(self.spot[0] + dx, self.spot[1] + dy))

    @cached_property
    def bounds(self) -> tuple[np.ndarray, float]:
        """Centre [3] and radius of a sphere that holds the body."""
        centres = np.stack([solid.centre for solid in self.solids])
        middle = (centres.min(0) + centres.max(0)) / 2
        reach = np.sqrt(((centres - middle) ** 2).sum(1))
        return middle, max(r + s.radius for r, s in zip(reach.tolist(), self.solids))


def ball(rng: np.random.Generator) -> Body:
    """A ball: white with black patches, orange, yellow, or white with coloured patches."""
    radius = rng.uniform(*BALL_RADIUS)
    orange: Rgb = (rng.uniform(0.85, 1), rng.uniform(0.3, 0.5), rng.uniform(0, 0.15))
    yellow: Rgb = (rng.uniform(0.85, 0.95), rng.uniform(0.8, 0.95), rng.uniform(0.05, 0.3))
    gloss = rng.uniform(0.1, 0.5)
    team = pick(rng, TEAM_COLOURS)
    kind = rng.choice(4, p=(0.5, 0.2, 0.18, 0.12))
    colour = (WHITE, orange, yellow, WHITE)[kind]
    second = (BLACK, orange, (0.75 * yellow[0], 0.75 * yellow[1], 0.75 * yellow[2]), team)[kind]
    paint = Paint(colour=colour, second=second, pattern="patches", gloss=gloss)
    axis = rng.standard_normal(3)
    turn = _turn_about(axis / np.linalg.norm(axis), rng.uniform(0, math.tau))
    sphere = ellipsoid((0, 0, radius), (radius, radius, radius), paint)
    return standing("ball", (sphere.moved(turn, sphere.centre - turn @ sphere.centre),), radius)


def goal_frame(rng: np.random.Generator, size: FieldSize, colour: Rgb) -> list[Body]:
    """Left upright, right upright and crossbar of a goal on x = 0 that opens to -x."""
    width, height, _ = size.goal
    paint = Paint(colour=colour, gloss=rng.uniform(0.05, 0.4))
    half = rng.uniform(0.04, 0.065)
    y = width / 2 + half
    bodies = []
    if rng.random() < 0.35:
        bars = [
            box((0, side * y, (height + 2 * half) / 2), (half, half, height / 2 + half), paint)
            for side in (-1, 1)
        ]
        bars.append(box((0, 0, height + half), (half, width / 2, half), paint))
    else:
        top = height + half
        bars = [rod((0, s * y, 0), (0, s * y, top + half), (half, half), paint) for s in (-1, 1)]
        bars.append(rod((0, -y, top), (0, y, top), (half, half), paint))
    for bar, side in zip(bars, (-1, 1, 0)):
        bodies.append(replace(standing("post", (bar,), half), spot=(0, side * y)))
    return bodies


def standing(class_name: str, solids: tuple[Solid, ...], radius: float) -> Body:
    """A body at the origin; `radius` is that of its footprint in metres."""
    return Body(class_name=class_name, track_id=0, solids=solids, spot=(0.0, 0.0), radius=radius)


def limb(start: Point, end: Point, radius: float, paint: Paint) -> Solid:
    """An arm or leg that tapers from `start` to `end`."""
    return rod(start, end, (radius, radius * 0.8), paint)


def grey(rng: np.random.Generator, low: float, high: float) -> Rgb:
    """A grey between two levels, 0..1, a little blue."""
    value = rng.uniform(low, high)
    return (value, value, min(1.0, value * 1.03))


def pick(rng: np.random.Generator, options: tuple[T, ...]) -> T:
    """One of the options, equally likely."""
    return options[rng.integers(len(options))]


def _turn_about(axis: np.ndarray, angle: float) -> np.ndarray:
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
