"""How far two ways of running one network agree, on what users see: pixels of the answer."""

from __future__ import annotations

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Segmentation


def pixel_agreement(left: Segmentation, right: Segmentation) -> float:
    """The share of the image's pixels, 0..1, that both answers give the same class.

    Of a network without class map, the objects are painted in the order of their scores.

    Raises:
        ConfigError: there is nothing to compare: neither classes of pixels nor objects.
    """
    return float((_class_map(left) == _class_map(right)).mean())


def _class_map(answer: Segmentation) -> np.ndarray:
    if answer.semantic is not None:
        return answer.semantic
    if answer.instances is None:
        raise ConfigError(
            "expected an answer with classes of pixels or objects to compare, got one with "
            f"{'labels' if answer.labels else 'nothing'} only."
        )
    painted = np.full(answer.size, answer.classes.void, np.uint16)
    for found in sorted(answer.instances, key=lambda instance: instance.score or 0.0):
        if found.mask is not None:
            painted[found.mask.decode().astype(bool)] = found.class_id
        else:
            left, top, right, bottom = (round(edge) for edge in found.box_xyxy)
            painted[top:bottom, left:right] = found.class_id
    return painted
