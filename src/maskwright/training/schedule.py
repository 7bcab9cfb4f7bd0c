"""The learning rate over a run, as pure functions of the step."""

from __future__ import annotations

import math
from typing import Literal


def rate_factor(
    step: int, steps: int, warmup: float, kind: Literal["poly", "cosine"], power: float = 0.9
) -> float:
    """Factor 0..1 on the peak learning rate.

    A linear rise over the first `warmup` share of the steps, then
    * "poly": (1 - t) ** power, t in 0..1 over the rest (Chen et al.: DeepLab, TPAMI 2018, eq. 3);
    * "cosine": (1 + cos(pi t)) / 2 (Loshchilov and Hutter: SGDR, ICLR 2017, eq. 5).

    Args:
        step: 0 .. steps - 1.
        steps: of the run.
        warmup: share of the steps, 0 <= warmup < 1.
        kind: of the decay.
        power: of "poly".
    """
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0
    if step < rising:
        return (step + 1) / (rising + 1)
    done = min(1.0, (step - rising) / max(1, steps - rising))
    if kind == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return (1 - done) ** power
