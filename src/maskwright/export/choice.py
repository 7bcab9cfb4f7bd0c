"""Which precision ships: the fastest whose loss of accuracy is allowed, and why not the others.

Only measured figures come in here, so the rule can be read, and tested, in one place. Times are
compared turn by turn; where the interval of a ratio holds the threshold, nothing is decided by it:
`open_questions` asks for more turns, and what stays open then does not ship.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.core.errors import ConfigError
from maskwright.export.routes import PRECISIONS, Route
from maskwright.jobs.turns import Spread, paired_ratio, spread_of

CLEAR = 1.05
"""Ratios of times up to this are taken as equal: so little is not worth another precision."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of a route.

    Attributes:
        route: which.
        turns_ms: of the network: the median of each turn, in rounds with the other routes.
        graph_bytes: of its graph.
        score: the headline on the slice of the training set, 0..1.
        drop: points (0..100) of it below fp32 on that slice; below 0 is a gain.
        headline: its name, such as "mIoU".
    """

    route: Route
    turns_ms: tuple[float, ...]
    graph_bytes: int
    score: float
    drop: float
    headline: str = "mIoU"

    @property
    def spread(self) -> Spread:
        """The median of the turns, in milliseconds, with its interval."""
        return spread_of(self.turns_ms)

    @property
    def median_ms(self) -> float:
        """The median of the turns."""
        return self.spread.value

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        spread = self.spread
        return {
            "precision": self.route.precision,
            "runtime": self.route.runtime,
            "floats": self.route.floats,
            "median_ms": spread.value,
            "low_ms": spread.low,
            "high_ms": spread.high,
            "turns": spread.turns,
            "graph_bytes": self.graph_bytes,
            "headline": self.headline,
            "slice_score": self.score,
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
    and it is surely faster than fp32; fp16, which only saves space, if it is surely not slower.
    The fastest is best; of those that are as fast, the smaller one, then the more exact one.

    Args:
        figures: of all routes.
        max_drop: in points of the headline.
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
        where = "the slice of the training set"
        reason = _too_inexact(each.drop, max_drop, where, each.headline)
        if reason is None and by_speed:
            reason = _too_slow(each, plain)
        if reason is None:
            allowed.append(each)
        else:
            refused[each.route] = reason
    return _best_first(allowed), refused


def open_questions(figures: Sequence[Figures], max_drop: float) -> list[Route]:
    """The routes of which the turns so far don't tell whether they are faster than fp32.

    Those that lose too much are out, however fast they are.

    Args:
        figures: of all routes.
        max_drop: in points of the headline.
    """
    plain = baseline(figures)
    return [
        each.route
        for each in figures
        if each.route.precision != "fp32"
        and each.drop <= max_drop
        and _faster(each, plain).beyond(_threshold(each)) is None
    ]


def refuse_on_validation(drop: float, max_drop: float, headline: str = "mIoU") -> str | None:
    """Why a drop on validation, in points, keeps a precision from shipping; None if it doesn't."""
    return _too_inexact(drop, max_drop, "validation", headline)


def warn_of_drop(route: Route, high: float, max_drop: float, headline: str) -> str | None:
    """What is to be said where the interval of a drop, in points, reaches past what is allowed.

    Args:
        route: that ships.
        high: the upper end of the drop's interval.
        max_drop: in points of the headline.
        headline: its name.
    """
    if route.precision == "fp32" or high <= max_drop:
        return None
    if math.isnan(high):
        return (
            f"{route} may lose more than is allowed: one validation image has no interval; more of "
            "them would tell."
        )
    return (
        f"{route} may lose more than is allowed: the 95 % interval of its drop on validation "
        f"reaches to {high:.2f} points of {headline}, past {max_drop:g}; more validation images "
        "would tell, and precision fp32 loses nothing."
    )


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
    ratio = _faster(chosen, plain)
    speed = (
        f"{ratio.value:.2f} times as fast as {plain.route} ({ratio.low:.2f} to {ratio.high:.2f})"
    )
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


def _too_inexact(drop: float, max_drop: float, where: str, headline: str) -> str | None:
    if drop <= max_drop:
        return None
    return f"it loses {drop:.2f} points of {headline} on {where}, at most {max_drop:g} are allowed"


def _faster(each: Figures, plain: Figures) -> Spread:
    """How many times as fast a route is, turn by turn."""
    return paired_ratio(plain.turns_ms, each.turns_ms)


def _threshold(each: Figures) -> float:
    return 1 / CLEAR if each.route.precision in ("fp16", "fp32") else CLEAR


def _too_slow(each: Figures, plain: Figures) -> str | None:
    ratio = _faster(each, plain)
    beyond = ratio.beyond(_threshold(each))
    if beyond:
        return None
    figures = f"{each.median_ms:.1f} ms, {plain.route} takes {plain.median_ms:.1f} ms"
    if beyond is None:
        return (
            f"this machine is too busy to tell whether it is faster: {ratio.low:.2f} to "
            f"{ratio.high:.2f} times as fast in {ratio.turns} turns ({figures}); export again "
            "where nothing else runs"
        )
    slower = each.route.precision in ("fp16", "fp32")
    return f"it is slower: {figures}" if slower else f"it is not measured faster: {figures}"


def _best_first(allowed: list[Figures]) -> list[Figures]:
    """Each time the smallest, then most exact, of those that are as fast as the fastest left."""
    left, ranked = list(allowed), []
    while left:
        fastest = min(left, key=lambda each: each.median_ms)
        equal = [each for each in left if _as_fast(each, fastest)]
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


def _as_fast(each: Figures, fastest: Figures) -> bool:
    """Not surely slower by more than `CLEAR`."""
    return paired_ratio(each.turns_ms, fastest.turns_ms).beyond(CLEAR) is not True
