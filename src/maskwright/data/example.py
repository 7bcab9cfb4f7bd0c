"""`Example`: one sample in arrays, its image and every kind of truth in the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from maskwright.core.mask import Mask
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.losses.targets import Need


def _no_boxes() -> np.ndarray:
    return np.zeros((0, 4), np.float32)


def _no_ids() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """Arrays of one image; a part is None where the sample is not labelled for it.

    Attributes:
        image: [H, W, C], uint8 RGB unless the set has other channels or depths.
        class_map: class ids [H, W], void where nothing is known.
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels.
        class_ids: int64 [N].
        masks: N arrays uint8 {0, 1} [H, W]; None for an object whose mask isn't known.
        crowds: bool [N].
        labels: float32 {0, 1} [K], classes of the image as a whole.
        made: what was made of the truth for a loss, in the image's pixels; see `data.derived`.
        void: the class map's id for nothing.
        objects_known: whether the image is labelled for objects at all; where not, there are none.
    """

    image: np.ndarray
    class_map: np.ndarray | None = None
    boxes: np.ndarray = field(default_factory=_no_boxes)
    class_ids: np.ndarray = field(default_factory=_no_ids)
    masks: tuple[np.ndarray | None, ...] | None = None
    crowds: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    labels: np.ndarray | None = None
    made: Mapping[Need, np.ndarray] = field(default_factory=dict)
    void: int = 255
    objects_known: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def has_mask(self) -> np.ndarray:
        """bool [N]: whether the object's mask is known."""
        if self.masks is None:
            return np.zeros(len(self.boxes), bool)
        return np.array([mask is not None for mask in self.masks], bool)

    def map_masks(
        self, change: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray | None, ...] | None:
        """The masks, each changed; what isn't known stays so."""
        if self.masks is None:
            return None
        return tuple(None if mask is None else change(mask) for mask in self.masks)

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


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedExample:
    """An example as it is kept in memory: masks are run-length coded.

    A hundred masks of a photo of 640x480 take 30 MB as pixels, and some hundred KB as runs.
    """

    example: Example
    masks: tuple[Mask | None, ...] | None

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays and runs."""
        own = self.example
        truth = [own.class_map, own.boxes, own.class_ids, own.crowds, own.labels]
        parts = [own.image, *truth, *own.made.values()]
        runs = sum(len(mask.packed) for mask in self.masks or () if mask is not None)
        return runs + sum(part.nbytes for part in parts if part is not None)

    def unpack(self) -> Example:
        """The example with its masks as arrays."""
        if self.masks is None:
            return self.example
        return replace(
            self.example,
            masks=tuple(
                None if mask is None else mask.decode().view(np.uint8) for mask in self.masks
            ),
        )


def read_packed(sample: Sample) -> PackedExample:
    """Read and decode a sample, but for its masks.

    Raises:
        DataError: the image or its truth can't be read.
    """
    image = sample.read_image()
    truth = sample.read_truth()
    found = truth.instances or ()
    example = Example(
        image=image,
        class_map=truth.semantic,
        boxes=np.array([one.box_xyxy for one in found], np.float32).reshape(-1, 4),
        class_ids=np.array([one.class_id for one in found], np.int64),
        crowds=np.array([one.crowd for one in found], bool),
        labels=_labels(truth),
        void=truth.classes.void,
        objects_known=truth.instances is not None,
    )
    with_masks = "instances" in sample.tasks and example.objects_known
    return PackedExample(
        example=example, masks=tuple(one.mask for one in found) if with_masks else None
    )


def _labels(truth: Segmentation) -> np.ndarray | None:
    if truth.labels is None:
        return None
    labels = np.zeros(len(truth.classes), np.float32)
    labels[[label.class_id for label in truth.labels]] = 1.0
    return labels


def read_example(sample: Sample) -> Example:
    """Read and decode a sample.

    Raises:
        DataError: the image or its truth can't be read.
    """
    return read_packed(sample).unpack()
