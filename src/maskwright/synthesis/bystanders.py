"""What is no object of the game: people and clutter, class background, often whitish."""

from __future__ import annotations

import numpy as np

from maskwright.synthesis.bodies import BLACK, WHITE, Body, grey, limb, pick, standing
from maskwright.synthesis.solids import Paint, box, ellipsoid, rod


def person(rng: np.random.Generator) -> Body:
    """A standing person (class background), often with white clothes."""
    height = rng.uniform(1.55, 1.95)
    colours = (
        WHITE,
        BLACK,
        (0.12, 0.16, 0.35),
        (0.35, 0.3, 0.25),
        (0.5, 0.1, 0.1),
        (0.45, 0.45, 0.5),
    )
    top, trousers, shoes = (Paint(colour=pick(rng, colours), gloss=0.02) for _ in range(3))
    tone = rng.uniform(0.3, 0.95)
    skin = Paint(colour=(0.95 * tone, 0.72 * tone, 0.58 * tone), gloss=0.05)
    hair = Paint(colour=pick(rng, (BLACK, (0.25, 0.15, 0.08), (0.6, 0.5, 0.35))), gloss=0.05)
    hip, shoulder, stride = 0.5 * height, 0.82 * height, rng.uniform(0.0, 0.2)
    parts = [
        ellipsoid((0, 0, 0.66 * height), (0.13, 0.2, 0.2 * height), top),
        ellipsoid((0, 0, 0.93 * height), (0.095, 0.08, 0.12), skin),
        ellipsoid((-0.025, 0, 0.955 * height), (0.095, 0.086, 0.1), hair),
    ]
    for side in (-1, 1):
        foot = side * stride
        hand = (0.1 + foot * 0.5, side * 0.3, 0.48 * height)
        parts += [
            rod((foot, side * 0.11, 0.06), (0, side * 0.08, hip), (0.06, 0.095), trousers),
            ellipsoid((foot + 0.06, side * 0.11, 0.045), (0.14, 0.05, 0.048), shoes),
            limb((0, side * 0.19, shoulder - 0.05), hand, 0.05, top),
            ellipsoid(hand, (0.05, 0.04, 0.07), skin),
        ]
    return standing("background", tuple(parts), 0.4)


def clutter(rng: np.random.Generator) -> Body:
    """Something that stands beside the field (class background), mostly whitish."""
    paint = Paint(
        colour=grey(rng, 0.7, 0.95) if rng.random() < 0.6 else tuple(rng.uniform(0.05, 0.8, 3)),
        second=tuple(rng.uniform(0.1, 0.7, 3)),
        pattern=pick(rng, ("plain", "speckle", "bands")),
    )
    kind = rng.integers(3)
    if kind == 0:
        half = rng.uniform((0.12, 0.12, 0.1), (0.5, 0.5, 0.45))
        return standing("background", (box((0, 0, half[2]), tuple(half), paint),), 0.7)
    if kind == 1:
        size, high = rng.uniform(0.04, 0.2), rng.uniform(0.6, 2.2)
        return standing("background", (rod((0, 0, 0), (0, 0, high), (size, size), paint),), 0.3)
    legs = Paint(colour=grey(rng, 0.1, 0.8))
    wide, high = rng.uniform(0.4, 0.9), rng.uniform(0.6, 0.8)
    parts = [box((0, 0, high), (0.35, wide, 0.02), paint)]
    for x, y in ((-0.3, -1), (-0.3, 1), (0.3, -1), (0.3, 1)):
        parts.append(rod((x, y * wide * 0.9, 0), (x, y * wide * 0.9, high), (0.02, 0.02), legs))
    return standing("background", tuple(parts), 1.0)
