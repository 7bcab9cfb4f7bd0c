"""The shortest bridges between closed lines on a grid: a minimum spanning tree (R. C. Prim, 1957).

Most lines of a dense mask lie a few pixels apart. Neighbours so near are found once, by looking
around each point, and wait in a queue. Where it is empty, or lines are few, all points are looked
at: one by one where they are few, else by a distance transform of what is joined. The bridges are
those of comparing every point with every other, equal lengths included.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import cv2
import numpy as np

_FEW_POINTS = 1000
"""So many are compared with each other before a queue is filled."""

_FEW_LOOPS = 16
"""So many are joined sooner by an image of the distances for each than the queue is filled."""

_RADII = (8, 5, 3, 2)
_MOST_NEIGHBOURS = 20  # of a point, if all points lay evenly
_CHUNK = 1 << 22  # distances that are computed at once


def shortest_bridges(points: np.ndarray, firsts: np.ndarray) -> list[tuple[int, int]]:
    """Index pairs (in the tree, in the loop that joins it), in the order of joining.

    The tree begins with loop 0. Of equally near points of loops outside the first joins; it is
    joined to the loop that has been in the tree for longest, there to the first point.

    Args:
        points: int64 [N, 2], x and y, of all loops one after the other.
        firsts: int64 [L + 1]: loop i owns the points firsts[i] to firsts[i + 1].
    """
    lengths = np.diff(firsts)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    far_search = _FarSearch(points, owner)
    dense = len(points) > _FEW_POINTS and len(lengths) > _FEW_LOOPS
    queue = _Queue(points, owner) if dense else None
    links: list[tuple[int, int]] = []
    newest = 0
    while len(links) < len(lengths) - 1:
        begin, end = int(firsts[newest]), int(firsts[newest + 1])
        far_search.join(newest, begin, end)
        link = None
        if queue is not None:
            queue.join(newest, begin, end)
            link = queue.nearest()
        links.append(far_search.nearest() if link is None else link)
        newest = int(owner[links[-1][1]])
    return links


class _Queue:
    """The points outside that lie within some pixels of the tree, by distance and number."""

    def __init__(self, points: np.ndarray, owner: np.ndarray) -> None:
        begins, near, squared = _neighbours(points, owner)
        self._begins, self._near, self._squared = begins.tolist(), near.tolist(), squared.tolist()
        self._owner = owner.tolist()
        self._best = [_RADII[0] ** 2 + 1] * len(points)
        self._nearest = [-1] * len(points)
        self._inside = [False] * (self._owner[-1] + 1)
        self._waiting: list[tuple[int, int]] = []

    def join(self, loop: int, begin: int, end: int) -> None:
        """A loop becomes part of the tree."""
        self._inside[loop] = True
        best, inside, owner = self._best, self._inside, self._owner
        for point in range(begin, end):
            for place in range(self._begins[point], self._begins[point + 1]):
                other, squared = self._near[place], self._squared[place]
                if squared < best[other] and not inside[owner[other]]:
                    best[other] = squared
                    self._nearest[other] = point
                    heapq.heappush(self._waiting, (squared, other))

    def nearest(self) -> tuple[int, int] | None:
        """In the tree, and outside; None where nothing outside is so near."""
        while self._waiting:
            _, point = heapq.heappop(self._waiting)
            if not self._inside[self._owner[point]]:
                return self._nearest[point], point
        return None


def _neighbours(points: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each point the near ones of other loops: where its own begin, which, how far (squared)."""
    around = _around(points)
    reach = max(dx for _, _, dx in around)
    x, y = (points - points.min(axis=0) + reach).T
    width = int(x.max()) + reach + 1
    place = y * width + x
    order = np.argsort(place, kind="stable").astype(np.int32)
    counts = np.bincount(place, minlength=(int(y.max()) + reach + 1) * width).astype(np.int32)
    starts = np.cumsum(counts, dtype=np.int32) - counts
    points_of, others_of, far_of = [], [], []
    for squared, dy, dx in around:
        point, other = _at(place + dy * width + dx, starts, counts, order)
        kept = np.flatnonzero(owner[point] != owner[other])
        points_of.append(point[kept])
        others_of.append(other[kept])
        far_of.append(np.full(len(kept), squared, np.int8))
    point, other, far = (np.concatenate(column) for column in (points_of, others_of, far_of))
    by_point = np.argsort(point, kind="stable")
    begins = np.searchsorted(point[by_point], np.arange(len(points) + 1))
    return begins, other[by_point], far[by_point]


def _around(points: np.ndarray) -> list[tuple[int, int, int]]:
    """Squared distance, rows down and columns right of the places around a point, by distance.

    The denser the points, the nearer the next loop.
    """
    area = int(np.prod(np.ptp(points, axis=0) + 1))
    places: list[tuple[int, int, int]] = []
    for radius in _RADII:
        side = range(-radius, radius + 1)
        places = sorted(
            (squared, dy, dx)
            for dy in side
            for dx in side
            if (squared := dy * dy + dx * dx) <= radius * radius
        )
        if len(places) * len(points) <= _MOST_NEIGHBOURS * area:
            break
    return places


def _at(
    place: np.ndarray, starts: np.ndarray, counts: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a point and each one that stands at the place it asks for."""
    times = counts[place]
    point = np.repeat(np.arange(len(place), dtype=np.int32), times)
    within = np.arange(len(point)) - np.repeat(np.cumsum(times) - times, times)
    return point, order[np.repeat(starts[place], times) + within]


class _FarSearch:
    """The nearest points of tree and outside, wherever they lie."""

    def __init__(self, points: np.ndarray, owner: np.ndarray) -> None:
        self._points, self._owner = points, owner
        self._outside = np.ones(int(owner[-1]) + 1, bool)
        self._joined: list[tuple[int, int]] = []
        self._distance = np.full(len(points), np.iinfo(np.int64).max)
        self._near = np.zeros(len(points), np.int64)
        self._compared = 0  # of the joined
        self._shifted = points - points.min(axis=0)
        width, height = self._shifted.max(axis=0) + 1
        self._free = np.ones((height, width), np.uint8)
        self._most = 2 * self._free.size  # distances that are found faster than an image of them
        self._painted = 0

    def join(self, loop: int, begin: int, end: int) -> None:
        """A loop becomes part of the tree."""
        self._outside[loop] = False
        self._joined.append((begin, end))

    def nearest(self) -> tuple[int, int]:
        """In the tree, and outside."""
        outside = np.flatnonzero(self._outside[self._owner])
        new = self._indices(self._compared)
        if len(outside) * len(new) <= self._most:
            self._compare(new, outside)
            self._compared = len(self._joined)
        else:
            new, outside = self._within_reach(self._indices(0), outside)
            self._distance[outside] = np.iinfo(np.int64).max
            self._compare(new, outside)
            self._compared = 0
        far = int(outside[self._distance[outside].argmin()])
        near = int(self._near[far])
        if not self._compared:  # what was compared with a part only is not known
            self._distance[outside] = np.iinfo(np.int64).max
        return near, far

    def _indices(self, begin: int) -> np.ndarray:
        """Of the points of the loops that joined from here on, the earliest first."""
        parts = [np.arange(*one) for one in self._joined[begin:]]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _compare(self, joined: np.ndarray, outside: np.ndarray) -> None:
        """Of equally near points the first to come stays."""
        for some in _parts(joined, max(1, _CHUNK // max(1, len(outside)))):
            gaps = self._points[outside, None] - self._points[None, some]
            squared = np.einsum("ijk,ijk->ij", gaps, gaps)
            best = squared.argmin(axis=1)
            least = squared[np.arange(len(outside)), best]
            closer = least < self._distance[outside]
            self._distance[outside[closer]] = least[closer]
            self._near[outside[closer]] = some[best[closer]]

    def _within_reach(
        self, inside: np.ndarray, outside: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Those that can be nearest by their chessboard distances, which are at most sqrt 2 off."""
        free = self._free
        for begin, end in self._joined[self._painted :]:
            x, y = self._shifted[begin:end].T
            free[y, x] = 0
        self._painted = len(self._joined)
        gaps = self._gaps(free, outside)
        reach = np.floor(np.sqrt(2.0) * gaps.min())
        outside = outside[gaps <= reach]
        asked = np.ones_like(free)
        x, y = self._shifted[outside].T
        asked[y, x] = 0
        return inside[self._gaps(asked, inside) <= reach], outside

    def _gaps(self, free: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The chessboard distance of points to the nearest 0."""
        x, y = self._shifted[points].T
        gaps: np.ndarray = cv2.distanceTransform(free, cv2.DIST_C, 3)[y, x]
        return gaps


def _parts(values: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (values[start : start + size] for start in range(0, len(values), size))
