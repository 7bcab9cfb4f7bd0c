"""The parts of a segmentation as rows of a table, and pandas where it is installed.

A row is (part, class, pixels, share, score, left, top, right, bottom); None where it has no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.parts import Instance, Label, Panoptic

Row = tuple[str, str | None, float | None, float | None, float | None,
            float | None, float | None, float | None, float | None]  # fmt: skip
_NO_BOX = (None, None, None, None)


def find_pandas(instead: str = "") -> Any:
    """The package pandas, which only tables need.

    Args:
        instead: what gives the same without it, for the message.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError:
        other = f", or take {instead}" if instead else ""
        raise ConfigError(
            "to_pandas() needs pandas, which is not installed; run pip install pandas" + other + "."
        ) from None
    return pandas


def region_rows(
    size: tuple[int, int],
    classes: Classes,
    semantic: np.ndarray | None,
    panoptic: Panoptic | None,
) -> list[Row]:
    """A row for each class of a class map (0 pixels included), and for each panoptic segment."""
    area = size[0] * size[1]
    rows: list[Row] = []
    if semantic is not None:
        counts = np.bincount(semantic.ravel(), minlength=len(classes)).tolist()
        for name, count in zip(classes.names, counts):
            rows.append(("semantic", name, count, count / area, None, *_NO_BOX))
    if panoptic is not None:
        segments, counts = np.unique(panoptic.segment_ids, return_counts=True)
        drawn = dict(zip(segments.tolist(), counts.tolist()))
        for segment, class_id in panoptic.class_of.items():
            count = drawn.get(segment, 0)
            name = classes.names[class_id]
            rows.append(("panoptic", name, count, count / area, None, *_NO_BOX))
    return rows


def object_rows(
    size: tuple[int, int],
    classes: Classes,
    instances: Sequence[Instance] | None,
    labels: tuple[Label, ...] | None,
) -> list[Row]:
    """A row for each object, and for each label of the whole image."""
    area = size[0] * size[1]
    rows: list[Row] = []
    for one in instances or ():
        left, top, right, bottom = one.box_xyxy
        pixels = (right - left) * (bottom - top) if one.mask is None else one.mask.area
        name = classes.names[one.class_id]
        rows.append(("instances", name, pixels, pixels / area, one.score, *one.box_xyxy))
    for label in labels or ():
        name = classes.names[label.class_id]
        rows.append(("labels", name, None, None, label.score, *_NO_BOX))
    return rows
