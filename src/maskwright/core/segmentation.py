"""`Segmentation`: what is in an image. Ground truth and prediction have this one form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.parts import Instance, Label, Panoptic

__all__ = ["Instance", "Label", "Panoptic", "Segmentation"]

if TYPE_CHECKING:
    import supervision


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
            self._check_class(f"instance {number}", instance.class_id)
        for label in self.labels or ():
            self._check_class("an image label", label.class_id)
        if self.panoptic is not None:
            self._check_panoptic(self.panoptic)

    def _check_class(self, what: str, class_id: int) -> None:
        if not 0 <= class_id < len(self.classes):
            raise DataError(
                f"{what} has class id {class_id}, but there are {len(self.classes)} classes: "
                f"expected 0..{len(self.classes) - 1}."
            )

    def _check_panoptic(self, panoptic: Panoptic) -> None:
        if panoptic.segment_ids.shape != self.size:
            raise DataError(
                f"expected panoptic ids of the image's size {self.size}, "
                f"got {panoptic.segment_ids.shape}."
            )
        for segment, class_id in panoptic.class_of.items():
            self._check_class(f"panoptic segment {segment}", class_id)

    def _check_semantic(self, semantic: np.ndarray) -> None:
        wanted = np.uint8 if self.classes.void == 255 else np.uint16
        if semantic.shape != self.size or semantic.dtype != wanted:
            raise DataError(
                f"expected a class map of size {self.size} and type {np.dtype(wanted)}, got "
                f"{semantic.shape} and {semantic.dtype}."
            )

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows: the masks and boxes on black."""
        from maskwright.core.image import encode_png
        from maskwright.core.paint import paint

        black = np.zeros((*self.size, 3), np.uint8)
        shown = paint(
            black,
            self.classes,
            semantic=self.semantic,
            instances=self.instances,
            panoptic=self.panoptic,
            labels=self.labels,
            opacity=1.0,
        )
        return encode_png(shown)

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
        if all(instance.track_id is not None for instance in found):
            data["tracker_id"] = np.array([instance.track_id for instance in found])
        if all(instance.mask is not None for instance in found):
            data["mask"] = np.stack([i.mask.decode() for i in found if i.mask is not None])
        return supervision.Detections(**data)
