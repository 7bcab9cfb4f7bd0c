"""What surrounds the field: its carpet, the boards, and the room or stadium.

The stage is convex seen from within: three rectangles around the field's middle, each holding the
one before: the carpet, the boards (upright, at the rectangle's edge), the walls. So every ray
ends on exactly one of: carpet, floor beyond it, boards, walls, lid (ceiling or sky).
Shapes: N rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LID, WALL, BOARD, FLOOR, CARPET, PAINT = range(6)
"""Surface numbers; the solids of the bodies count on from `FIRST_SOLID`."""
FIRST_SOLID = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Sizes in metres; `carpet`, `boards` and `walls` are half-lengths in x and y.

    Attributes:
        carpet: what counts as field.
        boards: where the advertising boards stand.
        board_height: 0 for no boards.
        walls: where the walls, or what closes the view outdoors, stand.
        wall_height: where the lid begins.
        outdoor: the lid is the sky, at no distance; else a flat ceiling.
    """

    carpet: tuple[float, float]
    boards: tuple[float, float]
    board_height: float
    walls: tuple[float, float]
    wall_height: float
    outdoor: bool


@dataclass(frozen=True, slots=True, eq=False)
class Meeting:
    """Where each ray ends.

    Attributes:
        surface_N: surface numbers, int32.
        distance_N: metres along the ray (of the sky: to where the ceiling would be).
    """

    surface_N: np.ndarray
    distance_N: np.ndarray


def meet_stage(stage: Stage, origin: np.ndarray, directions_N3: np.ndarray) -> Meeting:
    """Where rays from a point within the boards end on the stage; paint is not told apart yet."""
    z_N = directions_N3[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ground_N = np.where(z_N < 0, -origin[2] / z_N, np.inf)
        lid_N = np.where(z_N > 0, (stage.wall_height - origin[2]) / z_N, np.inf)
        walls_N = leave_rectangle(stage.walls, origin, directions_N3)
        boards_N = leave_rectangle(stage.boards, origin, directions_N3)
    distance_N = np.minimum(np.minimum(ground_N, walls_N), lid_N)
    inside_N = inside_rectangle(stage.carpet, origin, directions_N3, ground_N)
    surface_N = np.full(len(z_N), WALL, np.int32)
    surface_N[lid_N <= walls_N] = LID
    surface_N[ground_N <= walls_N] = FLOOR
    surface_N[inside_N] = CARPET
    board_N = (boards_N < ground_N) & (origin[2] + boards_N * z_N <= stage.board_height)
    surface_N[board_N] = BOARD
    return Meeting(surface_N, np.where(board_N, boards_N, distance_N))


def leave_rectangle(
    half: tuple[float, float], origin: np.ndarray, directions_N3: np.ndarray
) -> np.ndarray:
    """Distance [N] to where rays from within leave the upright walls over a rectangle."""
    out_N = np.full(len(directions_N3), np.inf)
    for axis in (0, 1):
        d_N = directions_N3[:, axis]
        with np.errstate(divide="ignore"):
            out_N = np.minimum(out_N, (np.copysign(half[axis], d_N) - origin[axis]) / d_N)
    return out_N


def inside_rectangle(
    half: tuple[float, float],
    origin: np.ndarray,
    directions_N3: np.ndarray,
    distance_N: np.ndarray,
) -> np.ndarray:
    """Whether the points at these distances lie within the rectangle; false where infinite."""
    with np.errstate(invalid="ignore"):
        x_N = np.abs(origin[0] + distance_N * directions_N3[:, 0])
        y_N = np.abs(origin[1] + distance_N * directions_N3[:, 1])
    return (x_N <= half[0]) & (y_N <= half[1])


def along_wall(half: tuple[float, float], x_N: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """Where points on a rectangle's edge lie along it, unrolled: 0..1, counter-clockwise."""
    length, width = half
    on_end_N = np.abs(np.abs(x_N) - length) < np.abs(np.abs(y_N) - width)
    around_N = np.where(
        on_end_N,
        np.where(x_N > 0, width + y_N, 3 * width + 2 * length - y_N),
        np.where(y_N > 0, 2 * width + length - x_N, 4 * width + 3 * length + x_N),
    )
    return around_N / (4 * (length + width))
