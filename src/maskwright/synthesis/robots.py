"""Robots of the leagues as simple articulated bodies, at the origin and looking along +x."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from maskwright.synthesis.bodies import BLACK, WHITE, Body, grey, limb, pick, standing
from maskwright.synthesis.solids import Paint, Rgb, Solid, box, ellipsoid, rod


def middle_size_robot(rng: np.random.Generator, team: Rgb) -> Body:
    """Black wheeled base, a tapering body with a team marker, a camera under a mirror on top."""
    height, wide = rng.uniform(0.6, 0.8), rng.uniform(0.22, 0.26)
    dark = Paint(colour=grey(rng, 0.03, 0.1), gloss=0.2)
    shirt = Paint(
        colour=team, second=BLACK, pattern=pick(rng, ("plain", "plain", "plain", "plain", "bands"))
    )
    waist = rng.uniform(0.32, 0.5) * height
    parts = [
        rod((0, 0, 0.02), (0, 0, 0.14), (wide, wide * 0.97), dark),
        box((0.02, 0, 0.19), (wide * 0.7, wide * 0.75, 0.06), dark),
        rod((0, 0, 0.2), (0, 0, waist), (wide * 0.8, wide * 0.5), dark),
        rod((0, 0, waist), (0, 0, 0.8 * height), (wide * 0.55, wide * 0.3), shirt),
        rod((0, 0, 0.8 * height), (0, 0, 0.9 * height), (0.04, 0.04), dark),
        rod((0, 0, 0.9 * height), (0, 0, height), (0.05, 0.09), dark),
    ]
    for angle in (0.5, math.tau / 3 + 0.5, 2 * math.tau / 3 + 0.5):
        x, y = wide * math.cos(angle), wide * math.sin(angle)
        out = (x * 1.08, y * 1.08, 0.07)
        parts.append(rod((x * 0.85, y * 0.85, 0.07), out, (0.07, 0.07), dark))
    handle = Paint(colour=grey(rng, 0.15, 0.5))
    for side in (-1, 1):
        parts.append(box((wide * 0.95, side * 0.13, 0.14), (0.07, 0.02, 0.025), handle))
    plate = Paint(colour=grey(rng, 0.6, 0.95))
    parts.append(box((wide * 0.42, 0, (waist + 0.75 * height) / 2), (0.012, 0.055, 0.06), plate))
    return standing("robot", tuple(parts), 0.3)


def humanoid(rng: np.random.Generator, team: Rgb) -> Body:
    """Boxy two-legged robot in mid step, with a team marker on its chest and shins."""
    height = rng.uniform(0.45, 1.1)
    frame = Paint(colour=grey(rng, 0.06, 0.85), gloss=0.3)
    joint = Paint(colour=grey(rng, 0.04, 0.25))
    mark = Paint(colour=team)
    step, sway = rng.uniform(-0.09, 0.09) * height, rng.uniform(-0.12, 0.12) * height
    hip, shoulder, half = 0.47 * height, 0.78 * height, 0.1 * height
    parts = [
        box((0, 0, (hip + shoulder) / 2), (0.07 * height, 0.12 * height, 0.17 * height), frame),
        box(
            (0.072 * height, 0, 0.66 * height), (0.006 * height, 0.08 * height, 0.06 * height), mark
        ),
        box((0, 0, hip), (0.06 * height, 0.11 * height, 0.035 * height), joint),
        rod((0, 0, shoulder), (0, 0, 0.86 * height), (0.03 * height, 0.03 * height), joint),
        _head(rng, height, frame),
        box(
            (0.055 * height, 0, 0.925 * height),
            (0.02 * height, 0.035 * height, 0.02 * height),
            joint,
        ),
    ]
    for side in (-1, 1):
        foot, knee = side * step, 0.25 * height
        y, arm_y = side * half * 0.75, side * 0.165 * height
        bend = max(foot, 0) * 0.6 + 0.04 * height
        lift = 0.02 * height
        parts += [
            box((foot + 0.02 * height, y, lift), (0.09 * height, 0.05 * height, lift), joint),
            rod((foot, y, 2 * lift), (bend, y, knee), (0.035 * height, 0.042 * height), mark),
            rod((bend, y, knee), (0, y, hip), (0.042 * height, 0.05 * height), frame),
            ellipsoid((0, arm_y, shoulder - half * 0.3), (0.045 * height,) * 3, joint),
            limb(
                (0, arm_y, shoulder - 0.03 * height),
                (-0.03 * height + side * sway * 0.3, arm_y * 1.1, 0.6 * height),
                0.032 * height,
                frame,
            ),
            limb(
                (side * sway * 0.3, arm_y * 1.1, 0.6 * height),
                (0.08 * height + side * sway, arm_y, 0.45 * height),
                0.026 * height,
                joint,
            ),
        ]
    return standing("robot", tuple(parts), 0.28 * height)


def rounded_humanoid(rng: np.random.Generator, team: Rgb) -> Body:
    """Small white robot of rounded shells, wearing a team shirt: a white thing that is no line."""
    height = rng.uniform(0.5, 0.62)
    shell = Paint(colour=grey(rng, 0.78, 0.95), gloss=0.45)
    joint = Paint(colour=grey(rng, 0.25, 0.5))
    shirt = Paint(colour=team)
    sway = rng.uniform(-0.06, 0.06)
    parts = [
        ellipsoid((0, 0, 0.63 * height), (0.075, 0.095, 0.12), shirt),
        ellipsoid((0, 0, 0.46 * height), (0.065, 0.08, 0.06), shell),
        rod((0, 0, 0.78 * height), (0, 0, 0.86 * height), (0.025, 0.025), joint),
        ellipsoid((0.01, 0, 0.91 * height), (0.062, 0.065, 0.058), shell),
        ellipsoid((0.055, 0, 0.91 * height), (0.02, 0.035, 0.02), joint),
    ]
    for side in (-1, 1):
        x, y = side * sway, side * 0.055
        arm = (0.06 - x, side * 0.135, 0.48 * height)
        parts += [
            ellipsoid((x + 0.025, y, 0.022), (0.085, 0.045, 0.024), shell),
            ellipsoid((x * 0.8, y, 0.15 * height), (0.042, 0.04, 0.085), shell),
            ellipsoid((x * 0.3 + 0.015, y, 0.24 * height), (0.03, 0.03, 0.03), joint),
            ellipsoid((x * 0.3, y, 0.35 * height), (0.045, 0.043, 0.075), shell),
            ellipsoid((0, side * 0.115, 0.74 * height), (0.038, 0.032, 0.038), joint),
            limb((0, side * 0.118, 0.73 * height), arm, 0.028, shell),
        ]
    return standing("robot", tuple(parts), 0.17)


def small_robot(rng: np.random.Generator, team: Rgb) -> Body:
    """A low wheeled robot: a dark drum with a coloured lid."""
    radius, height = rng.uniform(0.09, 0.2), rng.uniform(0.15, 0.35)
    dark = Paint(colour=grey(rng, 0.04, 0.25), second=grey(rng, 0.2, 0.5), pattern="bands")
    parts = (
        rod((0, 0, 0.01), (0, 0, height * 0.85), (radius, radius), dark),
        rod((0, 0, height * 0.85), (0, 0, height), (radius, radius * 0.9), Paint(colour=team)),
        ellipsoid((0, 0, height), (radius * 0.3, radius * 0.3, 0.03), Paint(colour=WHITE)),
        box(
            (radius * 0.95, 0, 0.06), (0.03, radius * 0.5, 0.03), Paint(colour=grey(rng, 0.3, 0.6))
        ),
    )
    return standing("robot", parts, radius + 0.05)


def _head(rng: np.random.Generator, height: float, paint: Paint) -> Solid:
    centre = (0, 0, 0.92 * height)
    size = (0.055 * height, 0.065 * height, 0.075 * height)
    return box(centre, size, paint) if rng.random() < 0.5 else ellipsoid(centre, size, paint)


ROBOTS: Mapping[str, Callable[[np.random.Generator, Rgb], Body]] = {
    "middle_size": middle_size_robot,
    "humanoid": humanoid,
    "rounded_humanoid": rounded_humanoid,
    "small": small_robot,
}
"""The kinds of robots: a builder each, given randomness and the team's colour."""
