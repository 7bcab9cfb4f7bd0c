"""What a `Segmentation` is made of: objects, labels, panoptic segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maskwright.core.mask import Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One object.

    Attributes:
        class_id: index into the segmentation's classes.
        box_xyxy: left, top, right, bottom in pixels of the image; pixel edges, so that a
            one-pixel object at (3, 5) has the box (3, 5, 4, 6).
        mask: run-length coded, of the image's size; None where only the box is known.
        score: confidence 0..1; None for ground truth.
        crowd: a group that was not told apart (COCO iscrowd).
        track_id: the object's identity over the frames of a video.
        area: in pixels as the annotation file states it (COCO sorts objects into sizes by it, and
            it may differ from the mask's); None means that of the mask, or of the box. Two
            objects are equal whatever it says.
        extras: what the annotation file tells of it beyond these, as plain JSON data: fields of
            COCO under their own keys ("id", "keypoints", "attributes" ..., "segmentation" where
            the mask came as polygons). Formats that hold a field write it again, the others
            count it as lost. Two objects are equal whatever it holds.
    """

    class_id: int
    box_xyxy: tuple[float, float, float, float]
    mask: Mask | None = None
    score: float | None = None
    crowd: bool = False
    track_id: int | None = None
    area: float | None = field(default=None, compare=False)
    extras: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A class of the whole image, with its confidence 0..1 (None for ground truth)."""

    class_id: int
    score: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Panoptic:
    """Panoptic truth as a file brought it.

    Attributes:
        segment_ids: int32 [H, W]; 0 is void.
        class_of: segment id -> class id.
        crowds: the segment ids that are crowds.
    """

    segment_ids: np.ndarray
    class_of: dict[int, int]
    crowds: frozenset[int] = frozenset()
