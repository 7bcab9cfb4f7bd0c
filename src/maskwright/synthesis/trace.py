"""Which surface each ray meets first. This decides the truth; looks never do.

Shapes: N rays. All in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwright.synthesis.bodies import Body
from maskwright.synthesis.markings import Markings, paint_distance
from maskwright.synthesis.stage import (
    CARPET,
    FIRST_SOLID,
    FLOOR,
    PAINT,
    Meeting,
    Stage,
    meet_stage,
)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What rays meet.

    Attributes:
        surface_N: surface numbers (see `stage`); solids from `FIRST_SOLID` on, in body order.
        distance_N: metres along the ray.
        ground_N: indices of the rays that end on carpet, paint or floor.
        ground_xy_G2: where, in metres.
        paint_3G: signed distance there to the bars across, the bars along, the rings.
    """

    surface_N: np.ndarray
    distance_N: np.ndarray
    ground_N: np.ndarray
    ground_xy_G2: np.ndarray
    paint_3G: np.ndarray


def trace(
    stage: Stage,
    markings: Markings,
    bodies: tuple[Body, ...],
    origin: np.ndarray,
    directions_N3: np.ndarray,
) -> Hits:
    """Follow rays from `origin` [3] along unit `directions_N3` to the first surface."""
    stage_hits = meet_stage(stage, origin, directions_N3)
    surface_N, distance_N = stage_hits.surface_N, stage_hits.distance_N
    _meet_bodies(bodies, origin, directions_N3, Meeting(surface_N, distance_N))
    ground_N = np.flatnonzero((surface_N == CARPET) | (surface_N == FLOOR))
    ground_xy_G2 = origin[:2] + distance_N[ground_N, None] * directions_N3[ground_N, :2]
    x_G, y_G = ground_xy_G2.T.copy()
    paint_3G = np.stack(paint_distance(markings, x_G, y_G))
    painted_G = (paint_3G.min(0) <= 0) & (surface_N[ground_N] == CARPET)
    surface_N[ground_N[painted_G]] = PAINT
    return Hits(surface_N, distance_N, ground_N, ground_xy_G2, paint_3G)


def _meet_bodies(
    bodies: tuple[Body, ...], origin: np.ndarray, directions_N3: np.ndarray, hits: Meeting
) -> None:
    """Let nearer bodies replace what `hits` holds, in place."""
    number = FIRST_SOLID
    for body in bodies:
        centre, radius = body.bounds
        near_B = np.flatnonzero(toward(centre, radius, origin, directions_N3))
        rays_B3 = directions_N3[near_B]
        for solid in body.solids:
            near_S = np.flatnonzero(toward(solid.centre, solid.radius, origin, rays_B3))
            if len(near_S):
                rays = near_B[near_S]
                entry_S = solid.enter(origin, rays_B3[near_S])
                nearer_S = entry_S < hits.distance_N[rays]
                hits.distance_N[rays[nearer_S]] = entry_S[nearer_S]
                hits.surface_N[rays[nearer_S]] = number
            number += 1


def toward(
    centre: np.ndarray, radius: float, origin: np.ndarray, directions_N3: np.ndarray
) -> np.ndarray:
    """Which rays may meet a sphere [N]; a hair too many rather than one too few."""
    way = centre - origin
    beyond = float(way @ way) - (1.0001 * radius) ** 2
    if beyond <= 0:
        return np.ones(len(directions_N3), bool)
    return directions_N3 @ way >= np.sqrt(beyond) * (1 - 1e-9)
