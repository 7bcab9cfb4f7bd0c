"""The lines of a football field, defined once, in metres, on the ground plane.

Every field is symmetric in x and in y, so its markings are given for one quarter only
(x >= 0, y >= 0) and any ground point is folded into it by |x|, |y|. A marking is a rectangle
(`Bar`: straight lines have square ends) or a piece of a circle (`Ring`). Sizes are to the lines'
centres. The signed distance is negative on the paint, 0 on its edge.

Sources of the sizes: RoboCup Humanoid League rules (kid and adult size), RoboCup Middle Size
League rules (22 m x 14 m), and Law 1 of the IFAB Laws of the Game for the scaled football field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldSize:
    """The measures of a field, in metres.

    Attributes:
        length, width: between the centres of the goal lines, and of the touch lines.
        border: carpet beyond the lines.
        line_width: of all lines.
        circle: radius of the centre circle.
        goal_area, penalty_area: (depth, width).
        penalty_mark: distance from the goal line.
        mark: radius of the penalty and centre marks.
        corner_arc: radius, 0 for none.
        penalty_arc: radius around the penalty mark, 0 for none.
        goal: (width between the posts, height, depth).
    """

    length: float
    width: float
    border: float
    line_width: float
    circle: float
    goal_area: tuple[float, float]
    penalty_area: tuple[float, float]
    penalty_mark: float
    mark: float
    corner_arc: float
    penalty_arc: float
    goal: tuple[float, float, float]

    def scaled(self, factor: float) -> FieldSize:
        """The same field, every measure times `factor`."""

        def times(values: tuple[float, ...]) -> Any:
            return tuple(value * factor for value in values)

        return FieldSize(
            length=self.length * factor,
            width=self.width * factor,
            border=self.border * factor,
            line_width=self.line_width * factor,
            circle=self.circle * factor,
            goal_area=times(self.goal_area),
            penalty_area=times(self.penalty_area),
            penalty_mark=self.penalty_mark * factor,
            mark=self.mark * factor,
            corner_arc=self.corner_arc * factor,
            penalty_arc=self.penalty_arc * factor,
            goal=times(self.goal),
        )

    def with_line_width(self, line_width: float) -> FieldSize:
        """The same field with other lines; the marks grow along."""
        return replace(self, line_width=line_width, mark=max(self.mark, 0.9 * line_width))


# fmt: off
FIELDS: Mapping[str, FieldSize] = {
    "humanoid_kid": FieldSize(
        length=9.0, width=6.0, border=1.0, line_width=0.05, circle=0.75, goal_area=(1.0, 3.0),
        penalty_area=(2.0, 5.0), penalty_mark=1.5, mark=0.05, corner_arc=0.0, penalty_arc=0.0,
        goal=(2.6, 1.2, 0.6)),
    "humanoid_adult": FieldSize(
        length=14.0, width=9.0, border=1.0, line_width=0.06, circle=1.5, goal_area=(1.0, 4.0),
        penalty_area=(3.0, 6.0), penalty_mark=2.1, mark=0.06, corner_arc=0.0, penalty_arc=0.0,
        goal=(2.6, 1.8, 0.6)),
    "middle_size": FieldSize(
        length=22.0, width=14.0, border=1.0, line_width=0.12, circle=2.0, goal_area=(0.75, 3.9),
        penalty_area=(2.25, 6.9), penalty_mark=3.6, mark=0.1, corner_arc=0.75, penalty_arc=0.0,
        goal=(2.4, 1.0, 0.6)),
    "football": FieldSize(
        length=105.0, width=68.0, border=5.0, line_width=0.4, circle=9.15, goal_area=(5.5, 18.32),
        penalty_area=(16.5, 40.32), penalty_mark=11.0, mark=0.4, corner_arc=4.0, penalty_arc=9.15,
        goal=(7.32, 4.0, 2.0)).scaled(0.2),
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of paint in the quarter: x0 <= x <= x1, y0 <= y <= y1."""

    x0: float
    x1: float
    y0: float
    y1: float


@dataclass(frozen=True, slots=True)
class Ring:
    """Paint within `half` of a circle, where x <= x_most and y <= y_most; a disc has radius 0."""

    x: float
    y: float
    radius: float
    half: float
    x_most: float = np.inf
    y_most: float = np.inf


@dataclass(frozen=True, slots=True)
class Markings:
    """All paint of a quarter of the field.

    Attributes:
        across: bars whose long edges run along y; their width is seen along x.
        along: bars whose long edges run along x.
        rings: the circles, arcs and marks.
        half: half the line width in metres.
    """

    across: tuple[Bar, ...]
    along: tuple[Bar, ...]
    rings: tuple[Ring, ...]
    half: float


def field_markings(size: FieldSize) -> Markings:
    """Lay out the paint of a field."""
    end, side, half = size.length / 2, size.width / 2, size.line_width / 2
    across = [_across(end, 0, side, half), _across(0, 0, side, half)]
    along = [_along(side, 0, end, half)]
    for depth, width in (size.goal_area, size.penalty_area):
        across.append(_across(end - depth, 0, width / 2, half))
        along.append(_along(width / 2, end - depth, end, half))
    spot = end - size.penalty_mark
    rings = [
        Ring(0, 0, size.circle, half),
        Ring(0, 0, 0, size.mark),
        Ring(spot, 0, 0, size.mark),
    ]
    if size.corner_arc:
        rings.append(Ring(end, side, size.corner_arc, half, x_most=end, y_most=side))
    if size.penalty_arc:
        rings.append(Ring(spot, 0, size.penalty_arc, half, x_most=end - size.penalty_area[0]))
    return Markings(tuple(across), tuple(along), tuple(rings), half)


def paint_distance(
    markings: Markings, x_N: np.ndarray, y_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signed distance in metres to the paint of the bars across, the bars along, and the rings.

    A ground point lies on a line if the least of the three is <= 0.
    """
    folded_x_N, folded_y_N = np.abs(x_N), np.abs(y_N)
    across_N = _nearest([_bar_distance(bar, folded_x_N, folded_y_N) for bar in markings.across])
    along_N = _nearest([_bar_distance(bar, folded_x_N, folded_y_N) for bar in markings.along])
    rings_N = _nearest([_ring_distance(ring, folded_x_N, folded_y_N) for ring in markings.rings])
    return across_N, along_N, rings_N


def _across(x: float, y0: float, y1: float, half: float) -> Bar:
    return Bar(x - half, x + half, y0 - half, y1 + half)


def _along(y: float, x0: float, x1: float, half: float) -> Bar:
    return Bar(x0 - half, x1 + half, y - half, y + half)


def _bar_distance(bar: Bar, x_N: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    dx_N = np.abs(x_N - (bar.x0 + bar.x1) / 2) - (bar.x1 - bar.x0) / 2
    dy_N = np.abs(y_N - (bar.y0 + bar.y1) / 2) - (bar.y1 - bar.y0) / 2
    return np.maximum(dx_N, dy_N)


def _ring_distance(ring: Ring, x_N: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    distance_N = np.abs(_length(x_N - ring.x, y_N - ring.y) - ring.radius) - ring.half
    if np.isfinite(ring.x_most):
        distance_N = np.maximum(distance_N, x_N - ring.x_most)
    if np.isfinite(ring.y_most):
        distance_N = np.maximum(distance_N, y_N - ring.y_most)
    return distance_N


def _length(x_N: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    return np.sqrt(x_N * x_N + y_N * y_N)


def _nearest(distances: list[np.ndarray]) -> np.ndarray:
    least = distances[0]
    for other in distances[1:]:
        np.minimum(least, other, out=least)
    return least
