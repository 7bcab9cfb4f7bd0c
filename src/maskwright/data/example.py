"""`Example`: one sample in arrays, its image and every kind of truth in the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from maskwright.core.pixels import RGB, Pixels
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Instance


def _no_boxes() -> np.ndarray:
    return np.zeros((0, 4), np.float32)


def _no_ids() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """Arrays of one image; a part is None where the sample is not labelled for it.

    Attributes:
        image: uint8 RGB [H, W, 3], or as `pixels` tells.
        class_map: class ids [H, W], void where nothing is known.
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels.
        class_ids: int64 [N].
        masks: N arrays uint8 {0, 1} [H, W].
        crowds: bool [N].
        void: the class map's id for nothing.
        has_boxes: whether the sample is labelled for objects at all.
        pixels: what the image is.
    """

    image: np.ndarray
    class_map: np.ndarray | None = None
    boxes: np.ndarray = field(default_factory=_no_boxes)
    class_ids: np.ndarray = field(default_factory=_no_ids)
    masks: tuple[np.ndarray, ...] | None = None
    crowds: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    void: int = 255
    has_boxes: bool = False
    pixels: Pixels = RGB

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        parts = [self.image, self.class_map, self.boxes, *(self.masks or ())]
        return sum(part.nbytes for part in parts if part is not None)

    def map_ids(
        self, image: Callable[[np.ndarray], np.ndarray], ids: Callable[[np.ndarray], np.ndarray]
    ) -> Example:
        """Apply one function to the image and another to every map of ids; boxes stay."""
        return replace(
            self,
            image=image(self.image),
            class_map=None if self.class_map is None else ids(self.class_map),
            masks=None if self.masks is None else tuple(ids(mask) for mask in self.masks),
        )

    def keep(self, wanted: np.ndarray) -> Example:
        """Only the objects where `wanted` (bool [N]) is true."""
        masks = self.masks
        return replace(
            self,
            boxes=self.boxes[wanted],
            class_ids=self.class_ids[wanted],
            crowds=self.crowds[wanted],
            masks=None if masks is None else tuple(masks[i] for i in np.flatnonzero(wanted)),
        )


def read_example(sample: Sample) -> Example:
    """Read and decode a sample.

    Raises:
        DataError: the image or its truth can't be read.
    """
    image = sample.read_image()
    truth = sample.read_truth()
    found = truth.instances or ()
    return Example(
        image=image,
        class_map=truth.semantic,
        boxes=np.array([one.box_xyxy for one in found], np.float32).reshape(-1, 4),
        class_ids=np.array([one.class_id for one in found], np.int64),
        masks=_masks(found) if "instances" in sample.tasks else None,
        crowds=np.array([one.crowd for one in found], bool),
        void=truth.classes.void,
        has_boxes=truth.instances is not None,
        pixels=sample.pixels,
    )


def _masks(found: tuple[Instance, ...]) -> tuple[np.ndarray, ...] | None:
    masks = [one.mask for one in found]
    if any(mask is None for mask in masks):
        return None
    return tuple(mask.decode().astype(np.uint8) for mask in masks if mask is not None)
