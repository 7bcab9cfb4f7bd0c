"""`Overlaps` <-> plain arrays of numbers by name, so that a file can hold what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from maskwright.metrics.matching import Overlaps
from maskwright.metrics.objects import Objects
from maskwright.metrics.protocols import Kind

_COLUMNS = ("image", "class_id", "box_xywh", "score", "crowd", "area")


def overlaps_to_arrays(overlaps: Overlaps) -> dict[str, np.ndarray]:
    """Every number; `overlaps_from_arrays` reads them back without loss."""
    found = {
        f"{side}.{column}": getattr(getattr(overlaps, side), column)
        for side in ("truth", "detections")
        for column in _COLUMNS
    }
    found |= {"of_detection": overlaps.of_detection, "of_truth": overlaps.of_truth}
    for kind, area in overlaps.detection_area.items():
        found |= {
            f"area.{kind}": area,
            f"iou.{kind}": overlaps.iou[kind],
            f"share.{kind}": overlaps.share[kind],
        }
    if overlaps.void_share is not None:
        found["void_share"] = overlaps.void_share
    return found


def overlaps_from_arrays(arrays: Mapping[str, np.ndarray], kinds: Sequence[Kind]) -> Overlaps:
    """Inverse of `overlaps_to_arrays`.

    Args:
        arrays: by name.
        kinds: that were compared.
    """
    return Overlaps(
        truth=_objects("truth", arrays),
        detections=_objects("detections", arrays),
        detection_area={kind: arrays[f"area.{kind}"] for kind in kinds},
        of_detection=arrays["of_detection"],
        of_truth=arrays["of_truth"],
        iou={kind: arrays[f"iou.{kind}"] for kind in kinds},
        share={kind: arrays[f"share.{kind}"] for kind in kinds},
        void_share=arrays.get("void_share"),
    )


def _objects(side: str, arrays: Mapping[str, np.ndarray]) -> Objects:
    image, class_id, box_xywh, score, crowd, area = (arrays[f"{side}.{name}"] for name in _COLUMNS)
    return Objects(
        image=image, class_id=class_id, box_xywh=box_xywh, score=score, crowd=crowd, area=area
    )
