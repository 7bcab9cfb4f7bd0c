"""`Segmentation`: what is in an image. Ground truth and prediction have this one form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.mask import Mask

if TYPE_CHECKING:
    import supervision


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
    """

    class_id: int
    box_xyxy: tuple[float, float, float, float]
    mask: Mask | None = None
    score: float | None = None
    crowd: bool = False
    track_id: int | None = None


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """Ground truth or prediction of one image, in the pixels of that image.

    A part that is None was not labelled or not predicted; an empty tuple says "looked, found none".

    Attributes:
        size: (height, width) of the image.
        classes: names and colours that every id here refers to.
        semantic: class ids [H, W], uint8 with void 255 (uint16 with void 65535 above 255 classes).
        instances: the objects.
        panoptic: segment ids where a file brought them.
        labels: classes of the image as a whole.
        times: seconds spent on "read", "preprocess", "network", "postprocess" (predictions).

    Raises:
        DataError: the parts contradict `size` or `classes`.
    """

    size: tuple[int, int]
    classes: Classes
    semantic: np.ndarray | None = None
    instances: tuple[Instance, ...] | None = None
    panoptic: Panoptic | None = None
    labels: tuple[Label, ...] | None = None
    times: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.semantic is not None:
            self._check_semantic(self.semantic)
        for number, instance in enumerate(self.instances or ()):
            if instance.mask is not None and instance.mask.size != self.size:
                raise DataError(
                    f"expected the mask of instance {number} to have the image's size "
                    f"{self.size}, got {instance.mask.size} (height, width)."
                )
            if not 0 <= instance.class_id < len(self.classes):
                raise DataError(
                    f"instance {number} has class id {instance.class_id}, but there are "
                    f"{len(self.classes)} classes."
                )
        if self.panoptic is not None and self.panoptic.segment_ids.shape != self.size:
            raise DataError(
                f"expected panoptic ids of the image's size {self.size}, "
                f"got {self.panoptic.segment_ids.shape}."
            )

    def _check_semantic(self, semantic: np.ndarray) -> None:
        wanted = np.uint8 if self.classes.void == 255 else np.uint16
        if semantic.shape != self.size or semantic.dtype != wanted:
            raise DataError(
                f"expected a class map of size {self.size} and type {np.dtype(wanted)}, got "
                f"{semantic.shape} and {semantic.dtype}."
            )

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows: the masks and boxes on black."""
        from maskwright.core import draw, image

        black = np.zeros((*self.size, 3), np.uint8)
        return image.encode_png(draw.overlay(black, self, opacity=1.0))

    def to_supervision(self) -> supervision.Detections:
        """The instances as `supervision.Detections` (needs `pip install supervision`)."""
        import supervision

        found = self.instances or ()
        if not found:
            return supervision.Detections.empty()
        data: dict[str, Any] = {
            "xyxy": np.array([i.box_xyxy for i in found], np.float32),
            "class_id": np.array([i.class_id for i in found]),
            "confidence": np.array(
                [1.0 if i.score is None else i.score for i in found], np.float32
            ),
            "data": {"class_name": np.array([self.classes.names[i.class_id] for i in found])},
        }
        if all(instance.mask is not None for instance in found):
            data["mask"] = np.stack([i.mask.decode() for i in found if i.mask is not None])
        return supervision.Detections(**data)
