"""Student's t distribution, for intervals from few images; exact, without scipy.

Reference: M. Abramowitz, I. Stegun, Handbook of Mathematical Functions, 1964, 26.7.3 and 26.7.4.
"""

from __future__ import annotations

import math


def t_quantile(share: float, degrees: int) -> float:
    """The t below which a share of the distribution lies.

    Args:
        share: between 0.5 and 1.
        degrees: of freedom, 1 or more.
    """
    low, high = 0.0, 1.0
    while _share_below(high, degrees) < share:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _share_below(middle, degrees) < share else (low, middle)
    return (low + high) / 2


def _share_below(t: float, degrees: int) -> float:
    """The distribution function at t >= 0."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    term = total = 1.0 if degrees % 2 == 0 else cosine
    for n in range(1 + degrees % 2, degrees - 2, 2):
        term *= n / (n + 1) * cosine**2
        total += term
    if degrees == 1:
        inside = 2 / math.pi * angle
    elif degrees % 2:
        inside = 2 / math.pi * (angle + sine * total)
    else:
        inside = sine * total
    return 0.5 + inside / 2
