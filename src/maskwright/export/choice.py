"""Which precision ships: the fastest whose loss of accuracy is allowed, and why not the others.

Only measured figures come in here, so the rule can be read, and tested, in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.core.errors import ConfigError
from maskwright.export.routes import PRECISIONS, Route

CLEAR = 1.05
"""Medians closer than this are taken as equal: that much they vary from run to run."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of a route.

    Attributes:
        route: which.
        median_ms: of the network, in turns with the others.
        graph_bytes: of its graph.
        miou: on the slice of the training set, 0..1.
        drop: points of mIoU (0..100) below fp32 on that slice; below 0 is a gain.
    """

    route: Route
    median_ms: float
    graph_bytes: int
    miou: float
    drop: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "precision": self.route.precision,
            "runtime": self.route.runtime,
            "floats": self.route.floats,
            "median_ms": self.median_ms,
            "graph_bytes": self.graph_bytes,
            "slice_miou": self.miou,
            "slice_drop_points": self.drop,
        }


def baseline(figures: Sequence[Figures]) -> Figures:
    """The fastest route of fp32, which the others have to beat.

    Raises:
        ConfigError: there is none.
    """
    plain = [each for each in figures if each.route.precision == "fp32"]
    if not plain:
        raise ConfigError(f"expected figures of fp32 to compare with, got {len(figures)} without.")
    return min(plain, key=lambda each: each.median_ms)


def rank(
    figures: Sequence[Figures], max_drop: float, *, by_speed: bool = True
) -> tuple[list[Figures], dict[Route, str]]:
    """Those that may ship, the best first, and why each of the others may not.

    fp32's fastest route is always among them. Another may ship if its drop is at most `max_drop`
    and it is clearly faster than fp32; fp16, which only saves space, if it is not clearly slower.
    The fastest is best; of those that are as fast, the smaller one, then the more exact one.

    Args:
        figures: of all routes.
        max_drop: in points of mIoU.
        by_speed: False lets slower ones ship, too (the user named the precision).

    Raises:
        ConfigError: no route of fp32.
    """
    plain = baseline(figures)
    refused: dict[Route, str] = {}
    allowed = [plain]
    for each in figures:
        if each.route == plain.route:
            continue
        reason = _too_inexact(each.drop, max_drop, "the slice of the training set")
        if reason is None and by_speed:
            reason = _not_faster(each, plain)
        if reason is None:
            allowed.append(each)
        else:
            refused[each.route] = reason
    return _best_first(allowed), refused


def refuse_on_validation(drop: float, max_drop: float) -> str | None:
    """Why a drop on validation, in points, keeps a precision from shipping; None if it doesn't."""
    return _too_inexact(drop, max_drop, "validation")


def explain(
    chosen: Figures,
    figures: Sequence[Figures],
    refused: Mapping[Route, str],
    eager_ms: float | None = None,
) -> str:
    """One line on what ships, and one on each route that was refused.

    Args:
        chosen: ships.
        figures: of all routes.
        refused: why others don't.
        eager_ms: of PyTorch, where it was measured.
    """
    plain = baseline(figures)
    speed = f"{plain.median_ms / chosen.median_ms:.2f} times as fast as {plain.route}"
    size = f"{chosen.graph_bytes / plain.graph_bytes:.0%} of its size"
    better = [each.route for each in figures if each.route in refused]
    if chosen.route.precision == "fp32":
        lines = [f"{chosen.route} ships: no other precision may."]
        if len({each.route.precision for each in figures}) == 1:
            lines = [f"{chosen.route} ships."]
    else:
        lines = [f"{chosen.route} ships: {speed}, {size}."]
    if eager_ms is not None:
        lines[0] += f" PyTorch eager takes {eager_ms / chosen.median_ms:.2f} times as long."
    return "\n".join([*lines, *(f"{route} does not ship: {refused[route]}." for route in better)])


def _too_inexact(drop: float, max_drop: float, where: str) -> str | None:
    if drop <= max_drop:
        return None
    return f"it loses {drop:.2f} points of mIoU on {where}, at most {max_drop:g} are allowed"


def _not_faster(each: Figures, plain: Figures) -> str | None:
    figures = f"{each.median_ms:.1f} ms, {plain.route} takes {plain.median_ms:.1f} ms"
    if each.route.precision in ("fp16", "fp32"):
        slower = each.median_ms > plain.median_ms * CLEAR
        return f"it is slower: {figures}" if slower else None
    faster = each.median_ms * CLEAR < plain.median_ms
    return None if faster else f"it is not measured faster: {figures}"


def _best_first(allowed: list[Figures]) -> list[Figures]:
    """Each time the smallest, then most exact, of those that are as fast as the fastest left."""
    left, ranked = list(allowed), []
    while left:
        limit = min(each.median_ms for each in left) * CLEAR
        equal = [each for each in left if each.median_ms <= limit]
        best = min(
            equal,
            key=lambda each: (
                each.graph_bytes,
                PRECISIONS.index(each.route.precision),
                each.median_ms,
            ),
        )
        ranked.append(best)
        left.remove(best)
    return ranked
