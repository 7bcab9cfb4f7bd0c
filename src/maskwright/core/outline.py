"""The outline of a mask as one closed polygon, holes and parts included, and its filling.

Two conventions say what a corner means, and they differ by the width of a pixel:

* *centre*: corners are pixels; the polygon covers its inside and every pixel that its line passes
  through (OpenCV's `fillPoly`).
* *edge*: corners are corners of pixels; the polygon covers the pixels whose centres lie inside (the
  COCO API, `core.polygon`).

Holes and parts are joined by bridges: lines that are walked there and back, so that the inside by
the even-odd rule stays what it was. On edges a bridge has no width, and nothing is lost; on
centres it is drawn, so that a bridge between two parts adds a line of pixels.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from maskwright.core.bridges import shortest_bridges

Vertices = Literal["centre", "edge"]


def outline(pixels_HW: np.ndarray, vertices: Vertices) -> np.ndarray:
    """One closed polygon around all pixels of a mask: int64 [N, 2], x and y; N = 0 if it is empty.

    Args:
        pixels_HW: bool, with at least one row and column.
        vertices: what a corner means. On "edge", `Mask.from_polygons` gives the mask back to the
            pixel; on "centre", `fill_centres` does, but for the bridges between parts.
    """
    loops = edge_loops(pixels_HW) if vertices == "edge" else centre_loops(pixels_HW)
    return _without_midpoints(join_loops(loops))


def fill_centres(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels bool [H, W] of one polygon whose corners are pixels (OpenCV's `fillPoly`).

    Args:
        corners: whole numbers [N, 2], x and y; what lies outside is cut off. It may be left open
            and may cross itself: what is inside an odd number of times is covered.
        size: (height, width).
    """
    canvas = np.zeros(size, np.uint8)
    if len(corners):
        cv2.fillPoly(canvas, [np.ascontiguousarray(corners, np.int32)], 1)
    return canvas.view(np.bool_)


def centre_loops(pixels_HW: np.ndarray) -> list[np.ndarray]:
    """The pixels along each outer border and around each hole, in order: int64 [N, 2] each.

    Pixels that touch at a corner are one part (S. Suzuki, K. Abe, "Topological structural analysis
    of digitized binary images by border following", 1985).
    """
    binary = np.ascontiguousarray(pixels_HW).view(np.uint8)
    found, _ = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [loop[:, 0].astype(np.int64) for loop in found]


def edge_loops(pixels_HW: np.ndarray) -> list[np.ndarray]:
    """The corners of each closed line between pixels inside and outside: int64 [N, 2] each.

    Along a row of the grid the corners pair up as the ends of horizontal edges, along a column as
    the ends of vertical ones; a loop takes the two kinds by turns. Where two pixels touch at a
    corner only, that corner stands twice.
    """
    padded = np.pad(pixels_HW, 1).view(np.uint8)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    odd = upper_left ^ upper_right ^ lower_left ^ lower_right
    touching = (upper_left == lower_right) & (upper_right == lower_left)
    touching &= upper_left != upper_right
    y, x = np.nonzero(odd | touching)
    times = 1 + touching[y, x].astype(np.int64)
    y, x = np.repeat(y, times), np.repeat(x, times)
    across = _partners(np.arange(len(y)))
    down = _partners(np.lexsort((y, x)))
    return [np.stack([x[walk], y[walk]], axis=1) for walk in _walks(across, down)]


def join_loops(loops: list[np.ndarray]) -> np.ndarray:
    """One closed walk [N, 2] along all loops, joined by the shortest bridges there and back.

    The bridges are a minimum spanning tree between the loops (R. C. Prim, 1957): none of them
    crosses a loop.
    """
    if len(loops) < 2:
        return loops[0] if loops else np.zeros((0, 2), np.int64)
    points = np.concatenate(loops)
    firsts = np.cumsum([0] + [len(loop) for loop in loops])
    following = np.arange(1, len(points) + 1)
    following[firsts[1:] - 1] = firsts[:-1]
    before = np.argsort(following)
    after, places = following.tolist(), list(range(len(points)))
    for near, far in shortest_bridges(points, firsts):
        # near -> far, round the new loop, its copy of far -> the copy of near, and on.
        far_again, near_again = len(after), len(after) + 1
        after += [near_again, after[near]]
        places += [far, near]
        after[before[far]] = far_again
        if before[far] == far:  # a loop of one point
            after[far] = far_again
        after[near] = far
    walk, node = [], 0
    for _ in range(len(after)):
        walk.append(places[node])
        node = after[node]
    joined: np.ndarray = points[walk]
    return joined


def _partners(order: np.ndarray) -> list[int]:
    """Each point's partner, where neighbours in `order` pair up: first and second, and so on."""
    partner = np.empty_like(order)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    return partner.tolist()


def _walks(across: list[int], down: list[int]) -> list[list[int]]:
    walks, seen = [], [False] * len(across)
    for start in range(len(across)):
        walk, point = [], start
        while not seen[point]:
            seen[point] = seen[across[point]] = True
            walk += [point, across[point]]
            point = down[across[point]]
        if walk:
            walks.append(walk)
    return walks


def _without_midpoints(points: np.ndarray) -> np.ndarray:
    """The same closed line without repeated points and those amid a straight stretch."""
    came = np.diff(points, axis=0, prepend=points[-1:])
    moved = (came[:, 0] != 0) | (came[:, 1] != 0)
    if not moved.all():
        points = points[moved] if moved.any() else points[:1]
        came = np.diff(points, axis=0, prepend=points[-1:])
    (came_x, came_y), (goes_x, goes_y) = came.T, np.concatenate([came[1:], came[:1]]).T
    turns = came_x * goes_y != came_y * goes_x
    turns |= came_x * goes_x + came_y * goes_y <= 0
    kept: np.ndarray = points[turns]
    return kept
