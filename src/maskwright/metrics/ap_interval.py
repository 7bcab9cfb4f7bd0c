"""AP on images drawn several times or not at all, for the bootstrap (`bootstrap.py`).

Matches stay within an image, so what became of each detection is found once; a draw repeats the
detections and the truth of its images, ranks them and takes the protocol's curve again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.assignment import FALSE_POSITIVE, TRUE_POSITIVE, judge
from maskwright.metrics.average_precision import AveragePrecision
from maskwright.metrics.curves import CURVES, precision_at_recalls
from maskwright.metrics.protocols import Kind, Protocol, protocol_of


def ap_of_draws(
    seen: AveragePrecision, protocol: str | Protocol = "coco", *, kind: Kind | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """The macro AP as a function of how often each image was drawn.

    Args:
        seen: N images, added without numbers.
        protocol: a key of `PROTOCOLS`, or one of your own.
        kind: one of `seen.kinds`; the first of them if not given.

    Returns:
        int [R, N] -> float64 [R], NaN where a draw holds nothing that is to be found; what
        `bootstrap` takes. Each image once gives `seen.scores(protocol, kind=kind).ap`.

    Raises:
        ConfigError: an unknown protocol, or a kind that was not compared.
    """
    chosen = seen.kinds[0] if kind is None else kind
    if chosen not in seen.kinds:
        raise ConfigError(f"expected a kind that was compared, {seen.kinds}, got {chosen!r}.")
    rules, overlaps = protocol_of(protocol), seen.overlaps()
    verdicts = judge(overlaps, chosen, rules)
    found = overlaps.detections
    score, image = found.score[verdicts.detection], found.image[verdicts.detection]
    class_id = found.class_id[verdicts.detection]
    ranked = np.argsort(-score, kind="stable")
    ranked_of = [ranked[class_id[ranked] == k] for k in range(len(seen.names))]
    truth, counted = overlaps.truth, verdicts.counted[0]
    truths_KN = np.zeros((len(seen.names), seen.images), np.int64)
    np.add.at(truths_KN, (truth.class_id[counted], truth.image[counted]), 1)
    status = verdicts.status(0, len(rules.ious))

    def one(times_N: np.ndarray) -> float:
        scores = []
        for k in np.flatnonzero(truths_KN @ times_N):
            own = np.repeat(ranked_of[k], times_N[image[ranked_of[k]]])
            right, wrong = status[:, own] == TRUE_POSITIVE, status[:, own] == FALSE_POSITIVE
            truths = int(truths_KN[k] @ times_N)
            if rules.curve == "points101":
                scores.append(precision_at_recalls(right, wrong, truths).mean())
            else:
                curve, own_score = CURVES[rules.curve], score[own]
                each = zip(right, wrong)
                scores.append(np.mean([curve(r, w, own_score, truths) for r, w in each]))
        return float(np.mean(scores)) if scores else float("nan")

    return lambda times_RN: np.array([one(times_N) for times_N in times_RN])
